//! What answers about a text are worth, in words.

use headspan_query::Carried;
use maud::{Markup, html};

/// What the heads carry of a text, with a warning if that is noise.
pub(super) fn carried_words(carried: Carried) -> Markup {
    html! {
        @if carried.is_noise() {
            strong.noise role="note" { "Likely noise: " }
            "these heads vary more along " (format!("{:.0} %", 100.0 * (1.0 - carried.above))) " of the pool's texts than along this one. "
        } @else {
            span { "Carried " } strong title=(carried.in_words()) { (format!("{:.1} ×", carried.times)) }
            " a typical text, more than " strong { (format!("{:.0} %", 100.0 * carried.above)) } " of the pool's. "
        }
    }
}
