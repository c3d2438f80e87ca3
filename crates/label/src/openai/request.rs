//! What is sent: the conversation, and how the answer is to be given.

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestAssistantMessageContent, ChatCompletionRequestMessage,
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage, CreateChatCompletionRequest, ResponseFormat,
    ResponseFormatJsonSchema,
};
use serde_json::{Value, json};

use crate::openai::{
    form::{Form, Length, Shape},
    prompts::Conversation,
    settings::OpenAiSettings,
};

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

/// What is asked, in every form.
pub(crate) struct Question {
    pub(crate) model: String,
    /// The preferred form first.
    forms: Vec<(Form, Value)>,
    /// Estimate of the tokens that are sent.
    pub(crate) tokens: u64,
}

impl Question {
    pub(crate) fn new(
        settings: &OpenAiSettings,
        model: &str,
        kind: Kind,
        conversation: &Conversation,
    ) -> std::io::Result<Self> {
        let forms = Form::all(settings.answer_tokens > 0).into_iter();
        let forms = forms.map(|form| request(settings, model, kind, conversation, form).map(|request| (form, request)));
        Ok(Self {
            model: model.to_owned(),
            forms: forms.collect::<std::io::Result<_>>()?,
            tokens: conversation.estimated_tokens(),
        })
    }

    /// The request in every form.
    pub(crate) fn requests(&self) -> impl Iterator<Item = &Value> {
        self.forms.iter().map(|(_, request)| request)
    }

    /// The request in one form.
    pub(crate) fn request(&self, form: Form) -> Value {
        let found = self.forms.iter().find(|(own, _)| *own == form);
        found.or(self.forms.last()).map(|(_, request)| request.clone()).unwrap_or_default()
    }
}

fn request(
    settings: &OpenAiSettings,
    model: &str,
    kind: Kind,
    conversation: &Conversation,
    form: Form,
) -> std::io::Result<Value> {
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
        temperature: (!form.without_temperature).then_some(settings.temperature),
        response_format: match form.shape {
            Shape::Schema => Some(kind.schema()),
            Shape::Object => Some(ResponseFormat::JsonObject),
            Shape::Free => None,
        },
        ..CreateChatCompletionRequest::default()
    };
    let mut request = serde_json::to_value(request)?;
    let field = match form.length {
        Length::Tokens => "max_tokens",
        Length::CompletionTokens => "max_completion_tokens",
        Length::Free => return Ok(request),
    };
    request[field] = json!(settings.answer_tokens);
    Ok(request)
}
