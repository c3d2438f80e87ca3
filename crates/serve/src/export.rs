//! Chosen pages as files that a browser opens without a server, for the appendix of a paper.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use headspan_artifacts::with_causes;
use tower::ServiceExt;

use crate::{app::Explorer, pages::OURS};

/// Largest file of an export.
const LARGEST: usize = 64 << 20;

/// Files by their path below the export's folder.
pub type Exported = BTreeMap<String, Vec<u8>>;

/// Why a page was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The explorer has no such page, or no answer.
    #[error("`{page}`: {status}: {message}")]
    NoPage {
        /// Path and query.
        page: String,
        /// Status that a browser would get.
        status: u16,
        /// What the page says.
        message: String,
    },
    /// A path that cannot be asked for.
    #[error("`{page}` is not the path of a page, such as /r/scenes/scenes-4/head/L3.H5")]
    NotAPath {
        /// What was given.
        page: String,
    },
}

impl Explorer {
    /// Renders pages (paths with their queries) with all that they show. Links between exported pages work; the others are
    /// taken off. Pages are named by number, in the order given; `index.html`
    /// lists them by what they were asked.
    pub async fn export(&self, pages: &[String]) -> Result<Exported, ExportError> {
        let router = self.pages();
        let names: BTreeMap<&str, String> =
            pages.iter().enumerate().map(|(number, page)| (page.as_str(), format!("page-{number:03}.html"))).collect();
        let mut files = Exported::new();
        let mut titles = Vec::new();
        for page in pages {
            let body = get(&router, page).await?;
            let html = String::from_utf8_lossy(&body).into_owned();
            titles.push((names[page.as_str()].clone(), title(&html)));
            for source in sources(&html) {
                let name = file_name(&source);
                if let Entry::Vacant(place) = files.entry(name) {
                    place.insert(get(&router, &source).await?);
                }
            }
            files.insert(names[page.as_str()].clone(), standing_alone(&html, &names).into_bytes());
        }
        files.insert("index.html".to_owned(), index(&titles).into_bytes());
        Ok(files)
    }
}

async fn get(router: &Router, page: &str) -> Result<Vec<u8>, ExportError> {
    let not_a_path = || ExportError::NotAPath { page: page.to_owned() };
    let request = Request::get(page.replace("&amp;", "&")).body(Body::empty()).map_err(|_invalid| not_a_path())?;
    if !page.starts_with('/') {
        return Err(not_a_path());
    }
    let response = router.clone().oneshot(request).await.unwrap_or_else(|infallible| match infallible {});
    let status = response.status();
    let body = to_bytes(response.into_body(), LARGEST).await.map(|bytes| bytes.to_vec());
    let body = body.unwrap_or_else(|error| with_causes(&error).into_bytes());
    if !status.is_success() {
        let message = between(&String::from_utf8_lossy(&body), "role=\"alert\">", "<").unwrap_or_default();
        return Err(ExportError::NoPage { page: page.to_owned(), status: status.as_u16(), message });
    }
    Ok(body)
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(rest[..rest.find(end)?].to_owned())
}

fn title(html: &str) -> String {
    between(html, "<title>", &format!("{OURS}</title>")).unwrap_or_default()
}

/// Values of an attribute in our own pages, which maud writes in one way: `name="value"`.
fn values<'a>(html: &'a str, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next())
}

/// What a page loads: pictures, style, script.
fn sources(html: &str) -> BTreeSet<String> {
    let own = |path: &&str| path.starts_with('/');
    let loaded = values(html, " src=\"").filter(own);
    let linked = values(html, " href=\"").filter(|path| path.starts_with("/assets/"));
    loaded.chain(linked).map(str::to_owned).collect()
}

/// Name of a loaded file: its path without folders.
fn file_name(path: &str) -> String {
    let name = path.trim_start_matches('/').replace(['/', '?', '&', '=', '%', ';'], "-");
    // Pictures of a data set are served without an ending.
    if name.rsplit('-').next().is_some_and(|last| last.contains('.')) { name } else { format!("{name}.img") }
}

/// The page with its files beside it: forms and links to pages that are not exported are taken off.
fn standing_alone(html: &str, names: &BTreeMap<&str, String>) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((at, attribute)) = next_attribute(rest) {
        out.push_str(&rest[..at]);
        let value_at = at + attribute.len();
        let end = rest[value_at..].find('"').map_or(rest.len(), |length| value_at + length);
        let value = &rest[value_at..end];
        let plain = value.replace("&amp;", "&");
        let target = if attribute == " src=\"" || value.starts_with("/assets/") {
            value.starts_with('/').then(|| file_name(value))
        } else {
            names.get(plain.as_str()).cloned().or_else(|| value.starts_with('#').then(|| value.to_owned()))
        };
        if let Some(target) = target {
            out.push_str(attribute);
            out.push_str(&target);
            out.push('"');
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    without_forms(&out)
}

fn next_attribute(html: &str) -> Option<(usize, &'static str)> {
    [" src=\"", " href=\""].into_iter().filter_map(|name| Some((html.find(name)?, name))).min()
}

/// Forms ask a server, which a file has not.
fn without_forms(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find("<form") {
        out.push_str(&rest[..start]);
        rest = rest[start..].split_once("</form>").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

fn index(titles: &[(String, String)]) -> String {
    let page = maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "headspan" }
                link rel="stylesheet" href="assets-style.css";
            }
            body { main {
                h1 { "headspan" }
                // The titles come out of our own pages, where they are escaped already.
                ol { @for (name, title) in titles { li { a href=(name) { (maud::PreEscaped(title)) } } } }
            } }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_exported_pages_or_nowhere() {
        let html = r#"<a href="/r/a/b/head/L1.H2">one</a> <a href="/gone?x=1&amp;y=2">two</a> <img src="/r/a/b/image/7"><form action="/"><input></form>."#;
        let names = BTreeMap::from([("/r/a/b/head/L1.H2", "page-000.html".to_owned())]);
        assert_eq!(
            standing_alone(html, &names),
            r#"<a href="page-000.html">one</a> <a>two</a> <img src="r-a-b-image-7.img">."#
        );
        let names = BTreeMap::from([("/gone?x=1&y=2", "page-001.html".to_owned())]);
        assert!(standing_alone(html, &names).contains(r#"<a href="page-001.html">two</a>"#));
        assert_eq!(sources(html).into_iter().collect::<Vec<_>>(), ["/r/a/b/image/7"]);
    }
}
