//! Scores against counting by hand, and against what is known of the published labels.

use std::collections::BTreeMap;

use headspan_metrics::{pairwise, repeated, repeated_prefix, shared_heads};
use proptest::prelude::*;

proptest! {
    #[test]
    fn entanglement_counts_what_it_says(properties in prop::collection::vec(0_u8..6, 1..40)) {
        let heads = properties.len() as f64;
        let distinct = properties.iter().collect::<std::collections::BTreeSet<_>>().len() as f64;
        prop_assert_eq!(repeated(&properties), Some((heads - distinct) / heads));
        let twins = (0..properties.len())
            .filter(|i| (0..properties.len()).any(|j| j != *i && properties[j] == properties[*i]))
            .count() as f64;
        prop_assert_eq!(shared_heads(&properties), Some(twins / heads));
        let mut pairs = 0_u32;
        let mut equal = 0_u32;
        for i in 0..properties.len() {
            for j in 0..properties.len() {
                if i != j {
                    pairs += 1;
                    equal += u32::from(properties[i] == properties[j]);
                }
            }
        }
        let expected = (pairs > 0).then(|| f64::from(equal) / f64::from(pairs));
        prop_assert_eq!(pairwise(&properties), expected);
    }

    #[test]
    fn the_order_of_heads_does_not_matter(mut properties in prop::collection::vec(0_u8..6, 2..40), seed in any::<usize>()) {
        let before = (repeated(&properties), shared_heads(&properties), pairwise(&properties));
        let turn = seed % properties.len();
        properties.rotate_left(turn);
        properties.swap(0, turn);
        prop_assert_eq!(before, (repeated(&properties), shared_heads(&properties), pairwise(&properties)));
    }
}

/// Counts of `facts.md`, section Scores: repeated labels with the authors' folding, and heads that share an exact lower-case
/// label.
#[test]
fn published_labels_give_the_known_counts() -> Result<(), Box<dyn std::error::Error>> {
    let Some(shared) = std::env::var_os("HEADSPAN_SHARED") else {
        eprintln!("skipped: HEADSPAN_SHARED is not set, so there are no published labels");
        return Ok(());
    };
    let text = fs_err::read_to_string(std::path::Path::new(&shared).join("data/published_head_labels.csv"))?;
    let mut models: BTreeMap<String, Vec<(u32, u32, String)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.splitn(4, ',').collect();
        let [model, layer, head, property] = fields[..] else { return Err(line.into()) };
        let head = (layer.parse()?, head.parse()?, property.trim_matches('"').to_lowercase());
        models.entry(model.to_owned()).or_default().push(head);
    }
    let expected = [
        ("ViT-B-16_laion2b_s34b_b88k", 14, 19),
        ("ViT-B-16_openai", 18, 19),
        ("ViT-B-32_datacomp_m_s128m_b4k", 15, 20),
        ("ViT-B-32_openai", 19, 27),
        ("ViT-L-14_laion2b_s32b_b82k", 31, 39),
        ("ViT-L-14_openai", 28, 38),
    ];
    for (model, prefix, sharing) in expected {
        let heads = models.get_mut(model).ok_or(model)?;
        heads.sort();
        let labels: Vec<String> = heads.iter().map(|(_, _, property)| property.clone()).collect();
        let count = |share: Option<f64>| share.map(|share| (share * labels.len() as f64).round() as i64);
        let exact: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(count(repeated_prefix(&labels)), Some(prefix), "{model}, authors' folding");
        assert_eq!(count(shared_heads(&exact)), Some(sharing), "{model}, heads that share a label");
    }
    Ok(())
}
