//! Right values: ftfy 6.3.1 and Python's `html.unescape` and `str.split`, as OpenCLIP calls them (`tools/reference/tokens.py golden`).

use headspan_cleaning::clean;

#[test]
fn texts_are_cleaned_as_open_clip_cleans_them() -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<(String, String)> = serde_json::from_str(include_str!("data/cleaned.json"))?;
    assert_eq!(rows.len(), 300);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|(text, expected)| clean(text) != *expected)
        .map(|(text, expected)| format!("  {text:?}: {:?}, expected {expected:?}", clean(text)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}
