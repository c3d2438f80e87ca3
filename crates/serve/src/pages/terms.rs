//! Definitions of scores and terms, where they stand: on hover, focus and tap, without a script.

use maud::{Markup, html};

/// Each term with its definition.
const TERMS: [(&str, &str); 16] = [
    (
        "head",
        "An attention head is one of the parallel units of a transformer layer. It attends to the image's patches with its own weights and adds one vector to the image's representation.",
    ),
    ("property", "What a head is about, as the labeller named it from the texts that span its output."),
    ("fit", "Share of the variance along the head's first five texts that lies along those which fit its property."),
    ("entanglement", "Share of heads whose property an earlier head has already. Lower is better."),
    (
        "association",
        "Share of heads of which at least three of the first five texts fit their property. Higher is better.",
    ),
    ("variance", "How much the head's contribution differs from image to image: the trace of its covariance."),
    ("of-run", "The head's part of the variance of all extracted heads."),
    ("effective-rank", "In how many directions the head's contribution varies: 1 if all its variance lies along one."),
    ("mean-length", "Length of the head's mean contribution: what it says whatever the image shows."),
    ("cosine", "Cosine of the angle between the heads' contribution to an image and the query, -1 to 1."),
    (
        "dot",
        "Dot product of the heads' contribution to an image and the query, as published. Images with large contributions are near to everything.",
    ),
    (
        "margin",
        "Contrast of the map (standard deviation over its patches) over that of a typical text of the pool in the same image. Below 0.75 × a map is mostly noise.",
    ),
    (
        "carried",
        "Variance of the heads' contributions along the text, over the mean of that variance over texts of the pool.",
    ),
    ("above", "Share of the pool's texts along which the head varies less than along this one."),
    ("span", "Length of the text's projection on what the head can write, 0 to 1, whether or not it does."),
    ("labels-by", "Who named the properties: the lexicon of the pool, a language model, or an imported file."),
];

/// A word with its definition, which shows when the pointer rests on it, or when it has the focus.
pub(super) fn term(key: &str, word: &str) -> Markup {
    let definition = TERMS.iter().find(|(own, _)| *own == key).map(|(_, definition)| *definition);
    html! {
        @if let Some(definition) = definition {
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
