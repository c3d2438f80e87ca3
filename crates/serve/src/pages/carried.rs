//! What answers about a text are worth, in words.

use headspan_query::Carried;
use maud::{Markup, html};

use super::terms::term;

/// What the heads carry of a text, with a warning if they hardly carry it.
pub(super) fn carried_words(carried: Carried) -> Markup {
    html! {
        @if carried.is_noise() {
            strong.noise role="note" { "Hardly carried: " }
            "the heads vary more along " (format!("{:.0} %", 100.0 * (1.0 - carried.above))) " of the pool's texts than along this one."
        } @else {
            (term("carried", "Carried")) " " strong { (format!("{:.1} ×", carried.times)) }
            " a typical text, more than " (format!("{:.0} %", 100.0 * carried.above)) " of the pool's."
        }
    }
}
