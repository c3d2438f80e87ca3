//! Which heads of the start page are picked out.

use maud::{Markup, html};

use super::{
    accents::Accents,
    layout::counted,
    start::{Overview, TEXTS},
};
use crate::ask::Fields;

/// The form that picks heads out.
pub(super) fn filter(overview: &Overview) -> Markup {
    // The plot further down keeps its axes.
    let axes = Fields::read(Some(&overview.query)).only(&["x", "y"]);
    html! {
        form.filter autocomplete="off" method="get" action="/" {
            @for (key, value) in axes.pairs() { input type="hidden" name=(key) value=(value); }
            @if overview.runs.len() > 1 {
                label { "Model "
                    select name="run" {
                        option value="" { "all" }
                        @for run in &overview.runs { option value=(run) selected[overview.run.as_ref() == Some(run)] { (run) } }
                    }
                }
            }
            label { "Property "
                select name="property" {
                    option value="" { "any" }
                    @for property in offered(overview) {
                        option value=(property) selected[overview.property.as_ref() == Some(property)] { (property) }
                    }
                }
            }
            label { "Texts contain " input type="search" name="text" maxlength="200" value=(overview.text.as_deref().unwrap_or("")); }
            label { "Fitting texts at least "
                input type="number" name="consistent" min="0" max="5" value=(overview.consistent);
            }
            button { "Filter" }
            @if is_filtered(overview) { a href={ "/?" (axes.text()) } { "All heads" } }
        }
    }
}

fn is_filtered(overview: &Overview) -> bool {
    overview.run.is_some() || overview.property.is_some() || overview.text.is_some() || overview.consistent > 0
}

/// Properties to choose from: those of the shown models, and the chosen one, which they may lack.
fn offered(overview: &Overview) -> impl Iterator<Item = &String> {
    let missing = overview.property.as_ref().filter(|chosen| !overview.properties.contains_key(*chosen));
    overview.properties.keys().chain(missing)
}

/// The properties with their colours; each leaves its own heads. Beside them how many are left, and what the shades mean.
pub(super) fn properties(overview: &Overview, accents: &Accents) -> Markup {
    let others = Fields::read(Some(&overview.query)).without(&["property"]);
    let link = |property: &str| match overview.property.as_deref() {
        Some(chosen) if chosen == property => format!("/?{}", others.text()),
        _ => format!("/?{}", others.with("property", property)),
    };
    let heads = || overview.models.iter().flat_map(|model| model.cells());
    let (left, all) = (heads().filter(|cell| cell.shown).count(), heads().count());
    html! {
        div.keys {
            ul.properties aria-label="Properties" {
                @for (property, counts) in &overview.properties {
                    li { a href=(link(property)) aria-current=[(overview.property.as_ref() == Some(property)).then_some("true")] {
                        (accents.tag(Some(property))) " " span.number { (counts.values().sum::<usize>()) }
                    } }
                }
            }
            span.left role="status" { (left) " of " (counted(all, "head")) }
            div.shades {
                span title="Share of the variance along a head's first five texts that lies along texts which fit its property" { "texts that fit, %" }
                ol { @for fit in 0..=TEXTS { li.(format!("a{fit}")) { (100 * fit / TEXTS) } } li.none { "n/a" } }
            }
        }
    }
}
