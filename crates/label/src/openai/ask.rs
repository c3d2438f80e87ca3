//! Asks an endpoint until there is an answer, in a form that it accepts.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use headspan_net::{ClientSettings, Failure, Redirects, RetryRule, Stopped, read_body, retry_after, shown};
use reqwest::{Response, StatusCode, header::LOCATION};
use serde_json::Value;

use crate::openai::{
    answers::{Answer, Answers, shortened},
    budget::Budget,
    endpoint::Endpoint,
    error::OpenAiError,
    form::{Accepted, Form, Search},
    prompts::estimated_tokens,
    refusal::{Hints, Refusal},
    reply::{Reply, Said, Usage},
    request::Question,
    settings::OpenAiSettings,
};

/// Most bytes of one answer. Thoughts of a hundred thousand tokens take less than one.
const LARGEST: usize = 8 << 20;

/// Asks an endpoint: what is sent is async-openai's; the request itself is ours, because that crate neither bounds what it
/// waits for and reads, nor tells an answer that it does not know from none.
pub(crate) struct Asker<'a> {
    settings: &'a OpenAiSettings,
    endpoint: Endpoint,
    client: reqwest::Client,
    rule: RetryRule,
    answers: Answers,
    budget: Budget,
    accepted: Accepted,
    /// Held while nothing is known of a model, so that one question finds the form that it accepts.
    first: tokio::sync::Mutex<()>,
}

/// One request.
enum Try {
    /// Whether the model saw the request: a filter that withholds an answer says nothing about the form.
    Answered { answer: Box<Answer>, accepted: bool },
    /// Refused, perhaps for its form. `passing` refusals may have another reason that passes.
    Refused { refusal: Refusal, status: StatusCode, unclear: bool, passing: bool, wait: Option<Duration> },
}

/// The search for an accepted form, and why the last one was left.
struct Progress {
    search: Search,
    reason: Option<String>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(settings: &'a OpenAiSettings, cache: &Path) -> Result<Self, OpenAiError> {
        let endpoint = Endpoint::of_environment(settings)?;
        let whole = Some(Duration::from_secs_f64(settings.timeout_secs));
        let client = ClientSettings { redirects: Redirects::Repeated, pause: None, whole };
        Ok(Self {
            settings,
            client: headspan_net::client(&client, &endpoint.url)?,
            endpoint,
            rule: RetryRule {
                retries: settings.max_retries,
                first_wait: Duration::from_millis(settings.backoff_ms),
                total: Duration::from_secs_f64(settings.total_secs),
            },
            answers: Answers::new(cache),
            budget: Budget::default(),
            accepted: Accepted::default(),
            first: tokio::sync::Mutex::default(),
        })
    }

    /// Where it asks, for messages.
    pub(crate) fn shown(&self) -> &str {
        &self.endpoint.shown
    }

    /// Kept answers to a question, of this run and earlier ones. `attempt` counts questions asked again after a malformed
    /// answer, so that each has its own place.
    pub(crate) fn kept(&self, question: &Question, attempt: u32) -> Vec<Answer> {
        question.requests().filter_map(|request| self.answers.get(&self.endpoint.url, request, attempt)).collect()
    }

    /// A new answer to a question: nobody is asked only if somebody was in this run, about a head with the same texts.
    pub(crate) async fn ask(&self, question: &Question, attempt: u32) -> Result<Answer, OpenAiError> {
        let new = |request| self.answers.get_new(&self.endpoint.url, request, attempt);
        if let Some(answer) = question.requests().find_map(new) {
            return Ok(answer);
        }
        let unknown = || self.accepted.get(&question.model).is_none();
        let first = if unknown() { Some(self.first.lock().await).filter(|_held| unknown()) } else { None };
        let answer = self.answered(question).await?;
        drop(first);
        self.answers.put(&self.endpoint.url, attempt, &answer)?;
        Ok(answer)
    }

    /// Tries until there is an answer, a bounded number of times.
    async fn answered(&self, question: &Question) -> Result<Answer, OpenAiError> {
        let search = Search::new(self.settings.answer_tokens > 0, self.accepted.get(&question.model));
        let progress = Mutex::new(Progress { search, reason: None });
        let result = headspan_net::retried(&self.rule, self.shown(), || self.in_some_form(question, &progress)).await;
        result.map_err(|stopped| match stopped {
            Stopped::Final(error) => error,
            Stopped::GaveUp(gave_up) => {
                OpenAiError::GaveUp { url: self.shown().to_owned(), tries: gave_up.tries, source: gave_up.cause }
            }
        })
    }

    /// One try: forms that are refused are left for others, each at most once.
    async fn in_some_form(
        &self,
        question: &Question,
        progress: &Mutex<Progress>,
    ) -> Result<Answer, Failure<OpenAiError>> {
        let progress = || progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            self.budget.check(self.settings).map_err(Failure::Final)?;
            let form = progress().search.form();
            let request = question.request(form);
            let (refusal, status, unclear, passing, wait) = match self.send(&request, question.tokens).await {
                Ok(Try::Answered { answer, accepted }) => {
                    if accepted {
                        self.note(&question.model, form, progress().reason.take());
                    }
                    self.budget.add(Usage { tokens_in: answer.tokens_in, tokens_out: answer.tokens_out });
                    return Ok(*answer);
                }
                Ok(Try::Refused { refusal, status, unclear, passing, wait }) => {
                    (refusal, status, unclear, passing, wait)
                }
                Err(failure) => {
                    if let Failure::Passing { cause, .. } = &failure {
                        progress().fail(cause.to_string(), !is_unreachable(&**cause));
                    }
                    return Err(failure);
                }
            };
            let message = format!("status {status}: {}", shortened(&self.endpoint.without_key(&refusal.message)));
            if self.accepted.get(&question.model).is_some()
                && let Some(content) = refusal.failed_generation.clone()
            {
                let usage = Usage { tokens_in: question.tokens, tokens_out: estimated_tokens(content.len()) };
                self.budget.add(usage);
                return Ok(Answer::new(request, Said { content, ..Said::default() }, usage));
            }
            if progress().refuse(&refusal, unclear, &message) {
                continue;
            }
            if passing {
                progress().fail(message.clone(), status.is_server_error());
                return Err(Failure::Passing { cause: message.into(), wait });
            }
            return Err(Failure::Final(OpenAiError::Refused {
                url: self.shown().to_owned(),
                status: status.as_u16(),
                message: shortened(&self.endpoint.without_key(&refusal.message)),
            }));
        }
    }

    /// Notes the form that a model accepts, and says once what is left out.
    fn note(&self, model: &str, form: Form, reason: Option<String>) {
        let preferred = Search::new(self.settings.answer_tokens > 0, None).form();
        if self.accepted.set(model, form) && form != preferred {
            let reason = reason.unwrap_or_default();
            tracing::info!(
                "asking `{model}` without {}, which `{}` did not accept ({reason})",
                form.reduced(preferred),
                self.shown()
            );
        }
    }

    /// One request. `tokens` is the estimate of what is sent.
    async fn send(&self, request: &Value, tokens: u64) -> Result<Try, Failure<OpenAiError>> {
        let builder = self.client.post(&self.endpoint.url).headers(self.endpoint.headers.clone()).json(request);
        let response = headspan_net::send(&self.endpoint.url, builder).await?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        if status.is_redirection() {
            return Err(Failure::Final(self.moved(&response)));
        }
        let body = match read_body(response, LARGEST).await {
            Ok(body) => body,
            Err(error) => {
                // The head of a success was there: the model was at work, and whoever bills for it does so.
                if status.is_success() {
                    self.budget.add(Usage { tokens_in: tokens, tokens_out: 0 });
                }
                return Err(Failure::passing(error));
            }
        };
        if status.is_success() {
            self.success(&body, request, tokens, wait)
        } else {
            Ok(refused(status, wait, &body, request))
        }
    }

    /// What a success says.
    fn success(
        &self,
        body: &[u8],
        request: &Value,
        tokens: u64,
        wait: Option<Duration>,
    ) -> Result<Try, Failure<OpenAiError>> {
        let Reply { said, usage, failure } = Reply::read(body, tokens);
        if let Some(status) = failure.and_then(|status| StatusCode::from_u16(status).ok()) {
            return Ok(refused(status, wait, body, request));
        }
        let Some(said) = said else {
            self.budget.add(usage);
            let message = shortened(&self.endpoint.without_key(&Refusal::read(body).message));
            return Err(Failure::passing(format!("the answer is not a chat completion: {message}")));
        };
        Ok(Try::Answered { answer: Box::new(Answer::new(request.clone(), said, usage)), accepted: true })
    }

    fn moved(&self, response: &Response) -> OpenAiError {
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| response.url().join(location).ok());
        OpenAiError::Moved {
            url: self.shown().to_owned(),
            to: to.map_or_else(|| "no address".to_owned(), |to| shown(to.as_str())),
        }
    }
}

impl Progress {
    fn refuse(&mut self, refusal: &Refusal, unclear: bool, message: &str) -> bool {
        let moved = self.search.refuse(refusal.hints, unclear);
        if moved {
            self.reason = Some(message.to_owned());
        }
        moved
    }

    /// Counts a failure. Where nobody was reached, it is not the form's.
    fn fail(&mut self, message: String, reached: bool) {
        let before = self.search.form();
        if reached {
            self.search.failed();
        }
        if self.search.form() != before {
            self.reason = Some(message);
        }
    }
}

/// Whether nobody was there to receive the request.
fn is_unreachable(cause: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(cause), |cause| cause.source());
    causes.any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}

/// What a response that is no success means.
fn refused(status: StatusCode, wait: Option<Duration>, body: &[u8], request: &Value) -> Try {
    let mut refusal = Refusal::read(body);
    if refusal.filtered && status.is_client_error() {
        let said = Said { refusal: Some(refusal.message), ..Said::default() };
        let answer = Box::new(Answer::new(request.clone(), said, Usage::default()));
        return Try::Answered { answer, accepted: false };
    }
    let code = status.as_u16();
    // These say nothing about the form, whatever words are in them.
    if matches!(code, 401 | 407 | 408 | 413 | 425 | 429) {
        refusal.hints = Hints::default();
    }
    let passing = matches!(code, 408 | 425 | 429 | 500 | 502..=599) && !(code == 429 && refusal.other);
    // Servers that validate with FastAPI say 422 where OpenAI says 400.
    let unclear = matches!(code, 400 | 405 | 406 | 415 | 422 | 501) && !refusal.other;
    Try::Refused { refusal, status, unclear, passing, wait }
}
