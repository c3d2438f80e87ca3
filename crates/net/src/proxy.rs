//! Proxies, as reqwest reads them from the environment: which one is used, and which variables it ignores.

use std::sync::Once;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// Variables that name a proxy; of two spellings the first that is set counts.
const VARIABLES: [[&str; 2]; 3] =
    [["HTTP_PROXY", "http_proxy"], ["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];

/// The proxy for an address, without its password.
pub(crate) fn of(url: &Url) -> Option<String> {
    let matcher = Matcher::from_system();
    let intercept = matcher.intercept(&url.as_str().parse().ok()?)?;
    let proxy = intercept.uri();
    Some(format!("{}://{}", proxy.scheme_str()?, proxy.authority()?))
}

/// The proxy for an address that may be none.
pub(crate) fn of_text(url: &str) -> Option<String> {
    Url::parse(url).ok().as_ref().and_then(of)
}

/// Warns, once, of variables whose proxy cannot be used: requests then go out without it.
pub(crate) fn check() {
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| {
        for names in VARIABLES {
            let set = names.iter().find_map(|name| std::env::var(name).ok().map(|value| (name, value)));
            if let Some((name, value)) = set.filter(|(_, value)| !usable(value)) {
                tracing::warn!("ignoring the proxy in `{name}`: {}", what(&value));
            }
        }
    });
}

fn usable(value: &str) -> bool {
    if value.is_empty() {
        return true;
    }
    let matcher = Matcher::builder().all(value.to_owned()).build();
    matcher.intercept(&"http://host/".parse().unwrap_or_default()).is_some()
}

fn what(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, _)) if !matches!(scheme, "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h") => {
            format!("its scheme `{scheme}` is not http, https, socks4, socks4a, socks5 or socks5h")
        }
        _ => "it is not an address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_cannot_be_used_are_told_from_the_others() {
        let good =
            ["http://proxy:3128", "proxy:3128", "https://u:p@proxy", "socks5h://127.0.0.1:1080", "socks5://h", ""];
        for value in good {
            assert!(usable(value), "{value}");
        }
        for value in ["socks://127.0.0.1:1080", "ftp://proxy", "http://", "a proxy"] {
            assert!(!usable(value), "{value}");
        }
        assert!(what("socks://127.0.0.1:1080").contains("`socks`"));
    }
}
