use std::{
    error::Error,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_openai::{
    config::{Config, OpenAIConfig},
    types::chat::{
        ChatCompletionRequestAssistantMessage, ChatCompletionRequestAssistantMessageContent,
        ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
        CreateChatCompletionRequest, ResponseFormat, ResponseFormatJsonSchema,
    },
};
use headspan_artifacts::with_causes;
use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};

use crate::openai::{
    answers::{Answer, Answers},
    budget::Budget,
    error::OpenAiError,
    prompts::Conversation,
    reply::{Reply, Usage},
    settings::{OPENAI, OpenAiSettings},
};

/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What kind of answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Label,
    Judge,
}

impl Kind {
    fn schema(self) -> ResponseFormat {
        let (name, key, kind) = match self {
            Self::Label => ("label", "property", "string"),
            Self::Judge => ("judgement", "consistent", "boolean"),
        };
        ResponseFormat::JsonSchema {
            json_schema: ResponseFormatJsonSchema {
                description: None,
                name: name.to_owned(),
                schema: json!({
                    "type": "object",
                    "properties": { key: { "type": kind } },
                    "required": [key],
                    "additionalProperties": false,
                }),
                strict: Some(true),
            },
        }
    }
}

/// What is asked: with a schema of the answer, and for endpoints that know no schemas without.
pub(crate) struct Question {
    with_schema: Value,
    plain: Value,
    /// Estimate of the tokens that are sent.
    tokens: u64,
}

/// Asks an endpoint: what is sent and where are async-openai's; the request itself is ours, because that crate does not
/// show the `Retry-After` header of a refusal.
pub(crate) struct Asker<'a> {
    settings: &'a OpenAiSettings,
    config: OpenAIConfig,
    url: String,
    client: reqwest::Client,
    answers: Answers,
    budget: Budget,
    /// Set once the endpoint refused a schema.
    without_schema: AtomicBool,
}

/// One try at the network.
enum Try {
    Answered(Answer),
    /// Worth another try, after the wait that the endpoint asked for. What is billed was an answer, of no use.
    Again {
        cause: Box<dyn Error + Send + Sync>,
        wait: Option<Duration>,
        billed: Option<Usage>,
    },
    /// The endpoint does not know schemas.
    NoSchema,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(settings: &'a OpenAiSettings, cache: &Path) -> Result<Self, OpenAiError> {
        let key = std::env::var(&settings.api_key_env).unwrap_or_default();
        if key.is_empty() && settings.base_url == OPENAI {
            return Err(OpenAiError::NoKey { variable: settings.api_key_env.clone() });
        }
        let config = OpenAIConfig::new().with_api_key(key).with_api_base(settings.base_url.trim_end_matches('/'));
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs_f64(settings.timeout_secs))
            .build()
            .map_err(OpenAiError::Client)?;
        Ok(Self {
            settings,
            url: config.url("/chat/completions"),
            config,
            client,
            answers: Answers::new(cache),
            budget: Budget::default(),
            without_schema: AtomicBool::new(false),
        })
    }

    /// Where it asks.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What to ask a model.
    pub(crate) fn question(
        &self,
        model: &str,
        kind: Kind,
        conversation: &Conversation,
    ) -> Result<Question, OpenAiError> {
        Ok(Question {
            with_schema: self.request(model, kind, conversation, true)?,
            plain: self.request(model, kind, conversation, false)?,
            tokens: conversation.estimated_tokens(),
        })
    }

    /// Kept answers to a question, of this run and earlier ones. `attempt` counts questions asked again after a malformed
    /// answer, so that each has its own place.
    pub(crate) fn kept(&self, question: &Question, attempt: u32) -> Vec<Answer> {
        let requests = [&question.with_schema, &question.plain];
        requests.into_iter().filter_map(|request| self.answers.get(&self.url, request, attempt)).collect()
    }

    /// A new answer to a question: nobody is asked only if somebody was in this run, about a head with the same texts.
    pub(crate) async fn ask(&self, question: &Question, attempt: u32) -> Result<Answer, OpenAiError> {
        let requests = [&question.with_schema, &question.plain];
        if let Some(answer) = requests.into_iter().find_map(|it| self.answers.get_new(&self.url, it, attempt)) {
            return Ok(answer);
        }
        let answer = self.answered(question).await?;
        self.answers.put(&self.url, attempt, &answer)?;
        Ok(answer)
    }

    /// Tries until there is an answer, a bounded number of times.
    async fn answered(&self, question: &Question) -> Result<Answer, OpenAiError> {
        let mut tries = 0;
        loop {
            self.budget.check(self.settings)?;
            let plain = self.without_schema.load(Ordering::Relaxed);
            let request = if plain { &question.plain } else { &question.with_schema };
            tries += 1;
            match self.try_once(request, question.tokens).await? {
                Try::Answered(answer) => {
                    self.budget.add(Usage { tokens_in: answer.tokens_in, tokens_out: answer.tokens_out });
                    return Ok(answer);
                }
                Try::NoSchema => {
                    tries -= 1;
                    self.without_schema.store(true, Ordering::Relaxed);
                }
                Try::Again { cause, wait, billed } => {
                    if let Some(usage) = billed {
                        self.budget.add(usage);
                    }
                    if tries > self.settings.max_retries {
                        return Err(OpenAiError::GaveUp { url: self.url.clone(), tries, source: cause });
                    }
                    self.wait(&*cause, tries, wait).await;
                }
            }
        }
    }

    async fn wait(&self, cause: &(dyn Error + Send + Sync), tries: u32, asked: Option<Duration>) {
        let backoff = Duration::from_millis(self.settings.backoff_ms << (tries - 1).min(16));
        let wait = asked.unwrap_or(backoff).min(LONGEST_WAIT);
        tracing::debug!("{}; again in {:.1} s", with_causes(cause), wait.as_secs_f64());
        tokio::time::sleep(wait).await;
    }

    fn request(
        &self,
        model: &str,
        kind: Kind,
        conversation: &Conversation,
        schema: bool,
    ) -> Result<Value, OpenAiError> {
        let mut messages: Vec<ChatCompletionRequestMessage> =
            vec![ChatCompletionRequestSystemMessage::from(conversation.system.as_str()).into()];
        for (question, answer) in &conversation.examples {
            messages.push(ChatCompletionRequestUserMessage::from(question.as_str()).into());
            let answer = ChatCompletionRequestAssistantMessageContent::from(answer.as_str());
            messages.push(ChatCompletionRequestAssistantMessage::from(answer).into());
        }
        messages.push(ChatCompletionRequestUserMessage::from(conversation.question.as_str()).into());
        let request = CreateChatCompletionRequest {
            model: model.to_owned(),
            messages,
            temperature: Some(self.settings.temperature),
            response_format: schema.then(|| kind.schema()),
            ..CreateChatCompletionRequest::default()
        };
        Ok(serde_json::to_value(request).map_err(std::io::Error::from)?)
    }

    /// One request. `tokens` is the estimate of what is sent.
    async fn try_once(&self, request: &Value, tokens: u64) -> Result<Try, OpenAiError> {
        let sent = self.client.post(&self.url).headers(self.config.headers()).json(request).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Ok(Try::Again { cause: error.into(), wait: None, billed: None }),
        };
        let (status, wait) = (response.status(), retry_after(&response));
        match response.text().await {
            Ok(body) if status.is_success() => Ok(answer(&body, request, tokens)),
            Ok(body) => self.refusal(status, wait, &body, request),
            Err(error) => {
                // The head of a success was there: the model was at work, and whoever bills for it does so.
                let billed = status.is_success().then_some(Usage { tokens_in: tokens, tokens_out: 0 });
                Ok(Try::Again { cause: error.into(), wait: None, billed })
            }
        }
    }

    /// What a response that is no success means.
    fn refusal(
        &self,
        status: StatusCode,
        wait: Option<Duration>,
        body: &str,
        request: &Value,
    ) -> Result<Try, OpenAiError> {
        let message = error_message(body);
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) || status.is_server_error() {
            return Ok(Try::Again { cause: format!("status {status}: {message}").into(), wait, billed: None });
        }
        // Servers that validate with FastAPI say 422 where OpenAI says 400.
        if matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
            && request.get("response_format").is_some()
            && body.contains("response_format")
        {
            return Ok(Try::NoSchema);
        }
        Err(OpenAiError::Refused { url: self.url.clone(), status: status.as_u16(), message })
    }
}

/// What a success says.
fn answer(body: &str, request: &Value, tokens: u64) -> Try {
    let Reply { content, usage } = Reply::read(body, tokens);
    match content {
        Some(content) => Try::Answered(Answer {
            request: request.clone(),
            content,
            tokens_in: usage.tokens_in,
            tokens_out: usage.tokens_out,
        }),
        None => Try::Again {
            cause: format!("the answer is not a chat completion: {}", error_message(body)).into(),
            wait: None,
            billed: Some(usage),
        },
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn error_message(body: &str) -> String {
    let value: Option<Value> = serde_json::from_str(body).ok();
    let message = value.as_ref().and_then(|value| value.pointer("/error/message")?.as_str());
    shortened(message.unwrap_or(body))
}

pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
