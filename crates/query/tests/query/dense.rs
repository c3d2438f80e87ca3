//! Every analysis against its dense definition, computed plainly on the demo model and rendered scenes.

use std::collections::BTreeSet;

use headspan_headspace::{HeadId, Readout};
use headspan_images::RgbImage8;
use headspan_query::{
    ExploreError, ExtremesRequest, HeadSelection, NeighboursRequest, Query, SegmentationTrial, Similarity, contrast,
    segment,
};

use crate::support::{Case, Failure, Outcome, SKIPPED, length, product, scene};

/// Float32 sums of some hundred terms in two orders.
const TOLERANCE: f64 = 1e-5;

fn assert_ranked(found: &[headspan_query::Neighbour], expected: &[(u64, f64)]) {
    let largest = expected.iter().fold(0.0_f64, |largest, (_, score)| largest.max(score.abs()));
    assert!(largest > 0.0 && !found.is_empty());
    for (found, (image, score)) in found.iter().zip(expected) {
        assert_eq!(found.image_index, *image, "the order differs");
        let error = (f64::from(found.score) - score).abs();
        assert!(error <= TOLERANCE * largest, "{}: {} instead of {score}", found.image_id, found.score);
    }
}

#[test]
fn neighbours_of_an_image_are_those_of_dense_contributions() -> Outcome {
    let case = Case::new()?;
    for (selection, row) in [("L3.H5", 0), ("shapes", 3), ("L2", 9), ("all", 20)] {
        let heads = case.heads(selection)?;
        let image = case.rows[row];
        for similarity in [Similarity::Dot, Similarity::Cosine] {
            let mut ranked = case.ranked(&case.dense(row, &heads), &heads, similarity == Similarity::Cosine);
            ranked.retain(|(other, _)| *other != image);
            let request = NeighboursRequest { similarity, ..NeighboursRequest::new(selection.parse()?, 8) };
            let found = case.run.neighbours(Query::Image(image), &request)?;
            assert_eq!((found.images.len(), found.compared, found.heads.len()), (8, case.rows.len() - 1, heads.len()));
            assert_ranked(&found.images, &ranked);
        }
    }
    Ok(())
}

#[test]
fn a_new_image_is_compared_with_all() -> Outcome {
    let case = Case::new()?;
    let (selection, row) = ("shapes".parse::<HeadSelection>()?, 5);
    let request = NeighboursRequest { similarity: Similarity::Cosine, ..NeighboursRequest::new(selection, 3) };
    let found = case.run.neighbours(Query::Trace(&case.traces[row]), &request)?;
    assert_eq!((found.images[0].image_index, found.compared), (case.rows[row], case.rows.len()));
    assert!((found.images[0].score - 1.0).abs() < 1e-5, "an image is in its own direction");
    Ok(())
}

#[test]
fn neighbours_of_a_text_are_those_of_dense_contributions() -> Outcome {
    let case = Case::new()?;
    let embedding = case.model.embed(&["a picture of a red boat"])?.remove(0).0;
    let query: Vec<f64> = embedding.iter().map(|value| f64::from(*value)).collect();
    assert!((length(&query) - 1.0).abs() < 1e-6);
    let heads = case.heads("L3.H3")?;
    let mut ranked = case.ranked(&query, &heads, false);
    let mut request = NeighboursRequest::new("L3.H3".parse()?, 30);
    request.similarity = Similarity::Dot;
    assert_ranked(&case.run.neighbours(Query::Text(&embedding), &request)?.images, &ranked);
    request.farthest = true;
    ranked.reverse();
    assert_ranked(&case.run.neighbours(Query::Text(&embedding), &request)?.images, &ranked);
    let class = case.classes[0].clone();
    ranked.retain(|(image, _)| case.classes[*image as usize] == class);
    request.classes = BTreeSet::from([class]);
    let found = case.run.neighbours(Query::Text(&embedding), &request)?;
    assert_eq!(found.compared, ranked.len());
    assert_ranked(&found.images, &ranked);
    Ok(())
}

#[test]
fn token_scores_are_those_of_dense_token_contributions() -> Outcome {
    let case = Case::new()?;
    let embedding = case.model.embed(&["a picture of a tree"])?.remove(0).0;
    let text: Vec<f64> = embedding.iter().map(|value| f64::from(*value)).collect();
    let row = 4;
    for selection in ["L2.H6", "shapes", "L3", "all"] {
        let heads = case.heads(selection)?;
        let scores = segment(&case.run, &case.traces[row], &selection.parse()?, &embedding)?;
        assert_eq!((scores.grid, scores.patches.len()), (8, 64));
        let dense = |token: usize| -> Result<f64, ExploreError> {
            let mut sum = 0.0;
            for head in &heads {
                let (attention, value, scalars) = case.traces[row].token(case.readouts[*head].head, token)?;
                let own = case.readouts[*head].token_contribution(attention, value, scalars, 65);
                sum += own.iter().zip(&text).map(|(c, t)| f64::from(*c) * t).sum::<f64>();
            }
            Ok(sum)
        };
        let expected = (0..65).map(dense).collect::<Result<Vec<f64>, _>>()?;
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let found = std::iter::once(scores.class_token).chain(scores.patches.iter().copied());
        for (token, (found, expected)) in found.zip(&expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error <= TOLERANCE * largest, "{selection}, token {token}: {found} instead of {expected}");
        }
        // All tokens together are the heads' contribution to the text.
        let whole = heads.len() as f64 * product(&case.dense(row, &heads), &text);
        assert!((scores.total() - whole).abs() <= TOLERANCE * whole.abs().max(largest));
    }
    Ok(())
}

#[test]
fn contrasted_texts_share_a_scale() -> Outcome {
    let case = Case::new()?;
    let texts = case.model.embed(&["a picture of a tree", "a picture of the sea", "a picture of a boat"])?;
    let texts: Vec<&[f32]> = texts.iter().map(|(embedding, _)| embedding.as_slice()).collect();
    let two = contrast(&case.run, &case.traces[2], &HeadSelection::All, &texts[..2])?;
    for patch in 0..64 {
        let difference = two.maps[0].patches[patch] - two.maps[1].patches[patch];
        let found = [two.differences[0][patch], two.differences[1][patch]];
        assert_eq!(found.map(f32::to_bits), [difference, -difference].map(f32::to_bits));
        assert!(difference.abs() <= two.scale);
    }
    let three = contrast(&case.run, &case.traces[2], &HeadSelection::All, &texts)?;
    assert!((0..64).all(|patch| three.differences.iter().filter(|map| map[patch] > 0.0).count() <= 1));
    let message = contrast(&case.run, &case.traces[2], &HeadSelection::All, &texts[..1]).err().map(|e| e.to_string());
    assert_eq!(message.as_deref(), Some("texts to contrast: 1, expected two or more"));
    Ok(())
}

#[test]
fn the_reason_for_a_neighbour_sums_to_its_score() -> Outcome {
    let case = Case::new()?;
    let (row, selection) = (6, "shapes".parse::<HeadSelection>()?);
    let request = NeighboursRequest { similarity: Similarity::Dot, ..NeighboursRequest::new(selection.clone(), 4) };
    for neighbour in case.run.neighbours(Query::Image(case.rows[row]), &request)?.images {
        let reason = case.run.reason(neighbour.image_index, &selection)?;
        let parts = segment(&case.run, &case.traces[row], &selection, &reason)?;
        let (whole, score) = (parts.total(), f64::from(neighbour.score));
        assert!((whole - score).abs() <= TOLERANCE * score.abs(), "{whole} instead of {score}");
    }
    Ok(())
}

#[test]
fn extremes_are_those_of_dense_contributions() -> Outcome {
    let case = Case::new()?;
    let head = HeadId { layer: 3, head: 3 };
    let place = case.heads("L3.H3")?[0];
    let dense: Vec<Vec<f64>> = (0..case.rows.len()).map(|row| case.dense(row, &[place])).collect();
    let mean: Vec<f64> =
        (0..case.run.d()).map(|i| dense.iter().map(|row| row[i]).sum::<f64>() / dense.len() as f64).collect();
    let mut distances: Vec<(u64, f64)> = dense
        .iter()
        .zip(&case.rows)
        .map(|(row, image)| (*image, length(&row.iter().zip(&mean).map(|(a, b)| a - b).collect::<Vec<_>>())))
        .collect();
    distances.sort_by(|one, other| other.1.total_cmp(&one.1));
    let found = case.run.extremes(head, ExtremesRequest::Distance, 5)?;
    assert_ranked(&found.largest, &distances);
    distances.reverse();
    assert_ranked(&found.smallest, &distances);
    assert_eq!((found.largest.len(), found.smallest.len(), found.between.len()), (5, 5, 5));
    assert!(found.between.windows(2).all(|pair| pair[0].score >= pair[1].score));
    let embedding = case.model.embed(&["something red"])?.remove(0).0;
    let found = case.run.extremes(head, ExtremesRequest::Text(&embedding), 50)?;
    assert_eq!(found.largest.len(), case.rows.len(), "no more than there are");
    assert_eq!(found.between, found.largest, "each once");
    Ok(())
}

#[test]
fn questions_without_an_answer_say_what_there_is() -> Outcome {
    let case = Case::new()?;
    let message = |selection: &str, query: Query<'_>| -> Result<String, Failure> {
        let request = NeighboursRequest::new(selection.parse()?, 3);
        Ok(case.run.neighbours(query, &request).err().map(|error| error.to_string()).unwrap_or_default())
    };
    let run = "the run `scenes/scenes-4`";
    let image = Query::Image(0);
    assert_eq!(message("L3.H8", image)?, "head L3.H8 was not extracted; the run `scenes/scenes-4` has L2.H0 to L3.H7");
    assert_eq!(message("L9", image)?, "layer 9 was not extracted; the run `scenes/scenes-4` has the layers 2 to 3");
    assert_eq!(
        message("tastes", image)?,
        format!("no head of {run} is labelled `tastes`; its properties are colors, shapes")
    );
    assert_eq!(message("Shapes", image)?, "", "case does not matter");
    assert_eq!(message("all", Query::Image(99))?, format!("{run} has no extracted image `#99`"));
    assert_eq!(message("all", Query::Image(SKIPPED))?, format!("{run} has no extracted image `007.png`"));
    let mut embedding = vec![0.0; case.run.d()];
    embedding[1] = f32::NAN;
    assert!(message("all", Query::Text(&embedding))?.contains("finite"));
    assert!(message("all", Query::Text(&[1.0]))?.contains("1 numbers, expected 96 finite numbers"));
    let mut request = NeighboursRequest::new(HeadSelection::All, 3);
    request.classes = BTreeSet::from(["zebra".to_owned()]);
    let none = case.run.neighbours(Query::Image(0), &request).err().map(|error| error.to_string());
    assert_eq!(none, Some(format!("no image of {run} has the class `zebra`")));
    Ok(())
}

/// Orthonormal basis of the columns of a head's readout, by Gram–Schmidt, twice for accuracy.
fn output_space(readout: &Readout) -> Vec<Vec<f64>> {
    let width = readout.columns();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in 0..width {
        let own: Vec<f64> = readout.rows().map(|row| f64::from(row[column])).collect();
        let mut rest = own.clone();
        for _twice in 0..2 {
            for other in &basis {
                let share = product(&rest, other);
                rest.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
        }
        let size = length(&rest);
        if size > 1e-6 * length(&own) {
            basis.push(rest.iter().map(|x| x / size).collect());
        }
    }
    basis
}

#[test]
fn extremes_along_a_pick_are_those_of_the_deflated_text() -> Outcome {
    let case = Case::new()?;
    for (place, readout) in case.readouts.iter().enumerate().step_by(5) {
        let head = readout.head;
        let space = output_space(readout);
        let mut removed: Vec<Vec<f64>> = Vec::new();
        for (rank, pick) in case.run.textspan(head).iter().enumerate() {
            let text = case.model.embed(&[pick.text.as_str()])?.remove(0).0;
            let text: Vec<f64> = text.iter().map(|x| f64::from(*x)).collect();
            let mut direction = vec![0.0; text.len()];
            for axis in &space {
                let share = product(&text, axis);
                direction.iter_mut().zip(axis).for_each(|(x, y)| *x += share * y);
            }
            for other in &removed {
                let share = product(&direction, other);
                direction.iter_mut().zip(other).for_each(|(x, y)| *x -= share * y);
            }
            let size = length(&direction);
            for x in &mut direction {
                *x /= size;
            }
            let scores: Vec<f64> =
                (0..case.rows.len()).map(|row| product(&direction, &case.dense(row, &[place]))).collect();
            let found = case.run.extremes(head, ExtremesRequest::Pick(rank), 3)?;
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let scale = scores.iter().map(|score| score.abs()).fold(0.0, f64::max);
            assert!((f64::from(found.largest[0].score) - largest).abs() < 1e-5 * scale, "{head} {rank}");
            // What the pick's share of variance counts is the variance along that very direction.
            let variance = case.run.figures()[&head].variance * scores.len() as f64 / (scores.len() as f64 - 1.0);
            assert!((found.std.powi(2) / variance - pick.variance_share).abs() < 1e-4, "{head} {rank}");
            removed.push(direction);
        }
    }
    let head = case.readouts[0].head;
    let Err(error) = case.run.extremes(head, ExtremesRequest::Pick(99), 3) else {
        return Err("there is no such pick".into());
    };
    assert!(error.to_string().contains("below 4"), "{error}");
    Ok(())
}

#[test]
fn a_head_resembles_itself_most() -> Outcome {
    let case = Case::new()?;
    let head = case.readouts[3].head;
    let found = case.run.similar(head, &case.run)?;
    assert_eq!(found.len(), case.readouts.len() - 1, "itself is left out");
    assert!(found.iter().all(|(other, value)| *other != head && value.abs() <= 1.0 + 1e-5));
    assert!(found.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    Ok(())
}

#[test]
fn the_decomposition_is_scored_beside_attention() -> Outcome {
    let case = Case::new()?;
    let classes = case.model.embed(&["a boat", "a fish", "a house", "a tree"])?.into_iter().map(|(text, _)| text);
    let mut trial = SegmentationTrial::new(&case.model, &case.readouts, classes.collect())?;
    for index in 0..4 {
        let (image, _) = scene(index);
        let blank = RgbImage8 { width: image.width, height: image.height, data: vec![255; image.data.len()] };
        assert!(trial.add(&image, &blank)? < 4);
    }
    for (method, scores) in trial.scores() {
        // Where all is foreground, precision is one whatever the map.
        assert!((scores.foreground_precision - 1.0).abs() < 1e-9, "{}", method.name());
        assert!(scores.pixel_accuracy > 0.0 && scores.pixel_accuracy < 1.0, "{}", method.name());
    }
    let small = RgbImage8 { width: 2, height: 2, data: vec![0; 12] };
    assert!(trial.add(&scene(0).0, &small).is_err());
    assert_eq!(trial.images(), 4);
    Ok(())
}
