//! Everything that people said of a run: heads by what was noted of them, and saved views.

use std::collections::{BTreeMap, BTreeSet};

use headspan_artifacts::{HeadId, NoteKind};
use headspan_notes::{StandingRow, standing_columns};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    head_notes::author_field,
    layout::{Title, counted, formats, heading, page, urlencoded},
    review::told,
};
use crate::{
    app::{Shared, head_path},
    error::WebError,
    page_request::{Page, PageRequest},
    people::{People, when},
};
use headspan_query::Columns;

/// All that holds, or the part of it that was asked for.
#[derive(Debug, Serialize)]
pub(crate) struct NotesPage {
    run: String,
    /// Only those of this person.
    by: Option<String>,
    /// Only heads with this tag, or on this list.
    tag: Option<String>,
    list: Option<String>,
    /// Only answers to texts that the heads no longer have.
    older: bool,
    notes: Vec<StandingRow>,
    /// How many heads have each tag, and are on each list.
    tags: BTreeMap<String, usize>,
    lists: BTreeMap<String, usize>,
    #[serde(skip)]
    author: Option<String>,
    /// Address of a view that is to be saved.
    #[serde(skip)]
    save: Option<String>,
    #[serde(skip)]
    query: String,
}

impl NotesPage {
    pub(crate) fn new(request: &PageRequest) -> Result<Self, WebError> {
        let run = request.access()?.run();
        let all = People::of(&request.shared, run)?.rows();
        let field = |key: &str| request.fields.get(key).map(str::to_owned);
        let (by, tag, list) = (field("as"), field("tag"), field("list"));
        let older = request.fields.get("older").is_some();
        let with = |kind: NoteKind, key: &Option<String>| -> Option<BTreeSet<HeadId>> {
            let key = key.as_ref()?;
            let of = all.iter().filter(|row| row.kind == kind && row.key.as_ref() == Some(key));
            Some(of.filter_map(|row| row.head).collect())
        };
        let (tagged, listed) = (with(NoteKind::Tag, &tag), with(NoteKind::List, &list));
        let is_on = |heads: &Option<BTreeSet<HeadId>>, row: &StandingRow| {
            heads.as_ref().is_none_or(|heads| row.head.is_some_and(|head| heads.contains(&head)))
        };
        let is_by = |row: &&StandingRow| by.as_ref().is_none_or(|by| *by == row.author);
        let shown = all.iter().filter(is_by).filter(|row| !older || row.older);
        let shown = shown.filter(|row| is_on(&tagged, row) && is_on(&listed, row)).cloned().collect();
        let (tags, lists) = (counts(&all, NoteKind::Tag), counts(&all, NoteKind::List));
        let (author, save) = (request.known_author(), field("save"));
        Ok(Self {
            run: run.name(),
            by,
            tag,
            list,
            older,
            notes: shown,
            tags,
            lists,
            author,
            save,
            query: request.fields.without(&["save"]).text(),
        })
    }

    fn of(&self, kinds: &[NoteKind]) -> impl Iterator<Item = &StandingRow> {
        self.notes.iter().filter(move |row| kinds.contains(&row.kind))
    }
}

/// Heads by tag or list, whoever put it there.
fn counts(rows: &[StandingRow], kind: NoteKind) -> BTreeMap<String, usize> {
    let mut heads: BTreeMap<String, BTreeSet<HeadId>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == kind) {
        if let (Some(key), Some(head)) = (&row.key, row.head) {
            heads.entry(key.clone()).or_default().insert(head);
        }
    }
    heads.into_iter().map(|(key, heads)| (key, heads.len())).collect()
}

impl Page for NotesPage {
    fn html(&self, shared: &Shared) -> Markup {
        let path = format!("/r/{}/notes", self.run);
        let heads = [NoteKind::Label, NoteKind::Name, NoteKind::Comment, NoteKind::Tag, NoteKind::List];
        let judged = self.of(&[NoteKind::Judgement]).count();
        page(
            &Title { section: "Notes", asked: String::new() },
            Some(&self.run),
            &html! {
                (heading("Notes", "What people said of this run's heads. The run's own tables stay as they are."))
                (choices(self, &path))
                @if self.notes.is_empty() {
                    p.empty { "Nothing yet: confirm, rename, comment, tag or list a head on its page, or " a href={ "/r/" (self.run) "/review" } { "review" } " the run." }
                }
                (by_head(shared, self, &heads))
                @if judged > 0 { (judgements(self, judged)) }
                (views(self, &path))
                p.onward { a href={ "/r/" (self.run) "/agreement" } { "How far labellers agree" } " · " (formats(&path, &self.query)) }
            },
        )
    }

    /// One row a note that holds.
    fn table(&self) -> Columns {
        standing_columns(&self.notes)
    }
}

/// Tags and lists, each leading to its heads.
fn choices(shown: &NotesPage, path: &str) -> Markup {
    let chosen = shown.by.is_some() || shown.tag.is_some() || shown.list.is_some() || shown.older;
    let chips = |kind: &str, counts: &BTreeMap<String, usize>, chosen: Option<&String>| {
        html! {
            @if !counts.is_empty() {
                ul.chips.kinds aria-label=(kind) {
                    li.name { (kind) }
                    @for (key, heads) in counts {
                        li { a href={ (path) "?" (kind) "=" (urlencoded(key)) } aria-current=[(chosen == Some(key)).then_some("true")] { (key) " " span.number { (heads) } } }
                    }
                }
            }
        }
    };
    html! {
        (chips("tag", &shown.tags, shown.tag.as_ref()))
        (chips("list", &shown.lists, shown.list.as_ref()))
        @if chosen {
            p.meta {
                @if let Some(by) = &shown.by { "By " (by) ". " }
                @if shown.older { "Of texts that the heads no longer have. " }
                a href=(path) { "All notes" }
            }
        }
    }
}

fn by_head(shared: &Shared, shown: &NotesPage, kinds: &[NoteKind]) -> Markup {
    let mut heads: BTreeMap<HeadId, Vec<&StandingRow>> = BTreeMap::new();
    for row in shown.of(kinds) {
        if let Some(head) = row.head {
            heads.entry(head).or_default().push(row);
        }
    }
    let accents = Accents::of(shared);
    let property = |head: HeadId| shared.runs.get(&shown.run)?.run().label(head)?.property.as_deref();
    html! {
        @if !heads.is_empty() {
            h2 { "Heads" }
            div.scroll tabindex="0" role="region" aria-label="Heads" { table.noted {
                thead { tr { th scope="col" { "head" } th scope="col" { "label" } th scope="col" { "notes" } } }
                tbody { @for (head, rows) in &heads { tr {
                    th scope="row" { a href={ (head_path(&shown.run, *head)) "#notes" } { (head) } }
                    td { (accents.tag(property(*head))) }
                    td { ul { @for row in rows { li { (said(row)) } } } }
                } } }
            } }
        }
    }
}

/// One note in words, with who said it and when.
pub(super) fn said(row: &StandingRow) -> Markup {
    let confirmed = row.kind == NoteKind::Label && row.value == row.property;
    html! {
        @if row.conflict { strong.warn { "different answers stand: " } }
        @match row.kind {
            NoteKind::Label if confirmed => "label confirmed",
            NoteKind::Label => { "renamed to " (told(row.value.as_deref())) },
            NoteKind::Name => { "named " (told(row.value.as_deref())) " without sight of the label" },
            NoteKind::Comment => span.comment { (row.value.as_deref().unwrap_or("")) },
            NoteKind::Tag => span.chip { "# " (row.key.as_deref().unwrap_or("")) },
            NoteKind::List => { "on the list " q { (row.key.as_deref().unwrap_or("")) } },
            NoteKind::Judgement | NoteKind::View => (told(row.value.as_deref())),
        }
        " " span.by { (row.author) ", " time { (when(row.at_ms)) } @if row.older { ", of an older state" } }
    }
}

fn judgements(shown: &NotesPage, count: usize) -> Markup {
    html! {
        details open[shown.older || shown.by.is_some()] {
            summary { (counted(count, "judged text")) }
            div.scroll tabindex="0" role="region" aria-label="Judged texts" { table {
                thead { tr { th scope="col" { "head" } th scope="col" { "label" } th scope="col" { "text" } th scope="col" { "answer" } th scope="col" { "by" } } }
                tbody { @for row in shown.of(&[NoteKind::Judgement]) { tr {
                    td { @if let Some(head) = row.head { a href=(head_path(&shown.run, head)) { (head) } } }
                    td { (row.property.as_deref().unwrap_or("")) } td { (row.key.as_deref().unwrap_or("")) }
                    td { @if row.conflict { strong.warn { "different answers stand" } } @else { (told(row.value.as_deref())) } @if row.older { " (older state)" } }
                    td { (row.author) }
                } } }
            } }
        }
    }
}

/// Saved views, and the form that saves one.
fn views(shown: &NotesPage, path: &str) -> Markup {
    html! {
        section #views {
            h2 { "Saved views" }
            ul.views { @for row in shown.of(&[NoteKind::View]) {
                @if let (Some(name), Some(view)) = (&row.key, &row.value) {
                    li {
                        a href=(view) { (name) } " " span.by { (row.author) ", " time { (when(row.at_ms)) } }
                        @if shown.author.as_ref() == Some(&row.author) {
                            form.small method="post" action=(path) {
                                input type="hidden" name="as" value=(row.author); input type="hidden" name="name" value=(name);
                                button.second name="action" value="remove" aria-label={ "Remove the view " (name) } { "remove" }
                            }
                        }
                    }
                }
            } }
            form.sheet.save method="post" action=(path) {
                label { "Name of the view " input type="text" name="name" maxlength="200" required autofocus[shown.save.is_some()]; }
                label.wide { "Address " input type="text" name="view" maxlength="4000" required value=(shown.save.as_deref().unwrap_or("")) placeholder="/r/…"; }
                (author_field(shown.author.as_deref()))
                button name="action" value="save" { "Save" }
            }
        }
    }
}
