//! Where a person judges the texts of heads against their labels, or names heads without seeing the label.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Redirect, Response};
use headspan_artifacts::HeadId;
use headspan_notes::{FITS, Standing, author_name};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    layout::{Title, breadcrumbs, counted, formats, heading, page, urlencoded},
    naming,
};
use crate::{
    app::{Shared, head_path},
    error::WebError,
    page_request::{Page, PageRequest},
    people::{Item, Items, Mode, People, when},
};
use headspan_query::{Columns, ExploreRun, Neighbour};

/// One thing to answer, and how far the review is.
#[derive(Debug, Serialize)]
pub(crate) struct ReviewPage {
    pub(super) run: String,
    /// Who reviews; none before anybody has said.
    pub(super) author: Option<String>,
    pub(super) mode: Mode,
    /// Things to answer, and how many are.
    pub(super) total: usize,
    answered: usize,
    /// What is asked; none once all is answered, and before anybody has said who answers.
    asked: Option<Asked>,
    /// People who have answered, with the texts and the heads that they have answered.
    others: BTreeMap<String, (usize, usize)>,
    /// Answers of the person to texts that the heads no longer have.
    older: usize,
}

/// A text to judge, or a head to name.
#[derive(Debug, Serialize)]
pub(super) struct Asked {
    /// Place among the things to answer, from 0.
    pub(super) at: usize,
    pub(super) head: HeadId,
    /// The label; hidden where the head is named.
    property: Option<String>,
    /// Whose label it is.
    labeller: Option<&'static str>,
    /// Place of the judged text.
    pick: Option<usize>,
    /// The head's texts with what was answered: true, false, or none for no answer and for undecided.
    pub(super) texts: Vec<ReviewedText>,
    /// What the person has answered, newest last; several contradict each other.
    pub(super) said: Vec<Said>,
    /// Newest answer that the page shows.
    pub(super) seen: u64,
    /// Names to choose from.
    pub(super) offered: Vec<String>,
    /// Images that the head sets apart, where it is named.
    pub(super) images: Vec<Neighbour>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReviewedText {
    pub(super) text: String,
    /// Whether it was answered at all.
    answered: bool,
    fits: Option<bool>,
    /// Place among the things to answer.
    at: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct Said {
    pub(super) value: Option<String>,
    at_ms: u64,
}

/// Leads from `/review` to the review of the only run, or to the runs.
pub(crate) fn to_review(page: &PageRequest) -> Response {
    let mut runs = page.shared.runs.keys();
    let target = match (runs.next(), runs.next()) {
        (Some(run), None) => format!("/r/{run}/review"),
        _ => "/".to_owned(),
    };
    Redirect::to(&target).into_response()
}

impl ReviewPage {
    pub(crate) fn new(request: &PageRequest) -> Result<Self, WebError> {
        let run = request.access()?.run();
        let people = People::of(&request.shared, run)?;
        let mode = if request.fields.get("blind").is_some() { Mode::Blind } else { Mode::Judge };
        let given = request.fields.get("as").map(author_name).transpose()?;
        // Without a name in the address the page asks, and offers the name that the browser keeps.
        let begun = given.is_some() || request.fields.get("at").is_some();
        let author = given.or_else(|| request.known_author());
        let items = Items::of(&people, run, mode);
        let name = author.as_deref().unwrap_or_default();
        let (answered, open) = items.progress(&people, name, 0);
        let at = request.fields.optional_number::<usize>("at")?.or(open);
        let asked = match at.filter(|_| begun && author.is_some()) {
            Some(at) => Some(Asked::new(run, &people, name, &items, at)?),
            None => None,
        };
        Ok(Self {
            run: run.name(),
            mode,
            total: items.0.len(),
            answered,
            asked,
            others: others(&people),
            older: people.rows().iter().filter(|row| row.author == name && row.older).count(),
            author: author.filter(|_| begun),
        })
    }

    /// The address of one of the things to answer.
    pub(super) fn place(&self, at: Option<usize>) -> String {
        let author = self.author.as_deref().unwrap_or_default();
        let at = at.map(|at| format!("&at={at}")).unwrap_or_default();
        format!("/r/{}/review?as={}{}{at}", self.run, urlencoded(author), self.mode.query())
    }
}

impl Asked {
    fn new(run: &ExploreRun, people: &People, author: &str, items: &Items, at: usize) -> Result<Self, WebError> {
        let missing = || WebError::absent(format!("at: there are {} to answer", items.0.len()));
        let item = items.0.get(at).ok_or_else(missing)?;
        let standing = Items::answer(people, author, item);
        let said = |standing: &Standing| {
            let one = |row: &headspan_artifacts::NoteRow| Said { value: row.value.clone(), at_ms: row.at_ms };
            // An answer in agreement with another adds nothing.
            if standing.is_conflict() { standing.rows.iter().map(one).collect() } else { vec![one(standing.last())] }
        };
        let is_named = item.pick.is_none();
        Ok(Self {
            at,
            head: item.head,
            property: item.property.clone(),
            labeller: item.property.as_ref().and(run.labeller()),
            pick: item.pick,
            texts: texts(people, author, items, item),
            said: standing.map(said).unwrap_or_default(),
            seen: standing.map_or(0, Standing::revision),
            offered: if is_named { naming::offered(run) } else { Vec::new() },
            images: if is_named { naming::images(run, item.head) } else { Vec::new() },
        })
    }

    pub(super) fn is_conflict(&self) -> bool {
        self.said.len() > 1
    }
}

fn texts(people: &People, author: &str, items: &Items, item: &Item) -> Vec<ReviewedText> {
    let own = people.texts.get(&item.head).map(Vec::as_slice).unwrap_or_default();
    let one = |(pick, text): (usize, &String)| {
        let same = |other: &Item| other.head == item.head && other.pick == Some(pick);
        let at = items.0.iter().position(same);
        let standing = at.and_then(|at| Items::answer(people, author, &items.0[at]));
        let fits = standing.and_then(Standing::value).map(|value| value == FITS);
        ReviewedText { text: text.clone(), answered: standing.is_some(), fits, at }
    };
    own.iter().enumerate().map(one).collect()
}

/// How much everybody has answered: texts, and heads that were named.
fn others(people: &People) -> BTreeMap<String, (usize, usize)> {
    let mut others: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for place in people.standing.keys() {
        match place.kind {
            headspan_artifacts::NoteKind::Judgement => others.entry(place.author.clone()).or_default().0 += 1,
            headspan_artifacts::NoteKind::Name => others.entry(place.author.clone()).or_default().1 += 1,
            _ => {}
        }
    }
    others
}

impl Page for ReviewPage {
    fn html(&self, shared: &Shared) -> Markup {
        let asked = match (&self.asked, self.mode) {
            (Some(asked), Mode::Judge) => format!("text {} of {}", asked.at + 1, self.total),
            (Some(asked), Mode::Blind) => format!("head {} of {}", asked.at + 1, self.total),
            (None, _) => String::new(),
        };
        let body = match (&self.asked, &self.author) {
            (Some(asked), Some(author)) => html! {
                div.review {
                    (progress(self, author))
                    @if self.mode == Mode::Blind { (naming::form(self, asked, author)) } @else { (judge(shared, self, asked, author)) }
                }
            },
            (None, Some(author)) => done(self, author),
            (_, None) => welcome(shared, self),
        };
        page(&Title { section: "Review", asked }, Some(&self.run), &body)
    }

    fn table(&self) -> Columns {
        Columns::new()
    }
}

/// Who reviews and how; people who have begun go on where they stopped.
fn welcome(shared: &Shared, shown: &ReviewPage) -> Markup {
    let known = shared.settings.author.as_deref().unwrap_or("");
    html! {
        (heading("Review", "Do a head's texts fit its label? What would you call the head? Your answers are a labeller of your own, beside the run."))
        form.sheet.begin method="get" action={ "/r/" (shown.run) "/review" } {
            label { "Your name " input type="text" name="as" maxlength="40" required autofocus autocomplete="nickname" value=(known); }
            fieldset {
                legend { "How" }
                label.check { input type="radio" name="blind" value="" checked[shown.mode == Mode::Judge]; " judge texts against labels" }
                label.check { input type="radio" name="blind" value="1" checked[shown.mode == Mode::Blind]; " name heads, labels hidden" }
            }
            button { "Begin" }
        }
        @if !shown.others.is_empty() {
            h2 { "Go on" }
            ul.people { @for (name, (texts, heads)) in &shown.others {
                li {
                    strong { (name) } " "
                    a href={ "/r/" (shown.run) "/review?as=" (urlencoded(name)) } { (counted(*texts, "text")) " judged" } " · "
                    a href={ "/r/" (shown.run) "/review?as=" (urlencoded(name)) "&blind=1" } { (counted(*heads, "head")) " named" }
                }
            } }
        }
        p.onward { a href={ "/r/" (shown.run) "/agreement" } { "How far labellers agree" } }
    }
}

/// How far the review is.
fn progress(shown: &ReviewPage, author: &str) -> Markup {
    let (other, name) = match shown.mode {
        Mode::Judge => ("&blind=1", "name heads instead"),
        Mode::Blind => ("", "judge texts instead"),
    };
    html! {
        div.progress {
            progress max=(shown.total) value=(shown.answered) aria-label="Answered" {}
            span { (shown.answered) " of " (shown.total) " by " strong { (author) } }
            span.ways {
                a href={ "/r/" (shown.run) "/review?as=" (urlencoded(author)) (other) } { (name) } " · "
                a href={ "/r/" (shown.run) "/review" } { "another name" }
            }
        }
        @if shown.older > 0 {
            p.hint role="note" { (counted(shown.older, "answer")) " of an older state: the heads no longer have these texts. They are kept, and count no more. " a href={ "/r/" (shown.run) "/notes?older=1&as=" (urlencoded(author)) } { "Show them" } }
        }
    }
}

/// Fields that every answer carries.
pub(super) fn hidden(shown: &ReviewPage, asked: &Asked, author: &str) -> Markup {
    html! {
        input type="hidden" name="as" value=(author);
        @if shown.mode == Mode::Blind { input type="hidden" name="blind" value="1"; }
        input type="hidden" name="head" value=(asked.head);
        input type="hidden" name="at" value=(asked.at);
        input type="hidden" name="seen" value=(asked.seen);
    }
}

/// That answers contradict each other, and what to do.
pub(super) fn conflict(asked: &Asked) -> Markup {
    html! {
        @if asked.is_conflict() {
            div.error.conflict role="alert" {
                p { "Different answers stand, given in two tabs, or by two people under this name. All are kept; answer again to say which one counts." }
                ul { @for said in &asked.said { li { (told(said.value.as_deref())) ", " time { (when(said.at_ms)) } } } }
            }
        }
    }
}

/// An answer in words.
pub(super) fn told(value: Option<&str>) -> Markup {
    html! { @match value { Some(FITS) => "fits", Some(headspan_notes::FITS_NOT) => "does not fit", Some(name) => q { (name) }, None => "undecided" } }
}

/// The way back, and past what is not to be answered now.
pub(super) fn around(shown: &ReviewPage, asked: &Asked) -> Markup {
    html! {
        div.around {
            @if asked.at > 0 { a href=(shown.place(Some(asked.at - 1))) data-key="Backspace ArrowLeft" aria-keyshortcuts="Backspace ArrowLeft" { "← back" } } @else { span {} }
            @if asked.at + 1 < shown.total { a href=(shown.place(Some(asked.at + 1))) data-key="ArrowRight" aria-keyshortcuts="ArrowRight" { "skip →" } }
        }
    }
}

fn judge(shared: &Shared, shown: &ReviewPage, asked: &Asked, author: &str) -> Markup {
    let (property, pick) = (asked.property.as_deref(), asked.pick.unwrap_or(0));
    let text = asked.texts.get(pick).map_or("", |text| text.text.as_str());
    let now = asked.said.last().filter(|_| !asked.is_conflict()).map(|said| said.value.as_deref());
    let choice = |value: &str, key: &str, name: &str, stands: Option<Option<&str>>| {
        let chosen = now.is_some() && now == stands;
        html! { button.(format!("c{key}")) name="value" value=(value) data-key=(key) aria-keyshortcuts=(key) aria-pressed=(if chosen { "true" } else { "false" }) { kbd aria-hidden="true" { (key) } " " (name) } }
    };
    html! {
        (conflict(asked))
        form.card.judge method="post" action={ "/r/" (shown.run) "/review" } {
            (hidden(shown, asked, author))
            input type="hidden" name="pick" value=(pick);
            input type="hidden" name="property" value=(property.unwrap_or(""));
            input type="hidden" name="text" value=(text);
            h1 { "Does this text fit " (Accents::of(shared).tag(property)) "?" }
            q.subject { (text) }
            p.hint { "Text " (pick + 1) " of " a href=(head_path(&shown.run, asked.head)) { (asked.head) } @if let Some(labeller) = asked.labeller { ", labelled by " (labeller) } "." }
            div.choices {
                (choice("0", "0", "does not fit", Some(Some(headspan_notes::FITS_NOT))))
                (choice("u", "u", "undecided", Some(None)))
                (choice("1", "1", "fits", Some(Some(FITS))))
            }
            (around(shown, asked))
        }
        section aria-label="Texts of the head" {
            h2 { "All texts of " (asked.head) }
            ol.reviewed { @for text in &asked.texts {
                li aria-current=[(text.at == Some(asked.at)).then_some("true")] {
                    a href=(shown.place(text.at)) { (text.text) } " "
                    span.mark { @if !text.answered { "open" } @else { (match text.fits { Some(true) => "✓ fits", Some(false) => "✗ does not fit", None => "undecided" }) } }
                }
            } }
        }
        p.keys.hint { kbd { "1" } " fits " kbd { "0" } " does not fit " kbd { "u" } " undecided " kbd { "←" } " back " kbd { "→" } " skip" }
    }
}

/// Nothing is left to answer.
fn done(shown: &ReviewPage, author: &str) -> Markup {
    let path = format!("/r/{}/review", shown.run);
    let what = if shown.mode == Mode::Blind { "head" } else { "text" };
    html! {
        (breadcrumbs(&[("Review", path.clone())], author))
        (heading("Review", ""))
        @if shown.total == 0 {
            p.empty { @if shown.mode == Mode::Judge { "No head has texts and a label: run `headspan label`." } @else { "No head has texts: run `headspan textspan`." } }
        } @else {
            p.empty role="status" { "All " (counted(shown.total, what)) " answered. " a href=(shown.place(Some(0))) { "Look through them again" } }
        }
        p.onward {
            a.button href={ "/r/" (shown.run) "/agreement" } { "How far labellers agree" } " "
            a.button.second href={ (path) "?as=" (urlencoded(author)) (if shown.mode == Mode::Blind { "" } else { "&blind=1" }) } { @if shown.mode == Mode::Blind { "Judge texts" } @else { "Name heads" } } " "
            (formats(&format!("/r/{}/notes", shown.run), &format!("as={}", urlencoded(author))))
        }
    }
}
