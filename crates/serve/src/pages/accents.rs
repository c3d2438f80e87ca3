use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::app::Shared;

/// Colours that the style knows, `.p0` to `.p11`.
const COLORS: usize = 12;

/// The colour of each property, the same on every page: its place among the properties of all runs that are shown. A name
/// always stands with it, so with more properties than colours nothing but convenience is lost.
pub(super) struct Accents(BTreeMap<String, usize>);

impl Accents {
    pub(super) fn of(shared: &Shared) -> Self {
        let names = shared.runs.values().flat_map(|subject| subject.run().properties().keys());
        let mut accents: BTreeMap<String, usize> = names.map(|name| (name.clone(), 0)).collect();
        accents.values_mut().enumerate().for_each(|(place, color)| *color = place % COLORS);
        Self(accents)
    }

    /// Class of the style that sets a property's colour.
    pub(super) fn class(&self, property: Option<&str>) -> String {
        let color = property.and_then(|property| self.0.get(property));
        color.map_or_else(|| "p-none".to_owned(), |color| format!("p{color}"))
    }

    /// A property's name after a spot of its colour.
    pub(super) fn tag(&self, property: Option<&str>) -> Markup {
        html! { span.tag.(self.class(property)) { (property.unwrap_or("no label")) } }
    }
}
