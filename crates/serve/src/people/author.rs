//! Who is in front of the page: the name that they gave last, in a cookie of this site.

use axum::http::{HeaderMap, HeaderValue, header};
use form_urlencoded::parse;
use headspan_notes::author_name;

use crate::pages::urlencoded;

const COOKIE: &str = "headspan-name";
/// For how long a browser keeps the name.
const YEAR_SECS: u32 = 31_536_000;

/// The name that a request's cookie holds, if it is one.
pub(crate) fn author_in(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let value = pairs.find(|(name, _)| *name == COOKIE)?.1;
    // A cookie holds the name as a form would.
    let form = format!("name={value}");
    let (_, name) = parse(form.as_bytes()).next()?;
    author_name(&name).ok()
}

/// The header that keeps a name.
pub(super) fn kept(author: &str) -> Option<HeaderValue> {
    let cookie = format!("{COOKIE}={}; Path=/; Max-Age={YEAR_SECS}; SameSite=Strict; HttpOnly", urlencoded(author));
    HeaderValue::from_str(&cookie).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_as_it_was_kept() {
        for name in ["anna", "Anna Ö.", "a=b&c"] {
            let set = kept(name).and_then(|value| value.to_str().map(str::to_owned).ok()).unwrap_or_default();
            let pair = set.split(';').next().unwrap_or_default().to_owned();
            let mut headers = HeaderMap::new();
            let sent = HeaderValue::from_str(&format!("other=1; {pair}")).unwrap_or(HeaderValue::from_static(""));
            headers.insert(header::COOKIE, sent);
            assert_eq!(author_in(&headers).as_deref(), Some(name));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("headspan-name=lexicon"));
        assert_eq!(author_in(&headers), None, "a labeller's name");
    }
}
