//! Which values each setting takes: the one place that says so, for checks before any work and for `docs/settings.md`.

use headspan_artifacts::RunId;
use serde_json::Value;

use crate::settings::Settings;

/// The values of one setting.
pub struct Values {
    /// Dotted key.
    pub key: &'static str,
    /// In words, to stand after "expected".
    pub expected: &'static str,
    valid: fn(&Value) -> bool,
}

/// A value that its setting does not take.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WrongValue {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) expected: &'static str,
}

/// Most texts or images of one forward pass.
const MOST_AT_ONCE: u64 = 65_536;
/// Most threads of a kind.
const MOST_THREADS: u64 = 1_024;
/// Most random draws.
const MOST_DRAWS: u64 = 10_000_000;

const fn values(key: &'static str, expected: &'static str, valid: fn(&Value) -> bool) -> Values {
    Values { key, expected, valid }
}

/// Every setting, in the order of its key. The type of a setting refuses other values before this does.
pub const VALUES: &[Values] = &[
    values("checkpoint", "a folder or a file", text_or_none),
    values("data.class_column", "a column's name, or nothing", |_| true),
    values("data.classes", "a file", text_or_none),
    values("data.image_column", "a column's name", text),
    values("data.kind", "auto, folder, manifest, webdataset or parquet", |_| true),
    values("data.label_column", "a column's name, or nothing", |_| true),
    values("data.limit", "1 or more", |v| v.is_null() || whole(v, 1, u64::MAX)),
    values("data.max_file_bytes", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("data.path", "a folder, a file, a pattern, or the address of one", |_| true),
    values("data.path_column", "a column's name", text),
    values("data.root", "a folder", text_or_none),
    values("data.sample", "a table with `count` (1 or more) and `seed`", |v| {
        v.is_null() || whole(&v["count"], 1, u64::MAX)
    }),
    values("dataset", "letters, digits, `.`, `_`, `-` and `+`, the first not a `.`", |v| {
        v.as_str().is_some_and(|name| RunId::new(name, "any").is_ok())
    }),
    values("device", "auto, cpu, wgpu or cuda, or one of several GPUs such as cuda:1", |_| true),
    values("images.batch_size", "0 (headspan chooses) to 65536", |v| whole(v, 0, MOST_AT_ONCE)),
    values("images.decode_threads", "0 (one per core) to 1024", |v| whole(v, 0, MOST_THREADS)),
    values("images.identity_tolerance", "a number above 0", above_zero),
    values("images.keep", "all, moments, or a sample such as sample:50000", |_| true),
    values("images.layers", "last:N, all, or a list such as 8,9", |v| v != "last:0" && text(v)),
    values("images.max_pixels", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("images.part_rows", "1 to 16777216", |v| whole(v, 1, 1 << 24)),
    values("images.precision", "auto, float32, float16 or bfloat16", |_| true),
    values("images.probe_tolerance", "a number above 0", above_zero),
    values("images.strict", "true or false", |_| true),
    values("images.workers", "0 (headspan chooses) to 1024", |v| whole(v, 0, MOST_THREADS)),
    values("label.import", "a file", text_or_none),
    values("label.labeller", "lexicon, openai or import", |_| true),
    values("label.lexicon.minimum_agreement", "0 to 1", |v| between(v, 0.0, 1.0)),
    values("label.lexicon.texts", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("label.lexicon.weighting", "variance_share, equal or reciprocal_rank", |_| true),
    values("label.openai.answer_tokens", "0 (not sent) or more", |v| whole(v, 0, u64::MAX)),
    values("label.openai.api_key_env", "the name of an environment variable", text),
    values("label.openai.backoff_ms", "0 to 3600000", |v| whole(v, 0, 3_600_000)),
    values("label.openai.base_url", "a URL that begins with http:// or https://", |v| {
        let parts = v.as_str().and_then(|url| url.trim().split_once("://"));
        parts.is_some_and(|(scheme, rest)| {
            ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) && !rest.is_empty()
        })
    }),
    values("label.openai.concurrency", "1 to 1024", |v| whole(v, 1, MOST_THREADS)),
    values("label.openai.judges", "names of models", texts),
    values("label.openai.max_cost", "0 (no limit) or more", |v| between(v, 0.0, f64::MAX)),
    values("label.openai.max_reasks", "0 to 1000", |v| whole(v, 0, 1_000)),
    values("label.openai.max_retries", "0 to 1000", |v| whole(v, 0, 1_000)),
    values("label.openai.max_tokens", "0 (no limit) or more", |_| true),
    values("label.openai.model", "a model's name", text),
    values("label.openai.price_in", "0 or more", |v| between(v, 0.0, f64::MAX)),
    values("label.openai.price_out", "0 or more", |v| between(v, 0.0, f64::MAX)),
    values("label.openai.prompts", "a folder", text_or_none),
    values("label.openai.temperature", "0 to 2", |v| between(v, 0.0, 2.0)),
    values("label.openai.texts", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("label.openai.timeout_secs", "a number above 0", above_zero),
    values("label.openai.total_secs", "a number above 0", above_zero),
    values("metrics.scores.association_threshold", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("metrics.scores.bootstrap_samples", "0 (no intervals) to 10000000", |v| whole(v, 0, MOST_DRAWS)),
    values("metrics.scores.confidence", "a number between 0 and 1", |v| between(v, 0.0, 1.0)),
    values("metrics.scores.permutations", "0 (no null) to 10000000", |v| whole(v, 0, MOST_DRAWS)),
    values("metrics.scores.seed", "0 or more", |_| true),
    values("metrics.scores.texts", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("metrics.synonyms", "a file, or built-in", text),
    values("model.architecture", "the name of an architecture", text_or_none),
    values("model.image_size", "1 to 65536", |v| v.is_null() || whole(v, 1, 65_536)),
    values("model.quick_gelu", "true or false", |_| true),
    values("models", "ids or architectures", texts),
    values("runs", "a folder", text),
    values("texts.batch_size", "0 (headspan chooses) to 65536", |v| whole(v, 0, MOST_AT_ONCE)),
    values("texts.categories", "a file, or built-in", text),
    values("texts.file", "a file, or built-in", text),
    values("textspan.rank", "1 or more", |v| whole(v, 1, u64::MAX)),
    values("textspan.texts", "1 or more", |v| whole(v, 1, u64::MAX)),
];

/// The first value that its setting does not take.
pub(super) fn wrong_value(settings: &Settings) -> Result<Option<WrongValue>, serde_json::Error> {
    let all = serde_json::to_value(settings)?;
    let wrong = VALUES.iter().find_map(|Values { key, expected, valid }| {
        let value = at(&all, key)?;
        (!valid(value)).then(|| WrongValue { key, value: shown(value), expected })
    });
    Ok(wrong)
}

/// The value at a dotted key.
fn at<'a>(all: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(all, |value, name| value.get(name))
}

/// As it stands in a settings file; JSON has no number that is not finite.
fn shown(value: &Value) -> String {
    if value.is_null() { "not finite".to_owned() } else { format!("`{value}`") }
}

fn text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn text_or_none(value: &Value) -> bool {
    value.is_null() || text(value)
}

fn texts(value: &Value) -> bool {
    value.as_array().is_some_and(|all| all.iter().all(text))
}

fn whole(value: &Value, least: u64, most: u64) -> bool {
    value.as_u64().is_some_and(|number| (least..=most).contains(&number))
}

fn between(value: &Value, least: f64, most: f64) -> bool {
    value.as_f64().is_some_and(|number| (least..=most).contains(&number))
}

fn above_zero(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(key: &str, value: Value) -> Result<Option<WrongValue>, Box<dyn std::error::Error>> {
        let mut all = serde_json::to_value(Settings::default())?;
        *all.pointer_mut(&format!("/{}", key.replace('.', "/"))).ok_or(key)? = value;
        Ok(wrong_value(&serde_json::from_value(all)?)?)
    }

    #[test]
    fn the_defaults_are_values() -> Result<(), Box<dyn std::error::Error>> {
        assert_eq!(wrong_value(&Settings::default())?, None);
        Ok(())
    }

    #[test]
    fn what_no_setting_takes_is_found() -> Result<(), Box<dyn std::error::Error>> {
        for (key, wrong, right) in [
            ("textspan.texts", json!(0), json!(1)),
            ("textspan.rank", json!(0), json!(80)),
            ("data.limit", json!(0), json!(null)),
            ("data.sample", json!({ "count": 0 }), json!({ "count": 3 })),
            ("images.batch_size", json!(100_000_000), json!(0)),
            ("images.layers", json!("last:0"), json!("last:2")),
            ("images.layers", json!([]), json!([3, 4])),
            ("images.identity_tolerance", json!(-1.0), json!(1e-4)),
            ("dataset", json!("a/b"), json!("a-b")),
            ("dataset", json!(""), json!("007")),
            ("runs", json!(""), json!("~/runs")),
            ("models", json!([""]), json!(["ViT-L-14"])),
            ("label.lexicon.minimum_agreement", json!(1.5), json!(1)),
            ("label.openai.temperature", json!(-0.5), json!(2.0)),
            ("label.openai.concurrency", json!(0), json!(1)),
            ("label.openai.max_cost", json!(-1.0), json!(0.5)),
            ("metrics.scores.texts", json!(0), json!(5)),
        ] {
            let found = with(key, wrong.clone())?;
            assert!(found.as_ref().is_some_and(|found| found.key == key), "{key} = {wrong}: {found:?}");
            assert_eq!(with(key, right.clone())?, None, "{key} = {right}");
        }
        // Wrong addresses are no settings at all; a right one has its scheme in any case.
        assert!(with("label.openai.base_url", json!("ftp://h/v1")).is_err());
        assert_eq!(with("label.openai.base_url", json!("HTTP://h/v1"))?, None);
        let infinite = Settings {
            images: headspan_extract::ImagesSettings { probe_tolerance: f64::NAN, ..Default::default() },
            ..Settings::default()
        };
        assert!(wrong_value(&infinite)?.is_some_and(|found| found.value == "not finite"));
        Ok(())
    }
}
