//! How far labellers and people agree, and the texts on which they do not.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, StringArray, UInt64Array};
use headspan_artifacts::{HeadId, LabelRow};
use headspan_metrics::{About, AgreementRow, Association, agreements, associations};
use headspan_notes::{judged_labels, judgements};
use maud::{Markup, html};
use serde::Serialize;

use super::layout::{Title, formats, heading, page};
use crate::{
    app::{Shared, head_path},
    error::WebError,
    page_request::{Page, PageRequest},
    people::{People, labels},
};
use headspan_query::Columns;

/// Most disagreements that a page shows.
const SHOWN: usize = 200;

/// Cohen's kappa of every two, association with everybody's judgements, and where they differ.
#[derive(Debug, Serialize)]
pub(crate) struct AgreementPage {
    run: String,
    agreements: Vec<AgreementRow>,
    associations: Vec<Association>,
    disagreements: Vec<Disagreement>,
}

/// A text that fits by some and does not by others.
#[derive(Debug, Serialize)]
struct Disagreement {
    head: HeadId,
    property: String,
    text: String,
    fits: Vec<String>,
    fits_not: Vec<String>,
}

impl AgreementPage {
    pub(crate) fn new(request: &PageRequest) -> Result<Self, WebError> {
        let run = request.access()?.run();
        let people = People::of(&request.shared, run)?;
        let (scores, synonyms) = (&request.shared.settings.scores, &request.shared.settings.synonyms);
        let own = labels(run)?;
        let agreements = agreements(&own, &people.texts, &people.notes, scores, synonyms);
        let mut all = own.clone();
        all.extend(judged_labels(&people.notes, Some(&people.texts)));
        let associations = associations(&all, scores, synonyms);
        let fold = |property: &str| synonyms.fold(property);
        Ok(Self { run: run.name(), agreements, associations, disagreements: differing(&own, &people, fold) })
    }
}

fn differing(labels: &[LabelRow], people: &People, fold: impl Fn(&str) -> String) -> Vec<Disagreement> {
    type Sides = (String, Vec<String>, Vec<String>);
    let mut texts: BTreeMap<(HeadId, String, String), Sides> = BTreeMap::new();
    let mut add = |head, property: &str, text: &str, fits: bool, who: &str| {
        let sides = texts.entry((head, fold(property), text.to_owned())).or_default();
        property.clone_into(&mut sides.0);
        if fits { sides.1.push(who.to_owned()) } else { sides.2.push(who.to_owned()) }
    };
    for row in labels {
        let own = people.texts.get(&row.head_id()).map(Vec::as_slice).unwrap_or_default();
        for (text, fits) in own.iter().zip(&row.consistent) {
            if let (Some(property), Some(fits)) = (&row.property, fits) {
                add(row.head_id(), property, text, *fits, &row.labeller);
            }
        }
    }
    for judged in judgements(&people.notes) {
        let is_there = people.texts.get(&judged.head).is_some_and(|own| own.contains(&judged.text));
        if let Some(fits) = judged.fits.filter(|_| is_there) {
            add(judged.head, &judged.property, &judged.text, fits, &judged.author);
        }
    }
    let differ = texts.into_iter().filter(|(_, sides)| !sides.1.is_empty() && !sides.2.is_empty());
    let one = |((head, _, text), (property, fits, fits_not)): ((HeadId, String, String), Sides)| Disagreement {
        head,
        property,
        text,
        fits: sorted(fits),
        fits_not: sorted(fits_not),
    };
    differ.map(one).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

impl Page for AgreementPage {
    fn html(&self, _shared: &Shared) -> Markup {
        let path = format!("/r/{}/agreement", self.run);
        page(
            &Title { section: "Review", asked: "agreement".to_owned() },
            Some(&self.run),
            &html! {
                (heading("How far labellers agree", "Cohen's kappa: 1 if two say the same of everything, 0 if they agree as by chance."))
                @if self.agreements.is_empty() {
                    p.empty { "One labeller alone agrees with nobody. " a href={ "/r/" (self.run) "/review" } { "Review the run" } " to be the second." }
                } @else { (kappas(&self.agreements)) }
                (association(&self.associations))
                (disagreements(&self.run, &self.disagreements))
                p.onward { a href={ "/r/" (self.run) "/review" } { "Review" } " · " (formats(&path, "")) }
            },
        )
    }

    /// One row two labellers and what they agree about.
    fn table(&self) -> Columns {
        let rows = || self.agreements.iter();
        let text = |of: &dyn Fn(&AgreementRow) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows().map(of)))
        };
        let number = |of: &dyn Fn(&AgreementRow) -> Option<f64>| -> ArrayRef {
            Arc::new(rows().map(of).collect::<Float64Array>())
        };
        vec![
            ("labeller", text(&|row| row.labellers[0].clone())),
            ("other", text(&|row| row.labellers[1].clone())),
            ("about", text(&|row| row.about.name().to_owned())),
            ("heads", Arc::new(UInt64Array::from_iter_values(rows().map(|row| row.heads)))),
            ("n", Arc::new(UInt64Array::from_iter_values(rows().map(|row| row.n)))),
            ("share", number(&|row| Some(row.share))),
            ("kappa", number(&|row| row.kappa)),
            ("ci_low", number(&|row| row.interval.map(|interval| interval.0))),
            ("ci_high", number(&|row| row.interval.map(|interval| interval.1))),
        ]
    }
}

fn kappas(rows: &[AgreementRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Agreement" { table {
            thead { tr {
                th scope="col" { "labellers" } th scope="col" { "about" } th.number scope="col" { "kappa" } th.number scope="col" { "interval" }
                th.number scope="col" { "the same" } th.number scope="col" { "of" } th.number scope="col" { "heads" }
            } }
            tbody { @for row in rows { tr {
                th scope="row" { (row.labellers[0]) ", " (row.labellers[1]) }
                td { (match row.about { About::Texts => "texts that fit", About::Names => "names of heads" }) }
                td.number { (row.kappa.map_or_else(|| "n/a".to_owned(), |kappa| format!("{kappa:.2}"))) }
                td.number { (interval(row.interval)) }
                td.number { (format!("{:.0} %", 100.0 * row.share)) } td.number { (row.n) } td.number { (row.heads) }
            } } }
        } }
        p.hint { "Texts: judged by both against the same label. Names: given by people without sight of a label. Intervals are at 95 % over heads drawn with replacement; kappa is n/a where both say one thing of all." }
    }
}

fn association(rows: &[Association]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "Association" }
                p.hint { "Share of heads whose label fits enough of their first texts. The second interval also draws who judges: it is wider the more the judges differ." }
                div.scroll tabindex="0" role="region" aria-label="Association" { table {
                    thead { tr {
                        th scope="col" { "labeller" } th.number scope="col" { "association" } th.number scope="col" { "over heads" }
                        th.number scope="col" { "over heads and judges" } th.number scope="col" { "other judges" } th.number scope="col" { "heads" }
                    } }
                    tbody { @for row in rows { tr {
                        th scope="row" { (row.labeller) } td.number { (format!("{:.3}", row.value)) }
                        td.number { (interval(row.over_heads)) } td.number { (interval(row.over_judges)) }
                        td.number { (row.judges) } td.number { (row.heads) }
                    } } }
                } }
            }
        }
    }
}

fn interval(interval: Option<(f64, f64)>) -> String {
    interval.map_or_else(|| "n/a".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"))
}

fn disagreements(run: &str, rows: &[Disagreement]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "Where they differ" }
                @if rows.len() > SHOWN { p.hint { "The first " (SHOWN) " of " (rows.len()) "; the JSON has all." } }
                div.scroll tabindex="0" role="region" aria-label="Disagreements" { table {
                    thead { tr { th scope="col" { "head" } th scope="col" { "label" } th scope="col" { "text" } th scope="col" { "fits by" } th scope="col" { "does not by" } } }
                    tbody { @for row in rows.iter().take(SHOWN) { tr {
                        td { a href=(head_path(run, row.head)) { (row.head) } } td { (row.property) } td { (row.text) }
                        td { (row.fits.join(", ")) } td { (row.fits_not.join(", ")) }
                    } } }
                } }
            }
        }
    }
}
