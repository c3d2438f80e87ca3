//! Where questions go and with which key.

use async_openai::config::{OPENAI_ORGANIZATION_HEADER, OPENAI_PROJECT_HEADER};
use headspan_net::shown;
use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};

use crate::openai::{error::OpenAiError, settings::OpenAiSettings};

/// Host of the default `base_url`, which needs a key.
const OPENAI_HOST: &str = "api.openai.com";
/// Endings of Azure's hosts.
const AZURE_HOSTS: [&str; 3] = [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"];
/// Header in which Azure takes keys.
const AZURE_KEY: &str = "api-key";

/// An endpoint, and what every request to it carries.
pub(crate) struct Endpoint {
    /// Where completions are asked for.
    pub(crate) url: String,
    /// The same for messages, without secrets.
    pub(crate) shown: String,
    pub(crate) headers: HeaderMap,
    /// What must not stand in a message.
    key: Option<String>,
}

impl Endpoint {
    /// From the settings, and the key from the environment.
    pub(crate) fn of_environment(settings: &OpenAiSettings) -> Result<Self, OpenAiError> {
        Self::new(settings, |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn new(settings: &OpenAiSettings, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, OpenAiError> {
        let (url, parsed) = address(&settings.base_url)
            .map_err(|what| OpenAiError::BaseUrl { base_url: shown(settings.base_url.trim()), what })?;
        if settings.judge_models().iter().chain([&settings.model.as_str()]).any(|model| model.trim().is_empty()) {
            return Err(OpenAiError::NoModel);
        }
        let key = key(&settings.api_key_env, &lookup)?;
        if key.is_none() && parsed.host_str() == Some(OPENAI_HOST) {
            return Err(no_key(&settings.api_key_env));
        }
        let mut headers = HeaderMap::new();
        for (variable, header) in
            [("OPENAI_ORG_ID", OPENAI_ORGANIZATION_HEADER), ("OPENAI_PROJECT_ID", OPENAI_PROJECT_HEADER)]
        {
            if let Some(value) = self::key(variable, &lookup)? {
                insert(&mut headers, header, &value, variable)?;
            }
        }
        if let Some(key) = &key {
            for (header, value) in key_headers(&parsed, key) {
                insert(&mut headers, header, &value, &settings.api_key_env)?;
            }
        }
        Ok(Self { shown: shown(&url), url, headers, key })
    }

    /// A text of the endpoint without the key, which some endpoints repeat when they refuse it.
    pub(crate) fn without_key(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key.as_str(), "…"),
            None => text.to_owned(),
        }
    }
}

/// Address of the completions below a base: as text, because the addresses of kept answers are, and parsed.
pub(crate) fn address(base: &str) -> Result<(String, Url), &'static str> {
    let base = base.trim();
    let base = base.split_once('#').map_or(base, |(base, _)| base);
    let (path, query) = match base.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (base, String::new()),
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix("/chat/completions").unwrap_or(path);
    let url = format!("{path}/chat/completions{query}");
    let is_http = |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !path.split_once("://").is_some_and(|(scheme, rest)| is_http(scheme) && !rest.is_empty()) {
        return Err("it does not begin with `http://` or `https://`");
    }
    match Url::parse(&url) {
        Ok(parsed) if parsed.has_host() => Ok((url, parsed)),
        _ => Err("it is not an address"),
    }
}

/// The key in a variable, without the newline of the file that it was read from.
fn key(variable: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Option<String>, OpenAiError> {
    let Some(value) = lookup(variable) else { return Ok(None) };
    let key = value.trim();
    let found = |what| Err(OpenAiError::Key { variable: variable.to_owned(), what });
    match key {
        "" => Ok(None),
        _ if key.starts_with(['"', '\'']) || key.ends_with(['"', '\'']) => found("it is in quotes"),
        _ if key.contains(['\n', '\r']) => found("it has several lines"),
        _ if key.contains(char::is_whitespace) => found("it has a space in it"),
        _ if !key.bytes().all(|byte| byte.is_ascii_graphic()) => found("it has characters that no key has"),
        _ => Ok(Some(key.to_owned())),
    }
}

/// The variable's name is shown only if it is one: a key that was put in its place is a secret.
fn no_key(variable: &str) -> OpenAiError {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if variable.is_empty() || !variable.bytes().all(is_name) {
        return OpenAiError::KeyVariable;
    }
    OpenAiError::NoKey { variable: variable.to_owned() }
}

/// Azure's resources take keys in a header of its own, and tokens of its identity service as everybody. Gateways in front of
/// them, known by the path, take the one or the other.
fn key_headers(url: &Url, key: &str) -> Vec<(&'static str, String)> {
    let bearer = (AUTHORIZATION.as_str(), format!("Bearer {key}"));
    let azure = url.host_str().is_some_and(|host| AZURE_HOSTS.iter().any(|ending| host.ends_with(ending)));
    let is_token = key.starts_with("eyJ") && key.matches('.').count() == 2;
    match azure {
        true if is_token => vec![bearer],
        true => vec![(AZURE_KEY, key.to_owned())],
        false if url.path().contains("/openai/deployments/") => vec![bearer, (AZURE_KEY, key.to_owned())],
        false => vec![bearer],
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str, variable: &str) -> Result<(), OpenAiError> {
    let unusable = || OpenAiError::Key { variable: variable.to_owned(), what: "it has characters that no key has" };
    let mut value = HeaderValue::from_str(value).ok().ok_or_else(unusable)?;
    value.set_sensitive(true);
    let name = HeaderName::try_from(name).ok().ok_or_else(unusable)?;
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(base_url: &str, key: Option<&str>) -> Result<Endpoint, OpenAiError> {
        let settings = OpenAiSettings { base_url: base_url.to_owned(), ..OpenAiSettings::default() };
        Endpoint::new(&settings, |name| key.filter(|_| name == "OPENAI_API_KEY").map(str::to_owned))
    }

    #[test]
    fn completions_are_asked_for_below_the_base() {
        for (base, url) in [
            ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/chat/completions"),
            (" http://127.0.0.1:8000/v1// \n", "http://127.0.0.1:8000/v1/chat/completions"),
            ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
            ("http://h/v1/chat/completions/", "http://h/v1/chat/completions"),
            ("https://h/d/m?api-version=1", "https://h/d/m/chat/completions?api-version=1"),
            ("https://h/d/m/?api-version=1", "https://h/d/m/chat/completions?api-version=1"),
            ("https://h/d/m/chat/completions?a=1&b=2", "https://h/d/m/chat/completions?a=1&b=2"),
            ("HTTPS://h/v1#part", "HTTPS://h/v1/chat/completions"),
            ("http://[::1]:11434/v1", "http://[::1]:11434/v1/chat/completions"),
        ] {
            assert_eq!(address(base).map(|(url, _)| url), Ok(url.to_owned()), "{base}");
        }
        for base in [
            "",
            "localhost:8000/v1",
            "127.0.0.1:8000/v1",
            "api.openai.com/v1",
            "ftp://h/v1",
            "http://",
            "http://h:port",
        ] {
            assert!(address(base).is_err(), "{base}");
        }
        let message = endpoint("user:secret@host/v1", None).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("base_url") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn a_key_is_cleaned_or_refused_and_never_shown() {
        let sent = |key| {
            let endpoint = endpoint("http://127.0.0.1:1/v1", Some(key)).map_err(|error| error.to_string())?;
            Ok::<_, String>(endpoint.headers.get("authorization").map(|value| value.as_bytes().to_vec()))
        };
        for key in ["sk-test", "sk-test\n", "\r\n sk-test\r\n", "\tsk-test "] {
            assert_eq!(sent(key), Ok(Some(b"Bearer sk-test".to_vec())), "{key:?}");
        }
        for none in ["", "\n", "  "] {
            assert_eq!(sent(none), Ok(None), "no header without a key");
        }
        for key in
            ["sk\ntest", "\"sk-test\"", "'sk-test'", "Bearer sk-test", "sk-tést", "sk\u{0}test", "sk\u{200b}test"]
        {
            let message = sent(key).expect_err("no key");
            assert!(message.contains("OPENAI_API_KEY") && !message.contains("test"), "{message}");
        }
        let endpoint = endpoint("http://127.0.0.1:1/v1", Some("sk-test")).expect("a key");
        assert!(!format!("{:?}", endpoint.headers).contains("sk-test"));
        assert_eq!(endpoint.without_key("wrong key: sk-test."), "wrong key: ….");
    }

    #[test]
    fn openai_alone_needs_a_key() {
        assert!(matches!(endpoint("https://api.openai.com/v1/", None), Err(OpenAiError::NoKey { .. })));
        for local in ["http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1", "http://10.0.0.7/v1"] {
            assert!(endpoint(local, None).is_ok(), "{local}");
        }
        let settings = OpenAiSettings { api_key_env: "sk-secret".to_owned(), ..OpenAiSettings::default() };
        let message = Endpoint::new(&settings, |_| None).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("api_key_env") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn azure_takes_its_own_header() {
        let names = |base: &str, key| {
            let endpoint = endpoint(base, Some(key)).expect("an endpoint");
            let mut names: Vec<String> = endpoint.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let azure = "https://mine.openai.azure.com/openai/deployments/m?api-version=2024-06-01";
        assert_eq!(names(azure, "0123"), ["api-key"]);
        assert_eq!(names(azure, "eyJh.eyJi.c"), ["authorization"], "a token of the identity service");
        assert_eq!(names("http://gateway/openai/deployments/m?api-version=1", "0123"), ["api-key", "authorization"]);
        assert_eq!(names("http://gateway/v1", "0123"), ["authorization"]);
    }
}
