use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{heads::HeadTexts, openai::settings::OpenAiSettings};

const LABEL: &str = include_str!("../../../../configs/prompts/label.toml");
const JUDGE: &str = include_str!("../../../../configs/prompts/judge.toml");

/// A prompt file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not the expected TOML.
    #[error("prompt file `{path}` cannot be used")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What the TOML library said, with line and key.
        source: Box<toml::de::Error>,
    },
    /// A template without a place for what it is about.
    #[error("prompt file `{path}`, key `user`: the template lacks `{placeholder}`")]
    Placeholder {
        /// The file.
        path: PathBuf,
        /// What is missing.
        placeholder: &'static str,
    },
}

/// One conversation that is shown before the question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExample {
    #[serde(default)]
    texts: Vec<String>,
    property: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    consistent: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrompt {
    system: String,
    user: String,
    examples: Vec<RawExample>,
}

/// The prompts of both kinds of request.
#[derive(Debug, Clone)]
pub struct Prompts {
    label: RawPrompt,
    judge: RawPrompt,
    sha256: String,
}

/// A prompt ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) system: String,
    /// Questions and answers of the examples.
    pub(crate) examples: Vec<(String, String)>,
    pub(crate) question: String,
}

impl Prompts {
    /// Reads `label.toml` and `judge.toml` of the configured folder, or takes the built-in ones.
    pub fn load(settings: &OpenAiSettings) -> Result<Self, PromptError> {
        let read = |name: &str, built_in: &str| -> Result<(PathBuf, String), PromptError> {
            match &settings.prompts {
                Some(folder) => Ok((folder.join(name), fs_err::read_to_string(folder.join(name))?)),
                None => Ok((Path::new("configs/prompts").join(name), built_in.to_owned())),
            }
        };
        let (label_path, label) = read("label.toml", LABEL)?;
        let (judge_path, judge) = read("judge.toml", JUDGE)?;
        let mut hash = Sha256::new();
        hash.update(&label);
        hash.update(&judge);
        Ok(Self {
            label: parse(&label_path, &label, &["{texts}"])?,
            judge: parse(&judge_path, &judge, &["{text}", "{property}"])?,
            sha256: hex(&hash.finalize()),
        })
    }

    /// SHA-256 of both files.
    pub fn sha256(&self) -> String {
        self.sha256.clone()
    }

    pub(crate) fn label(&self, texts: &[&str]) -> Conversation {
        let fill = |texts: &[String]| self.label.user.replace("{texts}", &quoted(texts));
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Conversation {
            system: self.label.system.clone(),
            examples: self
                .label
                .examples
                .iter()
                .map(|example| (fill(&example.texts), serde_json::json!({ "property": example.property }).to_string()))
                .collect(),
            question: fill(&texts),
        }
    }

    pub(crate) fn judge(&self, text: &str, property: &str) -> Conversation {
        let fill = |text: &str, property: &str| self.judge.user.replace("{property}", property).replace("{text}", text);
        Conversation {
            system: self.judge.system.clone(),
            examples: self
                .judge
                .examples
                .iter()
                .map(|example| {
                    let answer = serde_json::json!({ "consistent": example.consistent }).to_string();
                    (fill(&example.text, &example.property), answer)
                })
                .collect(),
            question: fill(text, property),
        }
    }
}

fn parse(path: &Path, text: &str, placeholders: &[&'static str]) -> Result<RawPrompt, PromptError> {
    let prompt: RawPrompt =
        toml::from_str(text).map_err(|error| PromptError::Toml { path: path.to_owned(), source: Box::new(error) })?;
    match placeholders.iter().find(|placeholder| !prompt.user.contains(**placeholder)) {
        Some(placeholder) => Err(PromptError::Placeholder { path: path.to_owned(), placeholder }),
        None => Ok(prompt),
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("- {text:?}")).collect::<Vec<_>>().join("\n")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tokens by the rule of thumb of four bytes each.
pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

impl Conversation {
    /// Estimate of the tokens that are sent.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let examples: usize = self.examples.iter().map(|(question, answer)| question.len() + answer.len()).sum();
        estimated_tokens(self.system.len() + examples + self.question.len())
    }
}

/// What would be asked. Displayed as the prompts of the first head and the totals.
#[derive(Debug, Clone)]
pub struct DryRun {
    shown: Vec<(String, Conversation)>,
    requests: u64,
    tokens: u64,
}

impl DryRun {
    pub(crate) fn new(heads: &[HeadTexts], settings: &OpenAiSettings, prompts: &Prompts) -> Self {
        let judges = settings.judge_models();
        let mut dry = Self { shown: Vec::new(), requests: 0, tokens: 0 };
        for head in heads.iter().filter(|head| !head.texts.is_empty()) {
            let texts: Vec<&str> = head.texts.iter().take(settings.texts).map(|row| row.text.as_str()).collect();
            let label = prompts.label(&texts);
            dry.requests += 1;
            dry.tokens += label.estimated_tokens();
            let judge = texts.first().map(|text| prompts.judge(text, "<property>"));
            for text in &texts {
                dry.requests += judges.len() as u64;
                dry.tokens += judges.len() as u64 * prompts.judge(text, "<property>").estimated_tokens();
            }
            if dry.shown.is_empty() {
                dry.shown.push((format!("label {} with {}", head.head, settings.model), label));
                dry.shown
                    .extend(judge.map(|judge| (format!("judge its first text with {}", judges.join(", ")), judge)));
            }
        }
        dry
    }

    /// Estimated tokens that would be sent.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Requests that would be made.
    pub fn requests(&self) -> u64 {
        self.requests
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, conversation) in &self.shown {
            writeln!(f, "## {title}\n\n[system]\n{}\n", conversation.system.trim())?;
            for (question, answer) in &conversation.examples {
                writeln!(f, "[user]\n{}\n[assistant]\n{answer}\n", question.trim())?;
            }
            writeln!(f, "[user]\n{}\n", conversation.question.trim())?;
        }
        write!(f, "{} requests, about {} tokens to send", self.requests, self.tokens)
    }
}
