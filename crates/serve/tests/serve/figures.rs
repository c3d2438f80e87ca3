//! Heads and charts as files: with a caption that says how they were made, and their data beside them.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};

use crate::{
    site::{RUN, shared},
    support::Outcome,
};

#[test]
fn a_head_and_each_chart_are_saved_with_a_caption() -> Outcome {
    let site = shared();
    for (path, says, name) in [
        (format!("{RUN}/head/L3.H3.svg"), "label by lexicon", "headspan-scenes-4-L3.H3.svg"),
        ("/index.svg?chart=1&x=layer&y=rank".to_owned(), "Heads of scenes/scenes-4", "headspan-index-1.svg"),
    ] {
        let (status, headers, body) = site.send(Request::get(&path).body(Body::empty())?)?;
        let file = String::from_utf8(body)?;
        assert_eq!(status, StatusCode::OK, "{path}: {file}");
        assert_eq!(headers[header::CONTENT_TYPE], "image/svg+xml");
        assert!(headers[header::CONTENT_DISPOSITION].to_str()?.contains(name), "{headers:?}");
        assert!(file.contains(says) && file.contains("Made with headspan"), "{path}: {file}");
        assert!(!file.contains("href=\"/"), "nothing leads to a server: {file}");
    }
    let (_, file) = site.get(&format!("{RUN}/head/L3.H3.svg"))?;
    assert_eq!(file.matches("data:image/png;base64,").count(), 12, "images stand in the file");
    for missing in ["/index.svg?chart=9", "/index.svg?chart=0", &format!("{RUN}/images.svg")] {
        assert_eq!(site.get(missing)?.0, StatusCode::NOT_FOUND, "{missing}");
    }
    Ok(())
}

#[test]
fn the_data_of_a_page_is_a_table_of_text() -> Outcome {
    let site = shared();
    let (status, text) = site.get(&format!("{RUN}/head/L3.H3.csv"))?;
    assert_eq!(status, StatusCode::OK);
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("rank,text,category,variance_share") && lines.len() == 6, "{text}");
    let (_, heads) = site.get("/index.csv")?;
    assert_eq!(heads.trim_end().split("\r\n").count(), 17, "{heads}");
    Ok(())
}
