//! Names of settings, and what a misspelt one may mean.

use headspan_artifacts::similar_name;
use serde_json::Value;

use crate::settings::{Settings, values::VALUES};

/// Flags of the command line that are called otherwise than their settings.
const FLAGS: [(&str, &str); 3] = [("k", "textspan.texts"), ("images", "data.path"), ("kind", "data.kind")];

/// The first key of nested tables that is no setting, dotted. `table` is what a file or the environment has.
pub(super) fn unknown_key(table: &Value) -> Option<String> {
    let known = serde_json::to_value(Settings::default()).ok()?;
    unknown(table, &known, "")
}

fn unknown(table: &Value, known: &Value, above: &str) -> Option<String> {
    let (table, known) = (table.as_object()?, known.as_object()?);
    table.iter().find_map(|(name, value)| {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match known.get(name) {
            None => Some(key),
            Some(known) => unknown(value, known, &key),
        }
    })
}

/// The setting that a key may mean: one of the same section, else one of that name in another.
pub(super) fn similar_key(key: &str) -> Option<&'static str> {
    let keys = || VALUES.iter().map(|values| values.key);
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let last = |key: &'static str| key.rsplit_once('.').map_or(("", key), |(section, name)| (section, name));
    let siblings = keys().filter(|own| last(own).0 == section);
    let by_name = |name: &str, among: Vec<&'static str>| {
        let found = similar_name(name, among.iter().map(|own| last(own).1))?.to_owned();
        among.into_iter().find(|own| last(own).1 == found)
    };
    by_name(name, siblings.collect())
        .or_else(|| FLAGS.iter().find(|(flag, _)| *flag == name).map(|(_, key)| *key))
        .or_else(|| keys().find(|own| last(own).1 == name.replace('-', "_")))
        .or_else(|| similar_name(key, keys()))
        .or_else(|| by_name(name, keys().collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misspelt_key_is_recognised() {
        for (key, meant) in [
            ("textspan.rnak", Some("textspan.rank")),
            ("textspan.text", Some("textspan.texts")),
            ("texspan.rank", Some("textspan.rank")),
            ("rank", Some("textspan.rank")),
            ("k", Some("textspan.texts")),
            ("batch-size", Some("images.batch_size")),
            ("label.openai.modell", Some("label.openai.model")),
            ("openai.model", Some("label.openai.model")),
            ("data.clases", Some("data.classes")),
            ("Runs", Some("runs")),
            ("zzz", None),
        ] {
            assert_eq!(similar_key(key), meant, "{key}");
        }
    }

    #[test]
    fn the_first_unknown_key_is_found_with_its_section() {
        assert_eq!(unknown_key(&json!({ "textspan": { "rank": 3, "rnk": 4 } })), Some("textspan.rnk".to_owned()));
        assert_eq!(unknown_key(&json!({ "rank": 3 })), Some("rank".to_owned()));
        assert_eq!(unknown_key(&json!({ "data": { "sample": { "count": 3 } }, "models": ["a"] })), None);
    }
}
