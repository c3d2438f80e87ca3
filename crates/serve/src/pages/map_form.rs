//! The questions that a map answers.

use headspan_query::ExploreRun;
use maud::{Markup, html};

use super::map::MapPage;
use crate::{
    ask::Fields,
    ask_map::{Along, Color, OWN_TEXT},
};

/// Components and texts that are offered to order images along.
const COMPONENTS: usize = 4;
const TEXTS: usize = 10;

/// Which head, which axes, and what images are ordered along.
pub(super) fn form(shown: &MapPage, run: &ExploreRun, path: &str) -> Markup {
    let ask = &shown.ask;
    let chosen = match &ask.along {
        Along::Component(component) => format!("c{}", component + 1),
        Along::Pick(rank) => format!("t{}", rank + 1),
        Along::Text(_) => OWN_TEXT.to_owned(),
    };
    let option = |value: &str, text: &str| html! { option value=(value) selected[value == chosen] { (text) } };
    let most = shown.shares.len();
    html! {
        form.ask autocomplete="off" method="get" action=(path) {
            label.heads { "Head "
                select name="heads" { @for head in run.heads() {
                    @let property = run.label(head).and_then(|row| row.property.as_deref()).unwrap_or("no label");
                    option value=(head) selected[head == shown.head] { (head) " · " (property) }
                } }
            }
            label { "Across, component " input type="number" name="across" min="1" max=(most) value=(shown.across); }
            label { "Up, component " input type="number" name="up" min="1" max=(most) value=(shown.up); }
            label { "Order images along "
                select name="along" {
                    optgroup label="Principal components" {
                        @for number in 1..=most.min(COMPONENTS) { (option(&format!("c{number}"), &format!("component {number}"))) }
                    }
                    optgroup label="Texts of the head" {
                        @for (rank, row) in run.textspan(shown.head).iter().take(TEXTS).enumerate() { (option(&format!("t{}", rank + 1), &row.text)) }
                    }
                    (option(OWN_TEXT, "a text of yours"))
                }
            }
            label { "A text of yours "
                input type="text" name="text" maxlength="1000" value=(ask.text.as_deref().unwrap_or("")) placeholder="a red boat" data-chooses="along";
            }
            @if !run.classes().is_empty() {
                label { "Colour "
                    select name="color" {
                        @for (value, name, color) in [("class", "class", Color::Class), ("value", "value along it", Color::Value)] {
                            option value=(value) selected[color == shown.color] { (name) }
                        }
                    }
                }
            }
            button { "Draw" }
        }
    }
}

/// A part of the map by its four sides, for those who do not draw it.
pub(super) fn part_form(shown: &MapPage, path: &str) -> Markup {
    if shown.drawn.is_none() {
        return html! {};
    }
    let others = Fields::read(Some(&shown.query)).without(&["x0", "x1", "y0", "y1"]);
    let side = |name: &str, value: Option<f32>| html! { input type="number" step="any" name=(name) value=[value] aria-label=(name); };
    let ends = |of: fn(&crate::ask_map::Part) -> [f32; 2]| {
        shown.ask.part.as_ref().map(of).map_or([None; 2], |ends| ends.map(Some))
    };
    let (x, y) = (ends(|part| part.x), ends(|part| part.y));
    html! {
        form.part.filter autocomplete="off" method="get" action={ (path) "#part" } {
            @for (key, value) in others.pairs() { input type="hidden" name=(key) value=(value); }
            span.name { "Part of the map: across from" } (side("x0", x[0])) span.name { "to" } (side("x1", x[1]))
            span.name { "up from" } (side("y0", y[0])) span.name { "to" } (side("y1", y[1]))
            button { "Show its images" }
        }
    }
}
