//! What went wrong, for the program that called a command.

use std::{error::Error, io};

use headspan_extract::ExtractError;
use headspan_hub::HubError;
use headspan_label::openai::OpenAiError;
use headspan_pipeline::{PipelineError, SettingsError};
use headspan_query::{ExploreError, SelectionError};

use crate::{commands::UsageError, hints, stop::STOPPED};

/// Kinds of what goes wrong, as far as a program would do something else about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The call itself is wrong: another value is needed.
    Usage,
    /// Something that was named is not there: a file, a run, a model, a head, an image.
    NotFound,
    /// The caller asked to stop.
    Stopped,
    /// Everything else.
    Other,
}

/// What went wrong, in the words of the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// The error and its causes, one a line.
    pub message: String,
    /// What to do about it, where something is known.
    pub hint: Option<String>,
    /// What kind it is.
    pub kind: Kind,
}

impl CommandError {
    /// The words for an error of any crate of headspan.
    pub fn new(error: &anyhow::Error) -> Self {
        Self { message: hints::told(error), hint: hints::hint(error), kind: kind(error) }
    }

    /// The words for an error of a library.
    pub fn of(error: impl Error + Send + Sync + 'static) -> Self {
        Self::new(&anyhow::Error::from(error))
    }

    /// Arguments that are no command.
    pub(crate) fn of_arguments(error: &clap::Error) -> Self {
        let text = error.to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned();
        Self { message, hint: None, kind: Kind::Usage }
    }
}

/// Whether the command line itself was used wrongly: exit code 2.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<UsageError>().is_some()
}

/// The exit code of the program.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if is_usage(error) {
        2
    } else if is_stopped(error) {
        STOPPED
    } else {
        1
    }
}

/// Whether somebody asked the work to stop.
pub(crate) fn is_stopped(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| kind_of(cause) == Some(Kind::Stopped))
}

fn kind(error: &anyhow::Error) -> Kind {
    if is_usage(error) || error.chain().any(|cause| cause.is::<SettingsError>() || cause.is::<SelectionError>()) {
        return Kind::Usage;
    }
    error.chain().find_map(kind_of).unwrap_or(Kind::Other)
}

fn kind_of(cause: &(dyn Error + 'static)) -> Option<Kind> {
    let stopped = matches!(cause.downcast_ref(), Some(PipelineError::Stopped))
        || matches!(cause.downcast_ref(), Some(ExtractError::Stopped))
        || matches!(cause.downcast_ref(), Some(OpenAiError::Stopped))
        || matches!(cause.downcast_ref(), Some(HubError::Stopped));
    if stopped {
        return Some(Kind::Stopped);
    }
    // These stand for the error in them, which the chain of causes passes over.
    match cause.downcast_ref() {
        Some(PipelineError::Extract(ExtractError::Stopped) | PipelineError::Hub(HubError::Stopped)) => {
            return Some(Kind::Stopped);
        }
        Some(PipelineError::OfModel { source, .. }) => return kind_of(source.as_ref()),
        Some(PipelineError::Query(inner)) => return kind_of(inner),
        Some(PipelineError::Settings(_)) => return Some(Kind::Usage),
        Some(PipelineError::Io(inner)) => return kind_of(inner),
        Some(
            PipelineError::NotThere { .. }
            | PipelineError::NotFetched { .. }
            | PipelineError::NotExtracted { .. }
            | PipelineError::UnknownWeights { .. },
        ) => return Some(Kind::NotFound),
        _ => {}
    }
    match cause.downcast_ref() {
        Some(
            ExploreError::NoImage { .. }
            | ExploreError::NoHead { .. }
            | ExploreError::NoLayer { .. }
            | ExploreError::NoProperty { .. },
        ) => return Some(Kind::NotFound),
        Some(ExploreError::Invalid { .. }) => return Some(Kind::Usage),
        _ => {}
    }
    let absent = cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound);
    absent.then_some(Kind::NotFound)
}
