use std::path::PathBuf;

/// Where files come from and where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Folder of the cache, which holds `models--…` folders.
    pub cache: PathBuf,
    /// Token for gated repositories.
    pub token: Option<String>,
    /// Further tries after a cut connection or a server error.
    pub retries: u32,
    /// First wait before another try, doubled each time, in milliseconds.
    pub backoff_ms: u64,
}

impl HubSettings {
    /// From `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_TOKEN` and `HOME`, with the same precedence as `huggingface_hub`.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let home = set("HOME").or_else(|| set("USERPROFILE")).map_or_else(|| PathBuf::from("."), PathBuf::from);
        let cache = set("HF_HUB_CACHE")
            .map(PathBuf::from)
            .or_else(|| set("HF_HOME").map(|folder| PathBuf::from(folder).join("hub")))
            .unwrap_or_else(|| home.join(".cache").join("huggingface").join("hub"));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token: set("HF_TOKEN"),
            retries: 5,
            backoff_ms: 500,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        let lookup =
            |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
        HubSettings::from_env(lookup).cache
    }

    #[test]
    fn the_cache_is_the_one_of_huggingface_hub() {
        assert_eq!(cache(&[("HOME", "/h")]), PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "/x")]), PathBuf::from("/x/hub"));
        assert_eq!(cache(&[("HF_HOME", "/x"), ("HF_HUB_CACHE", "/y")]), PathBuf::from("/y"));
    }
}
