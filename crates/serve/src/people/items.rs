//! What there is to review, in order, and how much of it a person has answered.

use headspan_artifacts::{HeadId, NoteKind};
use headspan_notes::Standing;
use headspan_query::ExploreRun;
use serde::Serialize;

use super::People;

/// How a run is reviewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Texts are judged against the label that is shown.
    Judge,
    /// Heads are named, their labels hidden.
    Blind,
}

impl Mode {
    /// As a query string has it.
    pub(crate) fn query(self) -> &'static str {
        match self {
            Self::Judge => "",
            Self::Blind => "&blind=1",
        }
    }
}

/// One thing to answer: a text of a head with a label, or a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) head: HeadId,
    /// Place of the text among the head's picks; none where the head is named.
    pub(crate) pick: Option<usize>,
    /// The label; none where the head is named.
    pub(crate) property: Option<String>,
}

/// All things to answer in a mode, in order of heads and picks.
pub(crate) struct Items(pub(crate) Vec<Item>);

impl Items {
    pub(crate) fn of(people: &People, run: &ExploreRun, mode: Mode) -> Self {
        let mut items = Vec::new();
        for (head, texts) in people.texts.iter().filter(|(_, texts)| !texts.is_empty()) {
            let property = run.label(*head).and_then(|label| label.property.clone());
            match (mode, property) {
                (Mode::Blind, _) => items.push(Item { head: *head, pick: None, property: None }),
                (Mode::Judge, None) => {}
                (Mode::Judge, Some(property)) => items.extend((0..texts.len()).map(|pick| Item {
                    head: *head,
                    pick: Some(pick),
                    property: Some(property.clone()),
                })),
            }
        }
        Self(items)
    }

    /// What somebody has answered to one of them.
    pub(crate) fn answer<'a>(people: &'a People, author: &str, item: &Item) -> Option<&'a Standing> {
        match (&item.property, item.pick) {
            (Some(property), Some(pick)) => {
                people.judgement(author, item.head, property, people.texts.get(&item.head)?.get(pick)?)
            }
            _ => people.called(author, NoteKind::Name, item.head).filter(|standing| is_now(people, item, standing)),
        }
    }

    /// How many a person has answered, and the first that they have not from a place on, around the end.
    pub(crate) fn progress(&self, people: &People, author: &str, from: usize) -> (usize, Option<usize>) {
        let open: Vec<usize> =
            (0..self.0.len()).filter(|at| !is_answered(Self::answer(people, author, &self.0[*at]))).collect();
        let next = open.iter().find(|at| **at >= from).or(open.first()).copied();
        (self.0.len() - open.len(), next)
    }
}

/// Undecided is an answer, two that contradict each other are none.
fn is_answered(standing: Option<&Standing>) -> bool {
    standing.is_some_and(|standing| !standing.is_conflict())
}

/// Whether a name was given on the texts that the head has now.
fn is_now(people: &People, item: &Item, standing: &Standing) -> bool {
    let now = people.texts.get(&item.head);
    let now = now.map(|texts| headspan_notes::state_of(texts.iter().map(String::as_str)));
    standing.last().state.is_none() || standing.last().state == now
}
