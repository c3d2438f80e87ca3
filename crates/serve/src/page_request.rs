use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, OriginalUri, Path},
    http::{HeaderName, header, request::Parts},
    response::{IntoResponse, Response},
};
use headspan_artifacts::parquet_bytes;
use maud::Markup;
use serde::Serialize;

use crate::{
    app::Shared,
    ask::Fields,
    csv::csv,
    drawing::{Drawing, made_with},
    error::WebError,
    people::author_in,
};
use headspan_query::Columns;
use headspan_query::RunAccess;

pub(super) type Answer = Result<Response, WebError>;

/// What an answer is wanted as: the ending of the path says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A page.
    Page,
    /// All that the page shows, as JSON.
    Json,
    /// The page's table, as Parquet.
    Parquet,
    /// The page's table, as CSV.
    Csv,
    /// The points of a map, as numbers in columns.
    Binary,
    /// The head, or the chart of the page that `chart` numbers, from 1, as a figure with its caption.
    Svg,
}

impl Form {
    /// Takes the ending off a name.
    pub(super) fn split(name: &str) -> (&str, Self) {
        let forms = [
            (".json", Self::Json),
            (".parquet", Self::Parquet),
            (".csv", Self::Csv),
            (".bin", Self::Binary),
            (".svg", Self::Svg),
        ];
        let found = forms.into_iter().find_map(|(ending, form)| Some((name.strip_suffix(ending)?, form)));
        found.unwrap_or((name, Self::Page))
    }
}

/// Something that can be shown, and given as JSON and as a table.
pub(super) trait Page: Serialize {
    /// As HTML.
    fn html(&self, shared: &Shared) -> Markup;

    /// Its table; no columns if there is none, or none yet.
    fn table(&self) -> Columns {
        Vec::new()
    }

    /// All of it as a figure, if it is drawn as one; else its charts are.
    fn drawing(&self, shared: &Shared) -> Option<Drawing> {
        let _ = shared;
        None
    }
}

/// Where a question came in.
#[derive(Clone)]
pub(super) struct PageRequest {
    pub(super) shared: Arc<Shared>,
    /// The parts of the path by name; the last without its ending.
    names: HashMap<String, String>,
    pub(super) fields: Fields,
    pub(super) form: Form,
    /// Name in the cookie of who asks.
    author: Option<String>,
}

impl FromRequestParts<Arc<Shared>> for PageRequest {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, WebError> {
        let OriginalUri(uri) =
            OriginalUri::from_request_parts(parts, shared).await.unwrap_or_else(|infallible| match infallible {});
        let form = Form::split(uri.path()).1;
        let unreadable = |_not_utf8| WebError::question("the path is not text in UTF-8, percent-encoded").in_form(form);
        let Path(mut names) =
            Path::<HashMap<String, String>>::from_request_parts(parts, shared).await.map_err(unreadable)?;
        if let Some(page) = names.get_mut("page") {
            *page = Form::split(page).0.to_owned();
        }
        let author = author_in(&parts.headers);
        Ok(Self { shared: Arc::clone(shared), names, fields: Fields::read(uri.query()), form, author })
    }
}

impl PageRequest {
    /// Who asks: the name that the browser keeps, else the one that the server was started with.
    pub(super) fn known_author(&self) -> Option<String> {
        self.author.clone().or_else(|| self.shared.settings.author.clone())
    }

    /// A part of the path.
    pub(super) fn name(&self, key: &str) -> &str {
        self.names.get(key).map_or("", String::as_str)
    }

    /// The run that the path names.
    pub(super) fn access(&self) -> Result<&Arc<dyn RunAccess>, WebError> {
        let name = format!("{}/{}", self.name("dataset"), self.name("model"));
        self.shared.runs.get(&name).ok_or_else(|| {
            let known: Vec<&str> = self.shared.runs.keys().map(String::as_str).collect();
            WebError::absent(format!("no run `{name}` is shown; there are {}", known.join(", ")))
        })
    }

    /// A page in the form that is wanted.
    pub(super) fn respond(&self, page: &impl Page) -> Answer {
        match self.form {
            Form::Page => Ok(page.html(&self.shared).into_response()),
            Form::Json => Ok(Json(page).into_response()),
            Form::Parquet | Form::Csv => {
                let columns = page.table();
                if columns.is_empty() {
                    return Err(WebError::absent("there is no table here; ask a question first, or take the JSON"));
                }
                if self.form == Form::Csv {
                    let text = csv(&columns).map_err(|error| WebError::failed(&error))?;
                    let kind = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), self.saved("csv")];
                    return Ok((kind, text).into_response());
                }
                let bytes = parquet_bytes(columns).map_err(|error| WebError::failed(&error))?;
                Ok(([(header::CONTENT_TYPE, "application/vnd.apache.parquet")], bytes).into_response())
            }
            Form::Binary => Err(WebError::absent("only a map has its points as numbers")),
            Form::Svg => {
                let file = self.drawing(page)?.file();
                // To be saved: the pages' policy lets no file have a style of its own.
                Ok(([(header::CONTENT_TYPE, "image/svg+xml".to_owned()), self.saved("svg")], file).into_response())
            }
        }
    }

    /// The name under which a browser saves a file of this page.
    fn saved(&self, ending: &str) -> (HeaderName, String) {
        let parts = [self.name("model"), self.name("page"), self.fields.get("chart").unwrap_or_default()];
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let parts: Vec<String> =
            parts.iter().filter(|part| !part.is_empty()).map(|part| part.chars().map(plain).collect()).collect();
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"headspan-{}.{ending}\"", parts.join("-")))
    }

    /// The figure that a page is, or the chart on it that was asked for.
    fn drawing(&self, page: &impl Page) -> Result<Drawing, WebError> {
        if let Some(drawing) = page.drawing(&self.shared) {
            return Ok(drawing);
        }
        let number = self.fields.optional_number::<usize>("chart")?.unwrap_or(1);
        let missing = || WebError::absent(format!("there is no chart {number} here"));
        let drawing = Drawing::of_page(&page.html(&self.shared).into_string(), number).ok_or_else(missing)?;
        // A chart of one run names it; the others are of all.
        let is_named = self.shared.runs.keys().any(|name| drawing.title.contains(name.as_str()));
        let runs = self.shared.runs.iter().filter(|(name, _)| !is_named || drawing.title.contains(name.as_str()));
        let made = made_with(runs.map(|(_, access)| -> &dyn RunAccess { access.as_ref() }));
        Ok(Drawing { caption: format!("{}. {made}", drawing.title), ..drawing })
    }

    /// Answers a question off the async threads; errors come back in the form that was asked for.
    pub(super) async fn answer(self, question: impl FnOnce(&Self) -> Answer + Send + 'static) -> Answer {
        let (form, shared) = (self.form, Arc::clone(&self.shared));
        let (run, asked) = (self.run(), self.asked());
        shared.work.answer(move || question(&self)).await.map_err(|error| {
            let error = run.into_iter().fold(error.in_form(form), WebError::of_run);
            asked.into_iter().fold(error, WebError::leading_back)
        })
    }

    /// Name of the run that the path names, if it is shown.
    fn run(&self) -> Option<String> {
        self.access().ok().map(|access| access.run().name())
    }

    /// The page of a question without the question, which may be what is wrong; none where there was none.
    fn asked(&self) -> Option<String> {
        let page = self.name("page");
        let empty = self.fields.text().is_empty();
        match self.run() {
            _ if empty => None,
            None => (page == "compare").then(|| "/compare".to_owned()),
            Some(run) => ["neighbours", "segment", "images", "map"].contains(&page).then(|| format!("/r/{run}/{page}")),
        }
    }
}
