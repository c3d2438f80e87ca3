//! One box over everything, and what answers about texts are worth.

use axum::http::StatusCode;
use headspan_query::png;
use serde_json::Value;

use crate::{
    site::{RUN, shared},
    support::{Outcome, scene},
};

#[test]
fn heads_are_ranked_by_what_they_carry_of_a_text() -> Outcome {
    let site = shared();
    let found = site.json("/search.json?text=something+red")?;
    let heads = found["heads"].as_array().ok_or("no heads")?;
    let times: Vec<f64> = heads.iter().filter_map(|head| head["carried"]["times"].as_f64()).collect();
    assert!(times.len() == 16 && times.windows(2).all(|pair| pair[0] >= pair[1]), "{times:?}");
    let (embedding, _cut) = site.case.model.embed(&["something red"])?.remove(0);
    let first = site.case.run.heads_by_text(&embedding)?[0];
    // Reading a number from JSON may cost its last bit.
    let told = heads[0]["carried"]["times"].as_f64().ok_or("no number")?;
    assert!((told / first.1.times - 1.0).abs() < 1e-12, "{told}");
    let (_, page) = site.get("/search?text=something+red")?;
    assert!(page.contains(&format!("{RUN}/head/{}", first.0)) && page.contains("Heads that carry it"));
    // What is called so stands above, escaped.
    let (_, page) = site.get("/search?text=shapes")?;
    assert!(page.contains("Called so") && page.contains("property=shapes"));
    let (_, page) = site.get("/search?text=%3Cscript%3Ealert(1)%3C/script%3E")?;
    assert!(!page.contains("<script>alert"));
    Ok(())
}

#[test]
fn an_upload_finds_the_heads_that_it_excites() -> Outcome {
    let site = shared();
    let (status, place) = site.upload(&png(&scene(3).0)?, "/search?text=a+boat")?;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert!(place.starts_with("/search?") && place.contains("upload="), "{place}");
    let found = site.json(&place.replacen("/search?", "/search.json?", 1))?;
    let excited: Vec<f64> =
        found["heads"].as_array().into_iter().flatten().filter_map(|head| head["excited"].as_f64()).collect();
    assert!(excited.len() == 16 && excited.windows(2).all(|pair| pair[0] >= pair[1]), "{found}");
    let heads = site.case.run.heads_by_image(&site.case.traces[3])?;
    assert!((excited[0] - heads[0].1).abs() < 1e-3, "the third image of the run: {} and {}", excited[0], heads[0].1);
    assert_eq!(site.get("/search?upload=0123456789abcdef01234567")?.0, StatusCode::NOT_FOUND);
    Ok(())
}

#[test]
fn what_is_subtracted_is_chosen_and_said() -> Outcome {
    let site = shared();
    let maps = |choice: &str| -> Result<Value, crate::support::Failure> {
        Ok(site.json(&format!("{RUN}/segment.json?image=4&text=a+tree{choice}"))?["answer"].take())
    };
    let (own, published) = (maps("")?, maps("&baseline=none")?);
    // The images of this run have classes without names that its session knows, so its pool stands in.
    assert_eq!(own["subtracted"]["baseline"], "pool");
    assert_eq!(published["subtracted"]["baseline"], "none");
    assert_ne!(own["shown"][0]["scores"], published["shown"][0]["scores"]);
    assert!(own["shown"][0]["margin"].as_f64().is_some_and(|margin| margin > 0.0));
    assert_eq!(maps("&baseline=texts&baseline_text=a+photo;+a+scene")?["subtracted"]["texts"], 2);
    // Of several texts the differences are the same whatever is subtracted.
    let (one, other) = (maps("&text=the+sea")?, maps("&text=the+sea&baseline=none")?);
    let scores = |maps: &Value| -> Vec<f64> {
        maps["shown"][0]["scores"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    assert!(scores(&one).iter().zip(scores(&other)).all(|(one, other)| (one - other).abs() < 1e-5));
    for wrong in ["baseline=mean", "baseline=classes"] {
        assert_eq!(
            site.get(&format!("{RUN}/segment?image=4&text=a+tree&{wrong}"))?.0,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    Ok(())
}

#[test]
fn a_run_by_its_name_leads_to_its_heads() -> Outcome {
    let site = shared();
    for place in [RUN.to_owned(), format!("{RUN}/")] {
        assert_eq!(site.get(&place)?.0, StatusCode::SEE_OTHER, "{place}");
    }
    assert_eq!(site.get("/r/scenes/nobody")?.0, StatusCode::NOT_FOUND);
    Ok(())
}
