//! What runs that stand side by side were made with.

use headspan_artifacts::{Fact, RunFacts, differences};
use maud::{Markup, html};

/// What the figures of some runs were made with differently, each in a sentence.
pub(super) fn not_comparable<'a>(runs: impl Iterator<Item = (&'a str, &'a RunFacts)>) -> Vec<String> {
    differences(runs).into_iter().map(|(_, told)| told).collect()
}

/// These sentences, where there are any.
pub(super) fn warning(told: &[String]) -> Markup {
    html! { @for told in told { p.error.differs role="note" { (capitalised(told)) "." } } }
}

/// A row for each run, a column for each fact that one of them knows.
pub(super) fn made_with<'a>(runs: impl Iterator<Item = (&'a str, &'a RunFacts)>) -> Markup {
    let runs: Vec<(&str, &RunFacts)> = runs.collect();
    let known = |fact: &Fact| runs.iter().any(|(_, facts)| facts.get(*fact).is_some());
    let facts: Vec<Fact> = Fact::ALL.into_iter().filter(known).collect();
    html! {
        @if !facts.is_empty() {
            section aria-label="Made with" {
                h2 { "Made with" }
                div.scroll tabindex="0" role="region" aria-label="What each run was made with" { table {
                    thead { tr { th scope="col" { "run" } @for fact in &facts { th scope="col" { (fact) } } } }
                    tbody { @for (run, own) in &runs {
                        tr { th scope="row" { (run) } @for fact in &facts { td { (own.get(*fact).unwrap_or("–")) } } }
                    } }
                } }
            }
        }
    }
}

/// A sentence with its first letter as a sentence has it.
fn capitalised(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}
