//! One box over everything: heads by a text or an image, and what is called so.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{Float64Array, StringArray, UInt32Array};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    bars::Bars,
    layout::{Title, by, counted, cut_note, formats, heading, own_image, page, upload_form, urlencoded},
    terms::term,
};
use crate::{
    app::{Shared, head_path},
    ask::{Fields, QueryInput},
    error::WebError,
    handlers::pixels,
    page_request::Page,
};
use headspan_query::{Carried, Columns, Found, FoundHead, RunAccess};

/// Heads that are shown.
const HEADS: usize = 24;
/// Properties, texts and classes that are shown of each run.
const NAMED: usize = 8;

/// A search over all runs that are shown.
#[derive(Debug, Serialize)]
pub(crate) struct SearchPage {
    words: Option<String>,
    upload: Option<String>,
    /// Heads that carry the text, or that the image excites, most first.
    heads: Vec<ListedHead>,
    /// Runs whose name holds the words.
    runs: Vec<String>,
    /// What is called so, by run.
    named: BTreeMap<String, Found>,
    /// Why a run has no answer, by run.
    errors: BTreeMap<String, String>,
    #[serde(skip)]
    cut: bool,
    #[serde(skip)]
    query: String,
}

#[derive(Debug, Serialize)]
struct ListedHead {
    #[serde(flatten)]
    found: FoundHead,
    /// Its first text.
    text: Option<String>,
}

impl SearchPage {
    /// Answers what was asked; without words and image there is nothing to find yet.
    pub(crate) fn new(shared: &Shared, asked: Option<&QueryInput>, fields: &Fields) -> Result<Self, WebError> {
        let words = asked.and_then(QueryInput::text);
        let mut found = Self {
            upload: asked.and_then(QueryInput::upload),
            heads: Vec::new(),
            runs: Vec::new(),
            named: BTreeMap::new(),
            errors: BTreeMap::new(),
            cut: false,
            query: fields.text(),
            words,
        };
        let Some(asked) = asked else { return Ok(found) };
        // An upload that is no longer here is no error of a run.
        if let QueryInput::Upload(_) = asked
            && let Some(first) = shared.runs.values().next()
        {
            pixels(shared, first.as_ref(), asked)?;
        }
        let mut all = Vec::new();
        for (name, access) in &shared.runs {
            found.look_for_names(name, access.as_ref());
            match heads(shared, access.as_ref(), asked) {
                Ok((heads, cut)) => {
                    all.extend(heads);
                    found.cut |= cut;
                }
                Err(error) => {
                    found.errors.insert(name.clone(), error.message);
                }
            }
        }
        let first_text = |head: &FoundHead| {
            let pick = shared.runs.get(&head.run)?.run().textspan(head.head).first()?;
            Some(pick.text.clone())
        };
        let listed = |found: FoundHead| ListedHead { text: first_text(&found), found };
        found.heads = FoundHead::strongest(all, HEADS).into_iter().map(listed).collect();
        Ok(found)
    }

    fn look_for_names(&mut self, name: &str, access: &dyn RunAccess) {
        let Some(words) = &self.words else { return };
        if name.to_lowercase().contains(&words.to_lowercase()) {
            self.runs.push(name.to_owned());
        }
        let named = access.run().find(words, NAMED);
        if named != Found::default() {
            self.named.insert(name.to_owned(), named);
        }
    }

    /// Whether every head that was found varies more along most other texts.
    fn is_noise(&self) -> bool {
        let is_noise = |head: &ListedHead| FoundHead::are_noise(std::slice::from_ref(&head.found));
        !self.heads.is_empty() && self.heads.iter().all(is_noise)
    }
}

/// The heads of a run that carry a text, or that an image excites, most first, and whether the text was cut off.
fn heads(shared: &Shared, access: &dyn RunAccess, asked: &QueryInput) -> Result<(Vec<FoundHead>, bool), WebError> {
    let run = access.run();
    if let QueryInput::Text(text) = asked {
        let (embedded, cut) = access.model()?.embed(&[text])?.remove(0);
        return Ok((FoundHead::by_text(run, &embedded)?, cut));
    }
    let image = pixels(shared, access, asked)?;
    let trace = access.model()?.trace(&image, &run.layers())?;
    Ok((FoundHead::by_image(run, &trace)?, false))
}

impl Page for SearchPage {
    fn html(&self, shared: &Shared) -> Markup {
        let asked = self.words.as_ref().map(|words| format!("“{words}”"));
        let asked = asked.or_else(|| self.upload.as_ref().map(|_hash| "your image".to_owned())).unwrap_or_default();
        page(
            &Title { section: "Search", asked },
            None,
            &html! {
                (heading("Search", "Any text of yours finds the heads that carry it, over all models; an image finds the heads that it excites."))
                (form(self))
                (upload_form(&format!("/search?{}", self.query)))
                @if self.words.is_some() || self.upload.is_some() {
                    section aria-label="Answer" {
                        (cut_note(self.cut))
                        (names(self, &Accents::of(shared)))
                        (ranked(shared, self))
                        @for (run, error) in &self.errors { p.error { (run) ": " (error) } }
                    }
                } @else {
                    p.empty { "Type what a head may look at, such as “something striped” or “at night”, or a part of a name." }
                }
            },
        )
    }

    /// One row a head.
    fn table(&self) -> Columns {
        let heads = || self.heads.iter().map(|listed| &listed.found);
        let numbers = |value: fn(&FoundHead) -> Option<f64>| Arc::new(heads().map(value).collect::<Float64Array>());
        if self.heads.is_empty() {
            return Vec::new();
        }
        vec![
            ("run", Arc::new(StringArray::from_iter_values(heads().map(|one| &one.run)))),
            ("layer", Arc::new(heads().map(|one| one.head.layer).collect::<UInt32Array>())),
            ("head", Arc::new(heads().map(|one| one.head.head).collect::<UInt32Array>())),
            ("property", Arc::new(heads().map(|one| one.property.as_deref()).collect::<StringArray>())),
            ("times", numbers(|one| one.carried.map(|carried| carried.times))),
            ("above", numbers(|one| one.carried.map(|carried| carried.above))),
            ("span", numbers(|one| one.carried.map(|carried| carried.span))),
            ("excited", numbers(|one| one.excited)),
        ]
    }
}

fn form(shown: &SearchPage) -> Markup {
    html! {
        form.ask.search role="search" autocomplete="off" method="get" action="/search" {
            fieldset {
                div.choice.wide {
                    (by("text", "a text or a name", shown.upload.is_none()))
                    input type="search" name="text" aria-label="Text or name" maxlength="1000" value=(shown.words.as_deref().unwrap_or("")) placeholder="something striped" data-by="text" autofocus[shown.words.is_none() && shown.upload.is_none()];
                }
                (own_image(shown.upload.as_deref()))
            }
            div.details { button { "Search" } }
        }
    }
}

/// What is called so.
fn names(shown: &SearchPage, accents: &Accents) -> Markup {
    if shown.runs.is_empty() && shown.named.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Called so" }
        ul.names {
            @for run in &shown.runs { li { "model " a href={ "/?run=" (urlencoded(run)) } { (run) } } }
            @for (run, found) in &shown.named {
                @for property in &found.properties {
                    li {
                        a href={ "/?run=" (urlencoded(run)) "&property=" (urlencoded(&property.property)) } { (accents.tag(Some(&property.property))) }
                        " property of " (counted(property.heads.len(), "head")) " of " (run)
                    }
                }
                @for class in &found.classes {
                    li { a href={ "/r/" (run) "/images?class=" (urlencoded(&class.class)) } { (class.class) } " class of " (counted(class.images, "image")) " of " (run) }
                }
                @for text in &found.texts {
                    li {
                        a href={ (head_path(run, text.head)) "?direction=" (text.pick) "#ends" } { "“" (text.text) "”" }
                        " text of " (text.head) " of " (run) ", " (format!("{:.1} %", 100.0 * text.variance_share)) " of its variance"
                    }
                }
            }
        }
    }
}

/// The heads, strongest first.
fn ranked(shared: &Shared, shown: &SearchPage) -> Markup {
    let accents = Accents::of(shared);
    let bars = Bars::over(shown.heads.iter().map(|listed| listed.found.strength()));
    let by_text = shown.words.is_some();
    html! {
        h2 { @if by_text { "Heads that carry it" } @else { "Heads that it excites" } }
        @if shown.is_noise() {
            p.error role="note" { "Likely noise: every head varies more along most other texts of its pool." }
        }
        p.hint {
            @if by_text {
                "By the " (term("carried", "variance along the text")) ". " (term("above", "Above")) " and " (term("span", "in its span")) " say how it compares. "
            }
            @else { "By the distance of the head's contribution from its mean, in units of the typical distance over all images. " }
            (formats("/search", &shown.query))
        }
        div.scroll tabindex="0" role="region" aria-label="Heads" { table.found {
            thead { tr {
                th scope="col" { "head" } th scope="col" { "property" } th scope="col" { "its first text" }
                th scope="col" { @if by_text { "variance along it" } @else { "excited" } }
                @if by_text { th.number scope="col" { "above" } th.number scope="col" { "in its span" } }
                th scope="col" { "" }
            } }
            tbody { @for listed in &shown.heads { (row(shown, listed, &accents, bars)) } }
        } }
    }
}

fn row(shown: &SearchPage, listed: &ListedHead, accents: &Accents, bars: Bars) -> Markup {
    let ListedHead { found, text } = listed;
    let subject = match (&shown.words, &shown.upload) {
        (Some(words), _) => format!("text={}", urlencoded(words)),
        (None, upload) => format!("upload={}", upload.as_deref().unwrap_or_default()),
    };
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    html! {
        tr class=[found.carried.filter(Carried::is_noise).map(|_noise| "dim")] {
            th scope="row" { a href=(head_path(&found.run, found.head)) { (found.head) } " " span.other { (found.run) } }
            td { (accents.tag(found.property.as_deref())) }
            td { (text.as_deref().unwrap_or("")) }
            td { div.measure { span.number { (format!("{:.1} ×", found.strength())) } (bars.bar(found.strength())) } }
            @if let Some(carried) = found.carried {
                td.number title="Share of the pool's texts along which the head varies less" { (percent(carried.above)) }
                td.number title="Length of the text's projection on what the head can write" { (percent(carried.span)) }
            }
            td { a href={ "/r/" (found.run) "/neighbours?heads=" (found.head) "&" (subject) } { "images" } }
        }
    }
}
