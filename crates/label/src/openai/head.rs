use headspan_artifacts::LabelRow;
use serde_json::Value;

use crate::{
    heads::{HeadTexts, NO_TEXTS},
    openai::{
        ask::{Asker, Kind, shortened},
        error::OpenAiError,
        prompts::{Conversation, Prompts},
        settings::OpenAiSettings,
    },
};

/// Name of the labeller in tables.
const NAME: &str = "openai";
/// A property is a name, not a sentence.
const LONGEST_PROPERTY: usize = 60;

/// An answer that was understood, or the last one that was not; and what all of them cost.
struct Outcome<T> {
    answer: Result<T, String>,
    tokens_in: u64,
    tokens_out: u64,
}

/// Labels one head and has its texts judged.
pub(crate) async fn label_head(
    head: &HeadTexts,
    settings: &OpenAiSettings,
    prompts: &Prompts,
    asker: &Asker<'_>,
) -> Result<LabelRow, OpenAiError> {
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
        return Ok(row);
    }
    let label = understood(asker, settings, &settings.model, Kind::Label, &prompts.label(&texts), property).await?;
    row.tokens_in += label.tokens_in;
    row.tokens_out += label.tokens_out;
    match label.answer {
        Ok(property) => row.property = Some(property),
        Err(last) => {
            row.description = Some(format!("no label: the answers were malformed, the last: {last}"));
            return Ok(row);
        }
    }
    let property = row.property.clone().unwrap_or_default();
    judge(&mut row, &texts, &property, settings, prompts, asker).await?;
    Ok(row)
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
            let vote = understood(asker, settings, judge, Kind::Judge, &conversation, judgement).await?;
            row.tokens_in += vote.tokens_in;
            row.tokens_out += vote.tokens_out;
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

/// Asks until an answer is understood, a bounded number of times.
async fn understood<T>(
    asker: &Asker<'_>,
    settings: &OpenAiSettings,
    model: &str,
    kind: Kind,
    conversation: &Conversation,
    parse: fn(&str) -> Option<T>,
) -> Result<Outcome<T>, OpenAiError> {
    let (mut tokens_in, mut tokens_out) = (0, 0);
    let mut last = String::new();
    for attempt in 0..=settings.max_reasks {
        let answer = asker.ask(model, kind, conversation, attempt).await?;
        tokens_in += answer.tokens_in;
        tokens_out += answer.tokens_out;
        if let Some(parsed) = parse(&answer.content) {
            return Ok(Outcome { answer: Ok(parsed), tokens_in, tokens_out });
        }
        last = shortened(&answer.content);
    }
    Ok(Outcome { answer: Err(last), tokens_in, tokens_out })
}

/// The JSON object of an answer; some endpoints wrap it in a code fence.
fn object(content: &str) -> Option<Value> {
    let start = content.find('{')?;
    let end = content.rfind('}')?;
    serde_json::from_str(content.get(start..=end)?).ok()
}

fn property(content: &str) -> Option<String> {
    let answer = object(content)?;
    let property = answer.get("property")?.as_str()?.trim().trim_end_matches('.').to_owned();
    (!property.is_empty() && property.chars().count() <= LONGEST_PROPERTY).then_some(property)
}

fn judgement(content: &str) -> Option<bool> {
    object(content)?.get("consistent")?.as_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_literally_or_not_at_all() {
        assert_eq!(property("```json\n{\"property\": \"Colors.\"}\n```").as_deref(), Some("Colors"));
        assert_eq!(property("Colors"), None);
        assert_eq!(property("{\"property\": 3}"), None);
        assert_eq!(property("{\"property\": \"\"}"), None);
        assert_eq!(judgement("{\"consistent\": true}"), Some(true));
        assert_eq!(judgement("{\"consistent\": \"yes\"}"), None);
    }
}
