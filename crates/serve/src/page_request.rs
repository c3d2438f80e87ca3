use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, OriginalUri, Path},
    http::{header, request::Parts},
    response::{IntoResponse, Response},
};
use headspan_artifacts::parquet_bytes;
use maud::Markup;
use serde::Serialize;

use crate::{app::Shared, ask::Fields, error::WebError};
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
}

impl Form {
    /// Takes the ending off a name.
    pub(super) fn split(name: &str) -> (&str, Self) {
        let forms = [(".json", Self::Json), (".parquet", Self::Parquet)];
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
}

/// Where a question came in.
#[derive(Clone)]
pub(super) struct PageRequest {
    pub(super) shared: Arc<Shared>,
    /// The parts of the path by name; the last without its ending.
    names: HashMap<String, String>,
    pub(super) fields: Fields,
    pub(super) form: Form,
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
        Ok(Self { shared: Arc::clone(shared), names, fields: Fields::read(uri.query()), form })
    }
}

impl PageRequest {
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
            Form::Parquet => {
                let columns = page.table();
                if columns.is_empty() {
                    return Err(WebError::absent("there is no table here; ask a question first, or take the JSON"));
                }
                let bytes = parquet_bytes(columns).map_err(|error| WebError::failed(&error))?;
                Ok(([(header::CONTENT_TYPE, "application/vnd.apache.parquet")], bytes).into_response())
            }
        }
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
            Some(run) => ["neighbours", "segment", "images"].contains(&page).then(|| format!("/r/{run}/{page}")),
        }
    }
}
