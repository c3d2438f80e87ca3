//! What people say of one head, on its page.

use headspan_artifacts::{HeadId, NoteKind};
use headspan_notes::StandingRow;
use maud::{Markup, html};

use super::notes::said;
use crate::app::head_path;

/// Who writes: asked once, and kept by the browser.
pub(super) fn author_field(author: Option<&str>) -> Markup {
    html! {
        label.who { "Your name " input type="text" name="as" maxlength="40" required autocomplete="nickname" value=(author.unwrap_or("")); }
    }
}

/// The notes of a head and the forms that add to them. `offered` are names to choose from.
pub(super) fn section(
    run: &str,
    head: HeadId,
    label: Option<&str>,
    rows: &[StandingRow],
    author: Option<&str>,
    offered: &[String],
) -> Markup {
    let action = head_path(run, head);
    let own = |kind: NoteKind| rows.iter().filter(move |row| row.kind == kind && Some(row.author.as_str()) == author);
    let confirmed = own(NoteKind::Label).any(|row| row.value.as_deref() == label && label.is_some());
    let shown = rows.iter().filter(|row| row.kind != NoteKind::Judgement);
    html! {
        section #notes {
            h2 { "Notes" }
            @if rows.iter().any(|row| row.kind != NoteKind::Judgement) {
                ul.notes { @for row in shown { li { (said(row)) " " (taken_back(&action, row, author)) } } }
            } @else { p.hint { "Nobody has said anything of this head." } }
            div.forms {
                form.line method="post" action=(action) {
                    (author_field(author))
                    @if let Some(label) = label {
                        button name="action" value="confirm" disabled[confirmed] { @if confirmed { "✓ " } "Confirm " q { (label) } }
                    }
                }
                (field(&action, author, "rename", "Rename", "Another property", Some("properties")))
                (field(&action, author, "tag", "Tag", "odd, to check", None))
                (field(&action, author, "list", "Add to list", "For the paper", None))
                (comment(&action, author))
            }
            datalist id="properties" { @for name in offered { option value=(name) {} } }
            p.onward { a href={ "/r/" (run) "/review" } { "Review the run" } " · " a href={ "/r/" (run) "/notes" } { "All notes" } }
        }
    }
}

/// A form with one field. The name of who writes stands in the first form; a script keeps the others in step with it.
fn field(action: &str, author: Option<&str>, does: &str, name: &str, hint: &str, list: Option<&str>) -> Markup {
    html! {
        form.line method="post" action=(action) {
            input type="hidden" name="as" value=(author.unwrap_or(""));
            label { (name) " " input type="text" name="value" maxlength="200" required placeholder=(hint) list=[list] autocomplete="off"; }
            button.second name="action" value=(does) { (name) }
        }
    }
}

fn comment(action: &str, author: Option<&str>) -> Markup {
    html! {
        form.line.wide method="post" action=(action) {
            input type="hidden" name="as" value=(author.unwrap_or(""));
            label { "Comment " textarea name="value" maxlength="4000" rows="2" required {} }
            button.second name="action" value="comment" { "Comment" }
        }
    }
}

/// The button that takes one's own note back.
fn taken_back(action: &str, row: &StandingRow, author: Option<&str>) -> Markup {
    let does = match row.kind {
        NoteKind::Label => "unlabel",
        NoteKind::Comment => "uncomment",
        NoteKind::Tag => "untag",
        NoteKind::List => "unlist",
        NoteKind::Judgement | NoteKind::Name | NoteKind::View => return html! {},
    };
    html! {
        @if Some(row.author.as_str()) == author {
            form.small method="post" action=(action) {
                input type="hidden" name="as" value=(row.author);
                @if let Some(key) = &row.key { input type="hidden" name="key" value=(key); }
                button.second name="action" value=(does) aria-label={ "Take back: " (row.kind.name()) @if let Some(key) = &row.key { " " (key) } } { "take back" }
            }
        }
    }
}
