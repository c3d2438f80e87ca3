use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_openai::{
    config::{Config, OpenAIConfig},
    types::chat::{
        ChatCompletionRequestAssistantMessage, ChatCompletionRequestAssistantMessageContent,
        ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
        CreateChatCompletionRequest, CreateChatCompletionResponse, ResponseFormat, ResponseFormatJsonSchema,
    },
};
use reqwest::{StatusCode, header::RETRY_AFTER};
use serde_json::{Value, json};

use crate::openai::{
    answers::{Answer, Answers},
    budget::Budget,
    error::OpenAiError,
    prompts::Conversation,
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

/// Asks an endpoint: types and addresses are async-openai's; the request itself is ours, because that crate does not show
/// the `Retry-After` header of a refusal.
pub(crate) struct Asker<'a> {
    settings: &'a OpenAiSettings,
    config: OpenAIConfig,
    client: reqwest::Client,
    answers: Answers,
    budget: Budget,
    /// Set once the endpoint refused a schema.
    without_schema: AtomicBool,
}

/// One try at the network.
enum Try {
    Answered(Answer),
    /// Worth another try, after the wait that the endpoint asked for.
    Again {
        message: String,
        wait: Option<Duration>,
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
            config,
            client,
            answers: Answers::new(cache),
            budget: Budget::default(),
            without_schema: AtomicBool::new(false),
        })
    }

    /// The answer to a question: a kept one, or a new one. `attempt` counts questions asked again after a malformed answer,
    /// so that each has its own place.
    pub(crate) async fn ask(
        &self,
        model: &str,
        kind: Kind,
        conversation: &Conversation,
        attempt: u32,
    ) -> Result<Answer, OpenAiError> {
        let url = self.config.url("/chat/completions");
        let with_schema = self.request(model, kind, conversation, true)?;
        let plain = self.request(model, kind, conversation, false)?;
        for request in [&with_schema, &plain] {
            if let Some(answer) = self.answers.get(&url, request, attempt) {
                return Ok(answer);
            }
        }
        let mut tries = 0;
        loop {
            self.budget.check(self.settings)?;
            let request = if self.without_schema.load(Ordering::Relaxed) { &plain } else { &with_schema };
            tries += 1;
            match self.try_once(&url, request).await? {
                Try::Answered(answer) => {
                    self.budget.add(answer.tokens_in, answer.tokens_out);
                    self.answers.put(&url, attempt, &answer)?;
                    return Ok(answer);
                }
                Try::NoSchema => {
                    tries -= 1;
                    self.without_schema.store(true, Ordering::Relaxed);
                }
                Try::Again { message, .. } if tries > self.settings.max_retries => {
                    return Err(OpenAiError::GaveUp { url, tries, message });
                }
                Try::Again { message, wait } => {
                    let backoff = Duration::from_millis(self.settings.backoff_ms << (tries - 1).min(16));
                    let wait = wait.unwrap_or(backoff).min(LONGEST_WAIT);
                    tracing::debug!("{message}; again in {:.1} s", wait.as_secs_f64());
                    tokio::time::sleep(wait).await;
                }
            }
        }
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

    async fn try_once(&self, url: &str, request: &Value) -> Result<Try, OpenAiError> {
        let again = |message: String| Ok(Try::Again { message, wait: None });
        let sent = self.client.post(url).headers(self.config.headers()).json(request).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return again(describe(&error)),
        };
        let status = response.status();
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let body = match response.text().await {
            Ok(body) => body,
            Err(error) => return again(describe(&error)),
        };
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
        {
            return Ok(Try::Again { message: format!("status {status}: {}", error_message(&body)), wait });
        }
        if status == StatusCode::BAD_REQUEST
            && request.get("response_format").is_some()
            && body.contains("response_format")
        {
            return Ok(Try::NoSchema);
        }
        if !status.is_success() {
            let (url, status, message) = (url.to_owned(), status.as_u16(), error_message(&body));
            return Err(OpenAiError::Refused { url, status, message });
        }
        let Ok(response) = serde_json::from_str::<CreateChatCompletionResponse>(&body) else {
            return again(format!("an answer that is no chat completion: {}", shortened(&body)));
        };
        let usage = response.usage.as_ref();
        let content = response.choices.into_iter().next().and_then(|choice| choice.message.content);
        Ok(Try::Answered(Answer {
            request: request.clone(),
            content: content.unwrap_or_default(),
            tokens_in: usage.map_or(0, |usage| u64::from(usage.prompt_tokens)),
            tokens_out: usage.map_or(0, |usage| u64::from(usage.completion_tokens)),
        }))
    }
}

/// reqwest says what failed only in the chain of causes.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
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
