//! Definitions of scores and terms.

/// Scores and terms by key, in the words that explorer and report define them with.
pub const TERMS: [(&str, &str); 27] = [
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
    (
        "component",
        "A direction in which the head's contributions vary. The first is that of most variance, each further one that of most of what is left.",
    ),
    ("labels-by", "Who named the properties: the lexicon of the pool, a language model, or an imported file."),
    (
        "z",
        "Entanglement less that of labels drawn anew, in standard deviations of those draws. Below 0, heads share properties less than by chance.",
    ),
    (
        "ccs",
        "Concept consistency of a head at level 5: all of its first five texts fit its property. The figure is the share of such heads.",
    ),
    ("accuracy", "Share of the images whose predicted class is their own. Intervals are 95 % intervals of Wilson."),
    ("worst-group", "The group of images with the lowest accuracy, before and after each by itself."),
    (
        "p",
        "Share of random sets of as many heads that change the accuracy at least as much, the set itself counted among them.",
    ),
    ("kept", "Accuracy over that which the heads' whole output keeps."),
    ("kappa", "Cohen's kappa: 1 if two say the same of everything, 0 if they agree as by chance."),
    (
        "cka",
        "Centred kernel alignment of what two heads put out over the same images: 1 if they are the same but for a rotation and a factor.",
    ),
    (
        "overlap",
        "How far the directions agree in which two heads can write: 1 if they are the same, 0 if they are orthogonal.",
    ),
    ("fidelity", "Cosine of the direction and the sparse sum of texts that names it, 0 to 1."),
];

/// The definition of a term.
pub fn definition(key: &str) -> Option<&'static str> {
    TERMS.iter().find(|(own, _)| *own == key).map(|(_, definition)| *definition)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_one_definition() {
        let keys: BTreeSet<&str> = TERMS.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys.len(), TERMS.len());
        assert!(definition("fit").is_some_and(|told| told.contains("first five texts")));
        assert_eq!(definition("nothing"), None);
    }
}
