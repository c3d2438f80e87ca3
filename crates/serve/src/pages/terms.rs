//! Definitions of scores and terms, where they stand: on hover, focus and tap, without a script.

use headspan_query::definition;
use maud::{Markup, html};

/// A word with its definition, which shows when the pointer rests on it, or when it has the focus.
pub(super) fn term(key: &str, word: &str) -> Markup {
    html! {
        @if let Some(definition) = definition(key) {
            span.term tabindex="0" { (word) span.definition role="tooltip" { (definition) } }
        } @else {
            (word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_stands_with_its_definition() {
        assert!(term("fit", "texts that fit").into_string().contains("first five texts"));
        assert_eq!(term("nothing", "word").into_string(), "word");
    }
}
