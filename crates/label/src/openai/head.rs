use headspan_artifacts::LabelRow;
use serde_json::{Map, Value};

use crate::{
    heads::{HeadTexts, NO_TEXTS},
    openai::{
        answers::Answer,
        ask::Asker,
        error::OpenAiError,
        prompts::Prompts,
        request::{Kind, Question},
        settings::OpenAiSettings,
    },
};

/// Name of the labeller in tables.
pub(super) const NAME: &str = "openai";
/// A property is a name, not a sentence.
const LONGEST_PROPERTY: usize = 60;

/// Reads what was asked for from the object that a model answered with.
type Read<T> = fn(&Map<String, Value>) -> Option<T>;

/// An answer that was understood, or what the last one was; and what all of them cost.
struct Outcome<T> {
    answer: Result<T, String>,
    tokens_in: u64,
    tokens_out: u64,
}

impl<T> Outcome<T> {
    fn new() -> Self {
        Self { answer: Err(String::new()), tokens_in: 0, tokens_out: 0 }
    }

    /// Takes one more answer; whether it is understood.
    fn take(&mut self, answer: &Answer, read: Read<T>) -> bool {
        self.tokens_in = self.tokens_in.saturating_add(answer.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(answer.tokens_out);
        self.answer = answer.read(read).ok_or_else(|| answer.described());
        self.answer.is_ok()
    }
}

/// One head's row, and what the last answer was if it has no label because none was understood.
pub(crate) struct Labelled {
    pub(crate) row: LabelRow,
    pub(crate) malformed: Option<String>,
}

/// Labels one head and has its texts judged.
pub(crate) async fn label_head(
    head: &HeadTexts,
    settings: &OpenAiSettings,
    prompts: &Prompts,
    asker: &Asker<'_>,
) -> Result<Labelled, OpenAiError> {
    let texts: Vec<&str> = head.texts.iter().take(settings.texts).map(|row| row.text.as_str()).collect();
    let mut row = LabelRow {
        layer: head.head.layer,
        head: head.head.head,
        labeller: NAME.to_owned(),
        property: None,
        description: None,
        consistent: Vec::new(),
        agreement: None,
        prompt_sha256: Some(prompts.sha256()),
        llm_model: Some(format!("{};{}", settings.model, settings.judge_models().join(";"))),
        tokens_in: 0,
        tokens_out: 0,
    };
    if texts.is_empty() {
        row.description = Some(NO_TEXTS.to_owned());
        return Ok(Labelled { row, malformed: None });
    }
    let question = Question::new(settings, &settings.model, Kind::Label, &prompts.label(&texts))?;
    let label = understood(asker, settings, &question, property).await?;
    row.tokens_in = row.tokens_in.saturating_add(label.tokens_in);
    row.tokens_out = row.tokens_out.saturating_add(label.tokens_out);
    match label.answer {
        Ok(property) => row.property = Some(property),
        Err(last) => {
            row.description = Some(format!("no label: the answers were malformed, the last {last}"));
            return Ok(Labelled { row, malformed: Some(last) });
        }
    }
    let property = row.property.clone().unwrap_or_default();
    judge(&mut row, &texts, &property, settings, prompts, asker).await?;
    Ok(Labelled { row, malformed: None })
}

/// Majority of the judges per text; a tie or a malformed answer leaves the text undecided. Agreement is the mean share of
/// judges behind the majority.
async fn judge(
    row: &mut LabelRow,
    texts: &[&str],
    property: &str,
    settings: &OpenAiSettings,
    prompts: &Prompts,
    asker: &Asker<'_>,
) -> Result<(), OpenAiError> {
    let judges = settings.judge_models();
    let (mut shares, mut split) = (Vec::new(), Vec::new());
    for (number, text) in texts.iter().enumerate() {
        let conversation = prompts.judge(text, property);
        let mut votes = Vec::new();
        for judge in &judges {
            let question = Question::new(settings, judge, Kind::Judge, &conversation)?;
            let vote = understood(asker, settings, &question, judgement).await?;
            row.tokens_in = row.tokens_in.saturating_add(vote.tokens_in);
            row.tokens_out = row.tokens_out.saturating_add(vote.tokens_out);
            votes.extend(vote.answer.ok());
        }
        let yes = votes.iter().filter(|vote| **vote).count();
        let no = votes.len() - yes;
        row.consistent.push(if yes == no { None } else { Some(yes > no) });
        if !votes.is_empty() {
            shares.push(yes.max(no) as f64 / votes.len() as f64);
        }
        if yes > 0 && no > 0 {
            split.push(format!("text {number}: {yes} yes, {no} no"));
        }
        if votes.len() < judges.len() {
            split.push(format!(
                "text {number}: {} of {} judges gave no valid answer",
                judges.len() - votes.len(),
                judges.len()
            ));
        }
    }
    if !shares.is_empty() {
        row.agreement = Some(shares.iter().sum::<f64>() / shares.len() as f64);
    }
    if !split.is_empty() {
        row.description = Some(format!("judges disagree: {}", split.join("; ")));
    }
    Ok(())
}

/// Asks until an answer is understood, a bounded number of times; nobody if there is a kept one that is.
async fn understood<T>(
    asker: &Asker<'_>,
    settings: &OpenAiSettings,
    question: &Question,
    read: Read<T>,
) -> Result<Outcome<T>, OpenAiError> {
    if let Some(outcome) = kept(asker, settings, question, read) {
        return Ok(outcome);
    }
    let mut outcome = Outcome::new();
    for attempt in 0..=settings.max_reasks {
        if outcome.take(&asker.ask(question, attempt).await?, read) {
            break;
        }
    }
    Ok(outcome)
}

/// What kept answers give, if one of them is understood. Those that are not count for what they cost, so that a rerun
/// gives the same row, and for nothing else: whoever gave them may do better by now.
fn kept<T>(asker: &Asker<'_>, settings: &OpenAiSettings, question: &Question, read: Read<T>) -> Option<Outcome<T>> {
    let mut outcome = Outcome::new();
    for attempt in 0..=settings.max_reasks {
        let answers = asker.kept(question, attempt);
        let best = answers.iter().find(|answer| answer.read(read).is_some()).or(answers.first());
        if best.is_some_and(|answer| outcome.take(answer, read)) {
            return Some(outcome);
        }
    }
    None
}

pub(crate) fn property(answer: &Map<String, Value>) -> Option<String> {
    let property = answer.get("property")?.as_str()?.trim().trim_end_matches('.').to_owned();
    (!property.is_empty() && property.chars().count() <= LONGEST_PROPERTY).then_some(property)
}

/// Without a schema, some models write the words of JSON as texts.
pub(crate) fn judgement(answer: &Map<String, Value>) -> Option<bool> {
    match answer.get("consistent")? {
        Value::Bool(judgement) => Some(*judgement),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::object::answered;

    #[test]
    fn answers_are_taken_literally_or_not_at_all() {
        let label = |content| answered(content, property);
        assert_eq!(label("```json\n{\"property\": \"Colors.\"}\n```").as_deref(), Some("Colors"));
        for no_label in ["Colors", "{\"property\": 3}", "{\"property\": \"\"}", "{\"property\": [\"colors\"]}"] {
            assert_eq!(label(no_label), None, "{no_label}");
        }
        let judge = |content| answered(content, judgement);
        assert_eq!(judge("{\"consistent\": true}"), Some(true));
        assert_eq!(judge("{\"consistent\": \"False\"}"), Some(false));
        for no_judgement in ["{\"consistent\": \"yes\"}", "{\"consistent\": 1}", "{\"consistent\": True}", "true"] {
            assert_eq!(judge(no_judgement), None, "{no_judgement}");
        }
    }
}
