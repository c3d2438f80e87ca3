use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use headspan_artifacts::{ArtifactError, with_causes};
use headspan_notes::NotesError;
use serde_json::json;

use crate::{page_request::Form, pages::error_page};
use headspan_query::{AccessError, ExploreError, SelectionError};

/// What a client is told when there is no answer.
#[derive(Debug)]
pub(super) struct WebError {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// What the log says instead, where a client is told less.
    log: Option<String>,
    /// Whether a machine asked, which is told in JSON.
    pub(super) json: bool,
    /// Path and query of the page that asked, where it is another than the one that fails.
    back: Option<String>,
    /// The run that the question is about, if it is one that is shown.
    run: Option<String>,
}

impl WebError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), log: None, json: false, back: None, run: None }
    }

    /// The question itself is wrong.
    pub(super) fn question(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    pub(super) fn absent(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Something failed here that the question is not to blame for.
    pub(super) fn failed(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, with_causes(error))
    }

    /// With what the log says instead of the message.
    pub(super) fn logged_as(mut self, log: String) -> Self {
        self.log = Some(log);
        self
    }

    /// In the form that the answer was wanted in, as far as an error has it.
    pub(super) fn in_form(mut self, form: Form) -> Self {
        self.json = form != Form::Page;
        self
    }

    /// With a link to the page that asked, which must be one of this server.
    pub(super) fn leading_back(mut self, page: String) -> Self {
        self.back = Some(page);
        self
    }

    /// With the way to the other pages of a run.
    pub(super) fn of_run(mut self, run: String) -> Self {
        self.run = Some(run);
        self
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::error!("{}: {}", self.status, self.log.as_ref().unwrap_or(&self.message));
        }
        if self.json {
            return (self.status, Json(json!({ "error": self.message, "status": self.status.as_u16() })))
                .into_response();
        }
        (self.status, error_page(self.status, &self.message, self.run.as_deref(), self.back.as_deref())).into_response()
    }
}

impl From<ExploreError> for WebError {
    fn from(error: ExploreError) -> Self {
        let status = match &error {
            ExploreError::NoHead { .. }
            | ExploreError::NoLayer { .. }
            | ExploreError::NoProperty { .. }
            | ExploreError::NoImage { .. }
            | ExploreError::NoClass { .. }
            | ExploreError::Artifact(ArtifactError::MomentsAlone { .. }) => StatusCode::NOT_FOUND,
            ExploreError::Invalid { .. } => StatusCode::BAD_REQUEST,
            // Files that were there at the start and are not now.
            ExploreError::Artifact(ArtifactError::Io(_) | ArtifactError::Replaced { .. })
            | ExploreError::Empty { .. }
            | ExploreError::MixedParts { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let meant = error.suggestion().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Self::new(status, with_causes(&error) + &meant)
    }
}

impl From<AccessError> for WebError {
    fn from(error: AccessError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, with_causes(&error))
    }
}

impl From<SelectionError> for WebError {
    fn from(error: SelectionError) -> Self {
        Self::question(with_causes(&error))
    }
}

impl From<NotesError> for WebError {
    fn from(error: NotesError) -> Self {
        let status = match &error {
            NotesError::Author { .. } => StatusCode::BAD_REQUEST,
            NotesError::Busy { .. } | NotesError::Artifact(ArtifactError::Io(_)) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, with_causes(&error))
    }
}
