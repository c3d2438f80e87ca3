//! The pages: what they say against the library.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use headspan_query::RunAccess;
use headspan_query::{NeighboursRequest, Query, png, segment};
use headspan_serve::{Explorer, ExplorerSettings};
use serde_json::Value;

use crate::{
    site::{RUN, Site, shared},
    support::{Outcome, scene},
};

/// A value as it is after it was written and read.
fn written(value: &impl serde::Serialize) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

#[test]
fn every_page_and_its_numbers() -> Outcome {
    let site = shared();
    let (_, page) = site.get("/")?;
    for says in ["L3.H3", "colors", "shapes", "no label", "scenes/scenes-4"] {
        assert!(page.contains(says), "{says}");
    }
    let overview = site.json("/index.json?property=shapes")?;
    let cells = overview["models"][0]["layers"].as_array().ok_or("no layers")?;
    let shown = cells.iter().flat_map(|row| row[1].as_array().cloned().unwrap_or_default());
    assert_eq!(shown.filter(|cell| cell["shown"] == true).count(), 3);

    let head = site.json(&format!("{RUN}/head/L3.H3.json"))?;
    assert_eq!(
        (head["property"].as_str(), head["extremes"]["largest"].as_array().map(Vec::len)),
        (Some("colors"), Some(6))
    );
    assert!(site.get(&format!("{RUN}/head/L3.H3"))?.1.contains("sets apart most"));

    let found = site.json(&format!("{RUN}/neighbours.json?heads=shapes&image=3&count=5"))?;
    let expected = site.case.run.neighbours(Query::Image(3), &NeighboursRequest::new("shapes".parse()?, 5))?;
    assert_eq!(found["answer"], written(&expected)?);
    assert_eq!(found["image_id"], "003.png");
    let (_, page) = site.get(&format!("{RUN}/neighbours?heads=shapes&image=3&count=5"))?;
    for neighbour in &expected.images {
        // As a page tells numbers: three digits of what is too small for four decimals.
        let score = neighbour.score;
        let told = if score.abs() < 1e-2 { format!("{score:.2e}") } else { format!("{score:.4}") };
        assert!(page.contains(&neighbour.image_id) && page.contains(&told), "{told}");
        let link =
            format!("why?image=3&amp;heads=shapes&amp;similarity=cosine&amp;neighbour={}", neighbour.image_index);
        assert!(page.contains(&link), "no {link} in {page}");
    }

    let expected_near = expected;
    let found = site.json(&format!("{RUN}/segment.json?heads=all&image=4&text=a+tree&baseline=none"))?;
    let embedding = site.case.model.embed(&["a tree"])?.remove(0).0;
    let trace = site.case.model.trace(&scene(4).0, &site.case.run.layers())?;
    let expected = segment(&site.case.run, &trace, &"all".parse()?, &embedding)?;
    assert_eq!(found["answer"]["shown"][0]["scores"], written(&expected.patches)?);
    let two = site.json(&format!("{RUN}/segment.json?image=4&text=a+tree&text=the+sea"))?;
    assert_eq!(two["answer"]["shown"].as_array().map(Vec::len), Some(2));
    assert_eq!(two["answer"]["scale"]["diverging"], true);
    assert!(site.get(&format!("{RUN}/segment?image=4&text=a+tree"))?.1.matches("<rect").count() >= 64 + 33);

    let compared = site.json("/compare.json?heads=shapes&image=3&count=5")?;
    assert_eq!(compared["answers"][0]["found"], written(&expected_near)?);
    let (_, page) = site.get("/compare?heads=tastes&image=3")?;
    assert!(page.contains("no head of the run") && page.contains("Association by layer"));

    let why = site.json(&format!("{RUN}/why.json?heads=shapes&image=3&neighbour=5&similarity=dot"))?;
    let near = site.json(&format!("{RUN}/neighbours.json?heads=shapes&image=3&count=200&similarity=dot"))?;
    let near = near["answer"]["images"].as_array().ok_or("no images")?;
    let score = near.iter().find(|image| image["image_index"] == 5).and_then(|image| image["score"].as_f64());
    let total = why["answer"]["shown"][0]["total"].as_f64().unwrap_or_default();
    assert!((total - score.unwrap_or_default()).abs() < 1e-5 * total.abs(), "{total} {score:?}");
    Ok(())
}

#[test]
fn an_upload_goes_on_to_the_page_that_asked() -> Outcome {
    // Of its own: uploads of other tests may crowd this one out of a store with a bound.
    let site = Site::new(ExplorerSettings::default())?;
    let file = png(&scene(6).0)?;
    let (status, place) = site.upload(&file, &format!("{RUN}/neighbours?heads=colors&image=1&similarity=cosine"))?;
    assert_eq!(status, StatusCode::SEE_OTHER, "{place}");
    assert!(place.contains("upload=") && place.contains("heads=colors") && !place.contains("image="), "{place}");
    let found = site.json(&place.replace("/neighbours?", "/neighbours.json?"))?;
    assert_eq!(found["answer"]["images"][0]["image_id"], "006.png", "the same scene is nearest");
    let name = found["upload"].as_str().unwrap_or_default();
    assert_eq!(site.send(Request::get(format!("/upload/{name}.png")).body(Body::empty())?)?.0, StatusCode::OK);
    assert_eq!(site.send(Request::get(format!("{RUN}/seen/{name}.png")).body(Body::empty())?)?.0, StatusCode::OK);
    assert!(site.get(&place.replace("/neighbours?", "/segment?"))?.1.contains("say what to look for"));
    Ok(())
}

#[test]
fn tables_stand_beside_the_pages() -> Outcome {
    let site = shared();
    for path in [
        "/index.parquet".to_owned(),
        format!("{RUN}/neighbours.parquet?heads=shapes&image=3"),
        format!("{RUN}/segment.parquet?image=3&text=a+tree"),
        format!("{RUN}/why.parquet?heads=shapes&image=3&neighbour=5"),
        format!("{RUN}/head/L3.H3.parquet"),
        format!("{RUN}/images.parquet"),
        "/compare.parquet?image=3".to_owned(),
        "/compare.parquet?analysis=segment&image=3&text=a+tree&text=the+sea".to_owned(),
    ] {
        let (status, _, body) = site.send(Request::get(&path).body(Body::empty())?)?;
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        assert!(body.starts_with(b"PAR1") && body.ends_with(b"PAR1"), "{path}");
    }
    for (path, names) in [
        ("/index.parquet?property=shapes", vec!["mean_length", "shown"]),
        ("/compare.parquet?analysis=segment&image=3&text=a+tree", vec!["run", "text", "row", "column", "score"]),
    ] {
        let (_, _, body) = site.send(Request::get(path).body(Body::empty())?)?;
        for name in names {
            assert!(body.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{path}: no column {name}");
        }
    }
    let (status, said) = site.get(&format!("{RUN}/neighbours.parquet"))?;
    assert_eq!((status, said.contains("ask a question first")), (StatusCode::NOT_FOUND, true));
    Ok(())
}

#[test]
fn every_documented_path_is_there() -> Outcome {
    let site = shared();
    let described = site.json("/openapi.json")?;
    let paths = described["paths"].as_object().ok_or("no paths")?;
    for path in paths.keys().filter(|path| path.as_str() != "/upload") {
        let filled = path.replace("{dataset}", "scenes").replace("{model}", "scenes-4").replace("{head}", "L3.H3");
        let filled =
            filled.replace("{index}", "3").replace("{name}", "3").replace("{hash}", "0123456789abcdef01234567");
        let (status, _, body) =
            site.send(Request::get(format!("{filled}?image=3&neighbour=5&text=a")).body(Body::empty())?)?;
        let said = String::from_utf8_lossy(&body);
        assert!(status == StatusCode::OK || said.contains("upload is no longer here"), "{filled}: {status} {said}");
    }
    Ok(())
}

#[test]
fn images_are_leafed_through_and_chosen() -> Outcome {
    let site = shared();
    let found = site.json(&format!("{RUN}/images.json?find=1&heads=shapes"))?;
    let ids: Vec<&str> =
        found["images"].as_array().into_iter().flatten().filter_map(|row| row["image_id"].as_str()).collect();
    assert!(ids.iter().all(|id| id.contains('1')) && ids.contains(&"001.png") && ids.contains(&"021.png"), "{ids:?}");
    let (_, page) = site.get(&format!("{RUN}/images?next=segment&text=a+tree"))?;
    assert!(
        page.contains("/segment?text=a+tree&amp;image=0") && !page.contains("007.png"),
        "the damaged image is not offered"
    );
    let (status, said) = site.get(&format!("{RUN}/images?from=1000"))?;
    assert_eq!((status, said.contains("29 images")), (StatusCode::NOT_FOUND, true), "{said}");
    Ok(())
}

#[test]
fn the_same_maps_for_several_models() -> Outcome {
    let site = shared();
    let one = site.json(&format!("{RUN}/segment.json?image=4&text=a+tree&text=the+sea"))?;
    let side = site.json("/compare.json?analysis=segment&image=4&text=a+tree&text=the+sea")?;
    assert_eq!(side["answers"][0]["maps"], one["answer"]);
    assert_eq!(site.get("/compare?run=nobody")?.0, StatusCode::NOT_FOUND);
    Ok(())
}

#[test]
fn several_texts_come_with_their_own_maps_and_the_winner_of_each_patch() -> Outcome {
    let site = shared();
    let answer =
        site.json(&format!("{RUN}/segment.json?image=4&text=a+tree&text=the+sea&text=a+ball"))?["answer"].take();
    let numbers = |map: &Value| -> Vec<f64> {
        map["scores"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    let texts: Vec<Vec<f64>> = answer["texts"].as_array().into_iter().flatten().map(numbers).collect();
    let leads: Vec<Vec<f64>> = answer["shown"].as_array().into_iter().flatten().map(numbers).collect();
    let winners: Vec<u64> = answer["winners"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    assert_eq!((texts.len(), leads.len(), winners.len()), (3, 3, texts[0].len()));
    let high = answer["scale"]["high"].as_f64().ok_or("no scale")?;
    for (patch, winner) in winners.iter().enumerate() {
        for (place, text) in texts.iter().enumerate() {
            let others = texts.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, text)| text[patch]);
            let lead = text[patch] - others.fold(f64::NEG_INFINITY, f64::max);
            assert!((lead - leads[place][patch]).abs() < 1e-6, "patch {patch} of text {place}");
            assert!(lead < 1e-9 || *winner == place as u64, "patch {patch}: {winner} is not ahead, {place} is");
            assert!(text[patch].abs().max(lead.abs()) <= high * (1.0 + 1e-6), "the scale holds maps and leads");
        }
    }
    let one = site.json(&format!("{RUN}/segment.json?image=4&text=a+tree"))?;
    assert!(one["answer"].get("texts").is_none() && one["answer"].get("winners").is_none());
    Ok(())
}

#[test]
fn an_image_of_ones_own_is_handed_in_beside_the_question() -> Outcome {
    let site = shared();
    for path in [format!("{RUN}/neighbours?heads=shapes"), format!("{RUN}/segment?text=a"), "/compare".to_owned()] {
        let (_, page) = site.get(&path)?;
        let (_, ask) = page.split_once("<form class=\"ask\"").ok_or("no question")?;
        let (ask, rest) = ask.split_once("</form>").ok_or("the question does not end")?;
        assert!(ask.contains("type=\"file\" name=\"file\" form=\"upload\""), "{path}");
        assert!(rest.contains("<form id=\"upload\" method=\"post\" action=\"/upload\""), "{path}");
    }
    Ok(())
}

#[test]
fn a_chosen_page_stands_alone() -> Outcome {
    let site = shared();
    let explorer = Explorer::new(vec![Arc::clone(&site.case) as Arc<dyn RunAccess>], ExplorerSettings::default());
    let pages = ["/".to_owned(), format!("{RUN}/head/L3.H3"), format!("{RUN}/segment?image=4&text=a+tree")];
    let files = site.runtime.block_on(explorer.export(&pages))?;
    let read =
        |name: &str| files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    assert!(read("index.html").contains("<a href=\"page-002.html\">“a tree”, image 4, all heads – Segmentation"));
    assert!(read("page-000.html").contains("href=\"page-001.html\""), "the matrix leads to the exported head");
    for page in ["page-000.html", "page-001.html", "page-002.html"] {
        let html = read(page);
        assert!(!html.contains("=\"/") && !html.contains("<form"), "{page} still needs a server");
        assert!(!html.contains("type=\"module\""), "a browser loads no module for a file");
        for file in html.split(" src=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(files.contains_key(file), "{page} shows {file}");
        }
    }
    let missing = site.runtime.block_on(explorer.export(&[format!("{RUN}/head/L9.H9")]));
    let message = missing.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("404") && message.contains("L9.H9 was not extracted"), "{message}");
    Ok(())
}

#[test]
fn the_first_sight_is_one_head_with_its_texts_and_images() -> Outcome {
    let site = shared();
    let first = site.json("/index.json")?;
    let story = &first["story"];
    let texts = story["texts"].as_array().ok_or("no texts")?;
    assert!((1..=3).contains(&texts.len()), "{story}");
    assert!(texts.iter().all(|text| text["images"].as_array().is_some_and(|images| images.len() == 2)), "{story}");
    let run = &site.case.run;
    let head = headspan_artifacts::HeadId {
        layer: story["head"]["layer"].as_u64().ok_or("no layer")? as u32,
        head: story["head"]["head"].as_u64().ok_or("no head")? as u32,
    };
    // No ablation was made here: the head with the most variance along texts that fit.
    let weight = |head| {
        run.label(head)?.property.as_ref()?;
        let fit = run.fit(head).map_or((1.0, 1), |fit| (fit.share, fit.consistent));
        (fit.1 > 0).then_some(run.figures().get(&head)?.variance_share * fit.0)
    };
    let most = run.heads().filter_map(weight).fold(0.0, f64::max);
    assert_eq!(weight(head), Some(most));
    let (_, page) = site.get("/")?;
    assert!(page.contains("How much it matters") && page.contains("/map?heads="), "{page}");
    // Another head, and all the way round.
    let count = story["heads"].as_u64().ok_or("no count")?;
    assert_ne!(site.json("/index.json?example=1")?["story"]["head"], story["head"]);
    assert_eq!(site.json(&format!("/index.json?example={count}"))?["story"]["head"], story["head"]);
    assert!(site.json("/index.json?property=shapes")?["story"].is_null(), "a filtered page answers what was asked");
    Ok(())
}

#[test]
fn an_image_without_a_text_shows_where_the_heads_look() -> Outcome {
    let site = shared();
    let found = site.json(&format!("{RUN}/segment.json?heads=L3.H3,L2.H1&image=4"))?;
    let shown = found["answer"]["shown"].as_array().ok_or("no maps")?;
    assert_eq!(
        shown.iter().filter_map(|map| map["title"].as_str()).collect::<Vec<_>>(),
        ["attention", "share in what is added"]
    );
    let trace = site.case.model.trace(&scene(4).0, &site.case.run.layers())?;
    let heads = ["L3.H3", "L2.H1"].map(str::parse::<headspan_artifacts::HeadId>);
    let mean = |token: usize| -> Result<f64, Box<dyn std::error::Error>> {
        let mut sum = 0.0;
        for head in &heads {
            sum += f64::from(trace.token(head.clone()?, token)?.0) / 2.0;
        }
        Ok(sum)
    };
    let patches = shown[0]["scores"].as_array().ok_or("no scores")?;
    for (patch, score) in patches.iter().enumerate() {
        let told = score.as_f64().ok_or("no number")?;
        assert!((told - mean(patch + 1)?).abs() < 1e-6, "{patch}: {told}");
    }
    for map in shown {
        // Shares of all tokens, the class token included.
        assert!((map["total"].as_f64().ok_or("no total")? - 1.0).abs() < 1e-5, "{map}");
    }
    let (_, page) = site.get(&format!("{RUN}/segment?heads=L3.H3&image=4"))?;
    assert!(page.contains("Where the heads look") && page.contains("say what to look for"), "{page}");
    Ok(())
}
