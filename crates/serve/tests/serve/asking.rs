//! What becomes of a question from page to page, and what a page says of it.

use axum::http::StatusCode;

use crate::{
    site::{RUN, shared},
    support::Outcome,
};

/// Longer than the demo model's context.
fn long() -> String {
    "a+red+boat+".repeat(60)
}

#[test]
fn one_text_has_a_scale_about_zero_and_a_reason_its_own() -> Outcome {
    let site = shared();
    let answer = site.json(&format!("{RUN}/segment.json?image=4&text=a+tree"))?["answer"].take();
    let scores: Vec<f64> =
        answer["shown"][0]["scores"].as_array().ok_or("no map")?.iter().filter_map(serde_json::Value::as_f64).collect();
    let largest = scores.iter().fold(0.0_f64, |most, score| most.max(score.abs()));
    let scale = &answer["scale"];
    assert_eq!((scale["diverging"].as_bool(), scale["high"].as_f64()), (Some(true), Some(largest)));
    assert_eq!(scale["low"].as_f64(), Some(-largest));
    let why = site.json(&format!("{RUN}/why.json?heads=shapes&image=3&neighbour=5"))?;
    assert_eq!(why["answer"]["scale"]["diverging"], false);
    Ok(())
}

#[test]
fn a_text_that_is_cut_is_said_to_be() -> Outcome {
    let (site, long) = (shared(), long());
    for page in [format!("{RUN}/neighbours"), format!("{RUN}/segment"), "/compare".to_owned()] {
        for analysis in ["neighbours", "segment"] {
            for (text, cut) in [(long.as_str(), Some(true)), ("a+boat", None)] {
                let query = format!("analysis={analysis}&text={text}&image=4&by=text");
                let answer = site.json(&format!("{page}.json?{query}"))?;
                assert_eq!(answer.get("cut").and_then(serde_json::Value::as_bool), cut, "{page} {query}");
                let (_, html) = site.get(&format!("{page}?{query}"))?;
                assert_eq!(html.contains("its end was cut off"), cut.is_some(), "{page} {query}");
            }
        }
    }
    Ok(())
}

#[test]
fn models_are_compared_by_the_whole_question() -> Outcome {
    let site = shared();
    let class = site.case.classes[0].clone();
    let query = format!("heads=shapes&image=3&count=2&class={class}&farthest=1");
    let one = site.json(&format!("{RUN}/neighbours.json?{query}"))?;
    let all = site.json(&format!("/compare.json?{query}"))?;
    assert_eq!(all["answers"][0]["found"], one["answer"]);
    for field in ["count", "classes", "farthest"] {
        assert_eq!(all[field], one[field], "{field}");
    }
    let (_, page) = site.get(&format!("/compare?{query}"))?;
    assert!(page.contains(&format!("the 2 farthest of {class}")), "said above the answers");
    let (_, form) = page.split_once("<form class=\"ask\"").ok_or("no form")?;
    let (form, _) = form.split_once("</form>").ok_or("the form does not end")?;
    for field in [
        "name=\"count\" min=\"1\" max=\"200\" value=\"2\"".to_owned(),
        format!("name=\"class\" list=\"classes\" maxlength=\"200\" value=\"{class}\""),
        "name=\"farthest\" value=\"1\" checked".to_owned(),
    ] {
        assert!(form.contains(&field), "{field} is not asked again");
    }
    assert!(site.get("/compare")?.1.contains("class=\"empty\""), "without a question it says what to ask");
    Ok(())
}

#[test]
fn a_reason_leads_back_to_its_question() -> Outcome {
    let site = shared();
    let class = site.case.classes[0].clone();
    let kept = format!("similarity=cosine&amp;count=2&amp;class={class}&amp;farthest=1");
    let query = format!("heads=shapes&{}&image=3", kept.replace("&amp;", "&"));
    let (_, page) = site.get(&format!("{RUN}/neighbours?{query}"))?;
    let (_, link) = page.split_once(&format!("href=\"{RUN}/why?")).ok_or("no reason is offered")?;
    let link = link.split('"').next().unwrap_or_default().replace("&amp;", "&");
    let (_, why) = site.get(&format!("{RUN}/why?{link}"))?;
    assert!(why.contains("the map is of the dot product") || why.contains("The map is of the dot product"), "{why}");
    let index = link.split("neighbour=").nth(1).and_then(|rest| rest.split('&').next()).ok_or("no neighbour")?;
    for target in [
        format!("neighbours?heads=shapes&amp;{kept}&amp;image=3"),
        format!("neighbours?heads=shapes&amp;{kept}&amp;image={index}"),
        format!("why?heads=shapes&amp;{kept}&amp;image={index}&amp;neighbour=3"),
    ] {
        assert!(why.contains(&target), "no link to {target} in {why}");
    }
    let (_, plain) = site.get(&format!("{RUN}/why?heads=shapes&image=3&neighbour=5&similarity=dot"))?;
    assert!(!plain.contains("The map is of the dot product"));
    Ok(())
}

#[test]
fn an_image_chosen_by_sight_keeps_the_class_of_the_question() -> Outcome {
    let site = shared();
    let class = site.case.classes[0].clone();
    let (_, page) = site.get(&format!("{RUN}/neighbours?heads=shapes&class={class}&text=a"))?;
    let (_, link) = page.split_once(&format!("href=\"{RUN}/images?next=")).ok_or("nothing is chosen by sight")?;
    let link = link.split('"').next().unwrap_or_default().replace("&amp;", "&");
    let images = site.json(&format!("{RUN}/images.json?next={link}"))?;
    assert_eq!(images["found"], 29, "the question's class is not that of the images");
    let (_, page) = site.get(&format!("{RUN}/images?next={link}&class={class}"))?;
    assert!(page.contains(&format!("/neighbours?heads=shapes&amp;class={class}&amp;text=a&amp;image=0")), "{page}");
    let found = |find: &str| site.json(&format!("{RUN}/images.json?find={find}")).map(|images| images["found"].clone());
    assert_eq!(found("001.PNG")?, found("001.png")?);
    assert_eq!(found("001.PNG")?, 1);
    Ok(())
}

#[test]
fn the_filter_says_what_it_leaves_and_keeps_the_plot() -> Outcome {
    let site = shared();
    let (status, page) = site.get("/?property=flavours&x=rank&y=layer")?;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<option value=\"flavours\" selected"), "the chosen property is offered");
    assert!(page.contains("0 of 16 heads"), "{page}");
    // The first form is the search of every page.
    let form = page.split("</form>").nth(1).ok_or("no form")?;
    assert!(form.contains("name=\"x\" value=\"rank\"") && form.contains("name=\"y\" value=\"layer\""));
    assert!(form.contains("href=\"/?x=rank&amp;y=layer\""), "all heads, on the same axes");
    assert!(site.get("/?property=shapes")?.1.contains("3 of 16 heads"));
    Ok(())
}

#[test]
fn a_title_says_what_was_asked() -> Outcome {
    let site = shared();
    for (path, title) in [
        ("/".to_owned(), "Heads – headspan"),
        (
            format!("{RUN}/neighbours?heads=shapes&text=a+red+boat"),
            "“a red boat”, shapes – Neighbours – scenes/scenes-4 – headspan",
        ),
        (
            format!("{RUN}/why?heads=shapes&image=3&neighbour=5"),
            "image 5 near image 3, shapes – Why – scenes/scenes-4 – headspan",
        ),
        (format!("{RUN}/head/L3.H3"), "L3.H3: colors – scenes/scenes-4 – headspan"),
        ("/compare?heads=shapes&image=3&text=a".to_owned(), "image 3, shapes – Compare – headspan"),
    ] {
        let (_, page) = site.get(&path)?;
        assert!(page.contains(&format!("<title>{title}</title>")), "{path}: {}", &page[..400]);
    }
    Ok(())
}
