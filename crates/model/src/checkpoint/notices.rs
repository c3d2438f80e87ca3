//! What is told of a checkpoint when it is opened.

use std::path::Path;

use super::{Notice, names};

/// Names that a notice or an error shows of many.
pub(super) const SHOWN_NAMES: usize = 4;

/// The first of some names, in back-ticks.
fn listed(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(SHOWN_NAMES).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN_NAMES {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

pub(super) fn of_calls(path: &Path, calls: &[String]) -> Option<Notice> {
    let first = calls.first()?;
    let text = format!(
        "`{}` would call `{first}` when PyTorch loads it, which no checkpoint needs; headspan runs no code of a checkpoint",
        path.display()
    );
    Some(Notice { text, is_warning: true })
}

pub(super) fn of_others(path: &Path, prefix: &str, others: &[String]) -> Option<Notice> {
    if others.is_empty() {
        return None;
    }
    let shown = |prefix: &str| if prefix.is_empty() { "no prefix".to_owned() } else { format!("`{prefix}`") };
    let rest: Vec<String> = others.iter().map(|other| shown(other)).collect();
    let text = format!(
        "`{}` holds {} models; the one with {} is used, not that with {}",
        path.display(),
        others.len() + 1,
        shown(prefix),
        rest.join(" or ")
    );
    Some(Notice { text, is_warning: true })
}

pub(super) fn of_dropped(path: &Path, dropped: &[String]) -> Option<Notice> {
    if dropped.is_empty() {
        return None;
    }
    // Those that may be weights first: they are what a reader wants to see.
    let (mut shown, rest): (Vec<String>, Vec<String>) =
        dropped.iter().cloned().partition(|name| names::is_of_a_tower(name));
    let is_warning = !shown.is_empty();
    shown.extend(rest);
    let text = format!(
        "ignored {} tensors of `{}` that are not the model's: {}",
        dropped.len(),
        path.display(),
        listed(&shown)
    );
    Some(Notice { text, is_warning })
}
