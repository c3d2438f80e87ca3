//! The map of a head: its points as numbers, parts of it, and images from the whole range.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use headspan_artifacts::HeadId;

use crate::{
    site::{RUN, shared},
    support::Outcome,
};

const HEAD: HeadId = HeadId { layer: 3, head: 3 };

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|some| read(*some)).collect()
}

/// Distances between points on all components would be those between contributions; on two they are never larger, and the components are
/// uncorrelated, with the variance that their shares say.
#[test]
fn points_are_the_principal_components_of_the_contributions() -> Outcome {
    let site = shared();
    let (status, headers, bytes) =
        site.send(Request::get(format!("{RUN}/map.bin?heads=L3.H3")).body(Body::empty())?)?;
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str()?), (StatusCode::OK, "application/octet-stream"));
    let run = &site.case.run;
    let images = run.image_indices()?;
    let n = images.len();
    let (count, columns) = bytes.split_at(4);
    assert_eq!(u32::from_le_bytes(count.try_into()?) as usize, n);
    assert_eq!(columns.len(), n * 18);
    let column = |at: usize| numbers(&columns[4 * n * at..][..4 * n], f32::from_le_bytes);
    let [x, y, values] = [column(0), column(1), column(2)];
    assert_eq!(x, values, "images are ordered along the first component unless another is asked for");
    let own: Vec<u64> = numbers(&columns[12 * n..][..4 * n], u32::from_le_bytes).into_iter().map(u64::from).collect();
    assert_eq!(own, images);
    let classes: Vec<u16> = numbers(&columns[16 * n..], u16::from_le_bytes);
    let shown = site.json(&format!("{RUN}/map.json?heads=L3.H3"))?;
    for (image, class) in images.iter().zip(classes) {
        let told = shown["classes"][usize::from(class)].as_str();
        assert_eq!(told, run.image(*image)?.class_id.as_deref());
    }

    let dense = run.contributions(HEAD, None)?;
    let d = dense.len() / n;
    let mean: Vec<f64> =
        (0..d).map(|at| dense.iter().skip(at).step_by(d).map(|c| f64::from(*c)).sum::<f64>() / n as f64).collect();
    let variance: f64 =
        dense.iter().enumerate().map(|(at, c)| (f64::from(*c) - mean[at % d]).powi(2)).sum::<f64>() / (n as f64 - 1.0);
    let product = |one: &[f32], other: &[f32]| {
        one.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / (n as f64 - 1.0)
    };
    for (component, points) in [&x, &y].into_iter().enumerate() {
        let share = shown["shares"][component].as_f64().ok_or("no share")?;
        // Single precision of the activations, over a variance that is a part of the whole.
        assert!((product(points, points) / variance - share).abs() < 1e-4, "{component}: {share}");
        assert!((points.iter().map(|value| f64::from(*value)).sum::<f64>() / n as f64).abs() < 1e-4 * variance.sqrt());
    }
    assert!(product(&x, &y).abs() < 1e-4 * variance, "components are uncorrelated");
    for (one, other) in [(0, 1), (3, 17), (20, 27)] {
        let far: f64 = (0..d).map(|at| f64::from(dense[one * d + at] - dense[other * d + at]).powi(2)).sum();
        let near = f64::from(x[one] - x[other]).powi(2) + f64::from(y[one] - y[other]).powi(2);
        assert!(near <= far * 1.0001, "{near} {far}");
    }
    Ok(())
}

#[test]
fn a_part_lists_its_images_and_ten_parts_hold_all() -> Outcome {
    let site = shared();
    let n = site.case.run.image_indices()?.len();
    let all = site.json(&format!("{RUN}/map.json?heads=L3.H3&x0=-9&x1=9&y0=-9&y1=9"))?;
    assert_eq!(all["part"]["found"].as_u64(), Some(n as u64));
    assert_eq!(all["part"]["images"].as_array().map(Vec::len), Some(24));
    let none = site.json(&format!("{RUN}/map.json?heads=L3.H3&x0=8&x1=9&y0=8&y1=9"))?;
    assert_eq!(none["part"]["found"].as_u64(), Some(0));

    for along in ["c2", "t1", "texts&text=a+tree"] {
        let shown = site.json(&format!("{RUN}/map.json?heads=L3.H3&along={along}"))?;
        let parts = shown["tenths"]["parts"].as_array().ok_or("no parts")?;
        assert_eq!(parts.len(), 10);
        assert_eq!(parts.iter().filter_map(|part| part["count"].as_u64()).sum::<u64>(), n as u64);
        let ends: Vec<f64> =
            parts.iter().flat_map(|part| [part["low"].as_f64(), part["high"].as_f64()]).flatten().collect();
        assert!(ends.is_sorted(), "{along}: {ends:?}");
        for part in parts {
            let [low, high] = [&part["low"], &part["high"]].map(|end| end.as_f64().unwrap_or(f64::NAN));
            for image in part["images"].as_array().ok_or("no images")? {
                assert!((low..=high).contains(&image["score"].as_f64().ok_or("no score")?), "{along}");
            }
        }
    }
    let (_, page) = site.get(&format!("{RUN}/map?heads=L3.H3&along=t1"))?;
    assert!(page.contains("adds to the texts above it") && page.contains("<circle"), "{page}");
    let (_, table) = site.get(&format!("{RUN}/map.csv?heads=L3.H3"))?;
    assert!(table.starts_with("image_index,image_id,class_id,score,tenth_low,tenth_high"), "{table}");
    // Without a head, the one that varies most is drawn.
    assert!(site.json(&format!("{RUN}/map.json"))?["head"]["layer"].is_u64());
    Ok(())
}

#[test]
fn what_a_map_cannot_show_is_said() -> Outcome {
    let site = shared();
    for (query, status, says) in [
        ("heads=L3.H9", StatusCode::NOT_FOUND, "was not extracted"),
        ("heads=colors", StatusCode::BAD_REQUEST, "is not a head"),
        ("across=99", StatusCode::BAD_REQUEST, "expected 1 to"),
        ("along=t99", StatusCode::BAD_REQUEST, "the rank of a text"),
        ("up=0", StatusCode::BAD_REQUEST, "counted from 1"),
    ] {
        let (found, page) = site.get(&format!("{RUN}/map.json?{query}"))?;
        assert!(found == status && page.contains(says), "{query}: {found} {page}");
    }
    assert_eq!(site.get(&format!("{RUN}/images.bin"))?.0, StatusCode::NOT_FOUND);
    Ok(())
}
