//! Bytes as a text that is cleaned. A line that was repaired stays as it is when it is repaired again, as ftfy promises.
#![no_main]

use headspan_cleaning::{clean, fuzzing::repaired, is_changed};

fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let cleaned = clean(&text);
    assert!(!cleaned.starts_with(' ') && !cleaned.ends_with(' ') && !cleaned.contains("  "), "white space is left");
    _ = is_changed(&text);
    let once = repaired(&text);
    // A break that a repair makes ends a line, and the parts of a line are repaired apart.
    if !once.contains('\n') && !nested(&text) {
        assert_eq!(repaired(&once), once, "repaired twice");
    }
}

/// Whether there may be more levels of entities in one another than are taken off.
fn nested(text: &str) -> bool {
    text.matches("amp;").count() > 60
}

headspan_fuzz::target!(text);
