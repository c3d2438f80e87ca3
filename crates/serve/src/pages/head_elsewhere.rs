//! What other commands say of a head: accuracy without it, and its partner in another run.

use headspan_artifacts::{AblatedRow, HeadId};
use headspan_query::{Partner, WithoutHead};
use maud::{Markup, html};

use super::{accents::Accents, terms::term};
use crate::app::{Shared, head_path};

/// Classes that lose most, as many as are listed.
const CLASSES: usize = 8;

/// What the classification loses without the head.
pub(super) fn without(run: &str, head: HeadId, found: Option<&WithoutHead>, has_classes: bool) -> Markup {
    html! {
        section #without {
            h2 { "What is lost without it" }
            @if let Some(found) = found {
                p.hint {
                    "Zero-shot " (term("accuracy", "accuracy")) " with the head's output replaced "
                    @if found.replacement == "mean" { "by its mean over images" } @else { "(" (found.replacement) ")" }
                    ": the direct effect, over " (found.all.n) " images."
                }
                p.loss { strong { (percent(found.all.accuracy_before)) " → " (percent(found.all.accuracy_after)) } " " (within(&found.all)) }
                @if found.classes.iter().any(|row| row.accuracy_before > row.accuracy_after) {
                    table.losses {
                        caption { "Classes that lose most" }
                        thead { tr { th scope="col" { "class" } th.number scope="col" { "before" } th.number scope="col" { "after" } th.number scope="col" { "images" } } }
                        tbody { @for row in found.classes.iter().filter(|row| row.accuracy_before > row.accuracy_after).take(CLASSES) {
                            tr {
                                td { (row.class_id.as_deref().unwrap_or("")) }
                                td.number { (percent(row.accuracy_before)) }
                                td.number { (percent(row.accuracy_after)) " " (within(row)) }
                                td.number { (row.n) }
                            }
                        } }
                    }
                } @else { p.hint { "No class loses." } }
            } @else if has_classes {
                @let (dataset, model) = run.split_once('/').unwrap_or(("", run));
                p.hint { "Not measured for " (head) ": " code { "headspan ablate " (model) " --dataset " (dataset) } " does it for each head." }
            } @else { p.hint { "The images have no classes, so there is no accuracy to lose." } }
        }
    }
}

/// The head that the last comparison of two runs paired with this one.
pub(super) fn partner(shared: &Shared, found: &Partner, accents: &Accents) -> Markup {
    let name = html! { (found.run) " " strong { (found.head) } " " (accents.tag(found.property.as_deref())) };
    html! {
        section #partner {
            h2 { @if found.is_after { "The same head afterwards" } @else { "The same head before" } }
            p.hint { "As the last " code { "headspan diff" } " of the data set paired the heads." }
            p {
                @if shared.runs.contains_key(&found.run) { a href=(head_path(&found.run, found.head)) { (name) } } @else { (name) }
                @if let Some(cka) = found.cka { " · " (term("cka", "CKA")) " " span.number { (format!("{cka:.2}")) } }
                @if let Some(overlap) = found.overlap { " · " (term("overlap", "overlap")) " " span.number { (format!("{overlap:.2}")) } }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The interval of the accuracy after.
fn within(row: &AblatedRow) -> Markup {
    html! { span.hint { "(" (format!("{:.1} to {:.1}", 100.0 * row.ci_low, 100.0 * row.ci_high)) ")" } }
}
