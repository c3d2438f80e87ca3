use headspan_artifacts::LabelRow;

use crate::{
    heads::{HeadTexts, NO_TEXTS},
    openai::{
        answers::Answer,
        ask::{Asker, Kind, Question, shortened},
        error::OpenAiError,
        object::object,
        prompts::Prompts,
        settings::OpenAiSettings,
    },
};

/// Name of the labeller in tables.
pub(super) const NAME: &str = "openai";
/// A property is a name, not a sentence.
const LONGEST_PROPERTY: usize = 60;

/// An answer that was understood, or the last one that was not; and what all of them cost.
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
    fn take(&mut self, answer: &Answer, parse: fn(&str) -> Option<T>) -> bool {
        self.tokens_in += answer.tokens_in;
        self.tokens_out += answer.tokens_out;
        self.answer = parse(&answer.content).ok_or_else(|| shortened(&answer.content));
        self.answer.is_ok()
    }
}

/// One head's row, and the beginning of the last answer if it has no label because none was understood.
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
    let question = asker.question(&settings.model, Kind::Label, &prompts.label(&texts))?;
    let label = understood(asker, settings, &question, property).await?;
    row.tokens_in += label.tokens_in;
    row.tokens_out += label.tokens_out;
    match label.answer {
        Ok(property) => row.property = Some(property),
        Err(last) => {
            row.description = Some(format!("no label: the answers were malformed, the last: {last}"));
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
            let question = asker.question(judge, Kind::Judge, &conversation)?;
            let vote = understood(asker, settings, &question, judgement).await?;
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

/// Asks until an answer is understood, a bounded number of times; nobody if there is a kept one that is.
async fn understood<T>(
    asker: &Asker<'_>,
    settings: &OpenAiSettings,
    question: &Question,
    parse: fn(&str) -> Option<T>,
) -> Result<Outcome<T>, OpenAiError> {
    if let Some(outcome) = kept(asker, settings, question, parse) {
        return Ok(outcome);
    }
    let mut outcome = Outcome::new();
    for attempt in 0..=settings.max_reasks {
        if outcome.take(&asker.ask(question, attempt).await?, parse) {
            break;
        }
    }
    Ok(outcome)
}

/// What kept answers give, if one of them is understood. Those that are not count for what they cost, so that a rerun
/// gives the same row, and for nothing else: whoever gave them may do better by now.
fn kept<T>(
    asker: &Asker<'_>,
    settings: &OpenAiSettings,
    question: &Question,
    parse: fn(&str) -> Option<T>,
) -> Option<Outcome<T>> {
    let mut outcome = Outcome::new();
    for attempt in 0..=settings.max_reasks {
        let answers = asker.kept(question, attempt);
        let best = answers.iter().find(|answer| parse(&answer.content).is_some()).or(answers.first());
        if best.is_some_and(|answer| outcome.take(answer, parse)) {
            return Some(outcome);
        }
    }
    None
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
