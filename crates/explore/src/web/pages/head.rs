use headspan_artifacts::HeadId;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    layout::page,
    neighbours::grid,
    start::{cells, label_of, labeller, urlencoded},
};
use crate::{
    extremes::Extremes,
    run::ExploreRun,
    web::{
        app::{Shared, head_path},
        error::WebError,
    },
};

/// Texts shown of a head.
const TEXTS: u32 = 20;

/// Everything about one head.
#[derive(Debug, Serialize)]
pub(in crate::web) struct HeadPage {
    run: String,
    head: HeadId,
    property: Option<String>,
    description: Option<String>,
    labeller: Option<String>,
    texts: Vec<HeadText>,
    extremes: Extremes,
    /// Heads with the same property, here and in other runs.
    alike: Vec<(String, HeadId)>,
}

#[derive(Debug, Serialize)]
struct HeadText {
    text: String,
    category: Option<String>,
    variance_share: f64,
    cumulative_share: f64,
    /// Whether it fits the property; none if nobody judged.
    consistent: Option<bool>,
}

impl HeadPage {
    pub(in crate::web) fn new(
        shared: &Shared,
        run: &ExploreRun,
        head: HeadId,
        extremes: Extremes,
    ) -> Result<Self, WebError> {
        run.readout(head)?;
        let labeller = labeller(run);
        let label = label_of(run, labeller.as_deref(), head);
        let property = label.and_then(|row| row.property.clone());
        let rows =
            run.textspan().iter().filter(|row| row.layer == head.layer && row.head == head.head && row.rank < TEXTS);
        let texts = rows.map(|row| HeadText {
            text: row.text.clone(),
            category: row.category.clone(),
            variance_share: row.variance_share,
            cumulative_share: row.cumulative_share,
            consistent: label.and_then(|label| label.consistent.get(row.rank as usize).copied().flatten()),
        });
        let mut alike = Vec::new();
        for (name, subject) in &shared.subjects {
            let same = cells(subject.run()).into_iter().filter(|cell| property.is_some() && cell.property == property);
            alike.extend(same.map(|cell| (name.clone(), cell.head)));
        }
        let name = run.name();
        alike.retain(|other| *other != (name.clone(), head));
        let description = label.and_then(|row| row.description.clone());
        Ok(Self { run: name, head, property, description, labeller, texts: texts.collect(), extremes, alike })
    }
}

/// A head's page.
pub(in crate::web) fn head(shown: &HeadPage) -> Markup {
    let (run, name) = (shown.run.as_str(), shown.head.to_string());
    let ask = |analysis: &str| format!("/r/{run}/{analysis}?heads={name}");
    let share = |value: f64| format!("{:.1} %", 100.0 * value);
    page(
        &name,
        Some(run),
        &html! {
            h1 { (name) ": " (shown.property.as_deref().unwrap_or("no label")) }
            p.lead {
                @if let Some(description) = &shown.description { (description) " " }
                @if let Some(labeller) = &shown.labeller { "Label by " (labeller) "." }
            }
            p { a.button href=(ask("neighbours")) { "Neighbours under this head" } " " a.button href=(ask("segment")) { "Segment with this head" } }
            section {
                h2 { "Texts that span its output" }
                div.scroll tabindex="0" role="region" aria-label="Texts" { table {
                    thead { tr {
                        th scope="col" { "text" } th scope="col" { "category" } th.number scope="col" { "variance" }
                        th.number scope="col" { "so far" } th scope="col" { "fits" }
                    } }
                    tbody { @for text in &shown.texts { tr {
                        td { a href={ "/r/" (run) "/neighbours?heads=" (name) "&text=" (urlencoded(&text.text)) } { (text.text) } }
                        td { (text.category.as_deref().unwrap_or("")) }
                        td.number { (share(text.variance_share)) }
                        td.number { (share(text.cumulative_share)) }
                        td { (match text.consistent { Some(true) => "yes", Some(false) => "no", None => "" }) }
                    } } }
                } }
            }
            section {
                h2 { "Images that it sets apart most" }
                p.hint { "By distance of the head's contribution from its mean over all images." }
                (grid(run, &name, &shown.extremes.largest, None))
                h3 { "Between" }
                (grid(run, &name, &shown.extremes.between, None))
                h3 { "Images that it says least about" }
                (grid(run, &name, &shown.extremes.smallest, None))
            }
            @if !shown.alike.is_empty() {
                section {
                    h2 { "Other heads with this property" }
                    ul.chips { @for (other, head) in &shown.alike {
                        li { a href=(head_path(other, *head)) { @if other != run { (other) " " } (head) } }
                    } }
                }
            }
        },
    )
}
