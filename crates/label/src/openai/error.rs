use headspan_net::{Cause, NetError};

use crate::openai::prompts::PromptError;

/// What stops labelling. Malformed answers do not, unless they are all that there is: their heads are recorded without a
/// property.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenAiError {
    /// Whoever was told of progress asked to stop.
    #[error("stopped; answers that have come are kept, and the same call continues")]
    Stopped,
    /// The prompts could not be read.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The key is not there.
    #[error("the endpoint needs a key, but the environment variable `{variable}` is not set")]
    NoKey {
        /// The variable looked for.
        variable: String,
    },
    /// The cache could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The key cannot be sent.
    #[error("the key in the environment variable `{variable}` cannot be used: {what}")]
    Key {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// `api_key_env` is not the name of a variable. It may be the key itself, and is not shown.
    #[error("`api_key_env` is not the name of an environment variable")]
    KeyVariable,
    /// The address of the endpoint is none.
    #[error("`base_url` is `{base_url}`, which cannot be used: {what}")]
    BaseUrl {
        /// The setting, without secrets.
        base_url: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// No model is named.
    #[error("no language model is named: `model` is empty")]
    NoModel,
    /// No request can be made, or none to this server.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A ceiling was reached.
    #[error("the limit of {limit} {what} is reached ({spent} spent, {requests} requests); all answers so far are kept")]
    Ceiling {
        /// `tokens` or `USD`.
        what: &'static str,
        /// Its setting.
        key: &'static str,
        /// The ceiling.
        limit: f64,
        /// What was spent in this run.
        spent: f64,
        /// Requests of this run.
        requests: u64,
    },
    /// The endpoint refused for good.
    #[error("`{url}` refused the request with status {status}: {message}")]
    Refused {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the endpoint said.
        message: String,
    },
    /// The endpoint is elsewhere. Keys are not given to another address than the one that was set.
    #[error("`{url}` redirects to `{to}`")]
    Moved {
        /// Where.
        url: String,
        /// Where to.
        to: String,
    },
    /// Every try failed.
    #[error("`{url}` did not answer in {tries} tries; all answers so far are kept")]
    GaveUp {
        /// Where.
        url: String,
        /// How often it was asked.
        tries: u32,
        /// Why the last try failed.
        source: Cause,
    },
    /// Every head that was asked about got malformed answers only.
    #[error(
        "no head got a label: for {heads} heads, model `{model}` at `{url}` gave only unusable answers; the last {last}"
    )]
    NoLabels {
        /// The model asked for labels.
        model: String,
        /// Where.
        url: String,
        /// Heads that were asked about.
        heads: usize,
        /// What the last answer was.
        last: String,
    },
}
