use std::path::PathBuf;

use headspan_net::shown;
use reqwest::Url;

use crate::error::HubError;

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
    /// Longest time for all tries of a request, in seconds; a download that grew begins anew.
    pub total_secs: u64,
    /// Only the cache is used.
    pub offline: bool,
}

impl HubSettings {
    /// From `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and, for the cache, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` and
    /// `HOME`, with the same precedence as `huggingface_hub`.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let folder = |name: &str| set(name).map(PathBuf::from);
        let home = || folder("HOME").or_else(|| folder("USERPROFILE")).unwrap_or_else(|| PathBuf::from("."));
        let caches = || folder("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
        let hub_home = || folder("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: folder("HF_HUB_CACHE").unwrap_or_else(|| hub_home().join("hub")),
            // As `huggingface_hub` does: a token read from a file often ends with a newline.
            token: set("HF_TOKEN").map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            retries: 5,
            backoff_ms: 500,
            total_secs: 600,
            offline: set("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
        }
    }

    /// Refuses the network if it is not to be used.
    pub(crate) fn online(&self, url: &str) -> Result<(), HubError> {
        if self.offline { Err(HubError::Offline { url: shown(url) }) } else { Ok(()) }
    }

    /// Whether an address is below the endpoint. Parsed, not compared as text: `https://hub.example.evil` begins like
    /// `https://hub.example`.
    pub(crate) fn is_hub(&self, url: &str) -> bool {
        let (Ok(hub), Ok(url)) = (Url::parse(&self.endpoint), Url::parse(url)) else { return false };
        let below = url.path().strip_prefix(hub.path().trim_end_matches('/'));
        hub.origin() == url.origin() && below.is_some_and(|rest| rest.starts_with('/'))
    }
}

/// What `huggingface_hub` takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        let lookup =
            |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned());
        HubSettings::from_env(lookup)
    }

    #[test]
    fn the_cache_is_the_one_of_huggingface_hub() {
        let mut variables = Vec::new();
        for (name, value, cache) in [
            ("HOME", "/h", "/h/.cache/huggingface/hub"),
            ("XDG_CACHE_HOME", "/c", "/c/huggingface/hub"),
            ("HF_HOME", "/x", "/x/hub"),
            ("HF_HUB_CACHE", "/y", "/y"),
        ] {
            variables.push((name, value));
            assert_eq!(settings(&variables).cache, PathBuf::from(cache), "{name} goes before the others");
        }
        assert_eq!(settings(&[("HOME", "/h"), ("XDG_CACHE_HOME", "")]).cache, settings(&variables[..1]).cache);
    }

    #[test]
    fn offline_is_what_huggingface_hub_takes_for_it() {
        for (value, offline) in [("1", true), ("ON", true), ("True", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, offline, "`{value}`");
        }
        assert!(!settings(&[]).offline);
    }

    #[test]
    fn a_token_loses_the_newline_of_its_file() {
        assert_eq!(settings(&[("HF_TOKEN", "hf_x\n")]).token.as_deref(), Some("hf_x"));
        assert_eq!(settings(&[("HF_TOKEN", " \n")]).token, None);
    }

    #[test]
    fn only_addresses_below_the_endpoint_are_the_hubs() {
        let hub = settings(&[("HF_ENDPOINT", "https://hub.example/hf/")]);
        assert!(hub.is_hub("https://hub.example/hf/org/model/resolve/main/x"));
        assert!(hub.is_hub("https://hub.example:443/hf/x"));
        for other in [
            "https://raw.githubusercontent.com/hf/x",
            "https://hub.example.evil/hf/x",
            "https://hub.example@evil/hf/x",
            "http://hub.example/hf/x",
            "https://hub.example:8443/hf/x",
            "https://hub.example/hfx",
            "https://hub.example/hf/../x",
            "no address",
        ] {
            assert!(!hub.is_hub(other), "{other}");
        }
        // All of the web begins with this text.
        assert!(!settings(&[("HF_ENDPOINT", "https://")]).is_hub("https://evil/x"));
    }
}
