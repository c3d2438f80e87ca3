use reqwest::Url;

/// An address for messages. A password and the values of a query can be secrets.
pub fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        // No request goes there. What stands before an `@` may still be a password.
        let end = url.find(['?', '#']).unwrap_or(url.len());
        let rest = url[..end].rsplit_once('@').map_or(&url[..end], |(_, rest)| rest);
        return rest.to_owned();
    };
    if !parsed.has_authority() {
        return parsed.scheme().to_owned() + ":…";
    }
    let query = parsed.query().is_some();
    // Neither fails for an address with a host.
    let _ = (parsed.set_username(""), parsed.set_password(None));
    parsed.set_query(None);
    parsed.set_fragment(None);
    // An empty path is written as a slash that the reader did not type.
    let text = parsed.as_str();
    let text = if parsed.path() == "/" && !url.ends_with('/') { text.trim_end_matches('/') } else { text };
    if query { format!("{text}?…") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_not_shown() {
        for (url, expected) in [
            ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://user:secret@host:81/v1", "http://host:81/v1"),
            ("https://host/a?api-version=1&code=secret#secret", "https://host/a?…"),
            ("http://[::1]:81/v1", "http://[::1]:81/v1"),
            ("user:secret@host/v1?key=secret", "user:…"),
            ("//user:secret@host/v1?key=secret", "host/v1"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
