//! A head's page as a figure: its label, its first texts, and images at both ends of its range.

use base64::{Engine, engine::general_purpose::STANDARD};
use headspan_artifacts::HeadId;
use headspan_query::{Neighbour, RunAccess};
use maud::{Markup, html};

use crate::drawing::{Drawing, made_with};

const WIDTH: f64 = 760.0;
/// Texts and images that are drawn.
const TEXTS: usize = 5;
const IMAGES: usize = 6;
const SIDE: f64 = 112.0;

/// What is drawn of a head.
pub(super) struct HeadFigure<'a> {
    pub(super) head: HeadId,
    pub(super) property: Option<&'a str>,
    pub(super) labeller: Option<&'a str>,
    /// Texts with their shares of variance, and whether they fit.
    pub(super) texts: Vec<(&'a str, f64, Option<bool>)>,
    /// Images at both ends; none in a run that keeps none.
    pub(super) ends: Option<(&'a [Neighbour], &'a [Neighbour])>,
    /// What the ends are ends of.
    pub(super) along: String,
}

impl HeadFigure<'_> {
    pub(super) fn drawing(&self, access: &dyn RunAccess) -> Drawing {
        let texts = self.texts.len().min(TEXTS);
        let below = 62.0 + 26.0 * texts as f64;
        let most = self.texts.iter().map(|text| text.1).fold(f64::MIN_POSITIVE, f64::max);
        let body = html! {
            text.title x="16" y="28" { (self.head) ": " (self.property.unwrap_or("no label")) }
            @for (row, (text, share, fits)) in self.texts.iter().take(TEXTS).enumerate() {
                @let y = 58.0 + 26.0 * row as f64;
                text.strong x="16" y=(y) { (shortened(text)) }
                text x="470" y=(y) { (match fits { Some(true) => "fits", Some(false) => "does not fit", None => "" }) }
                text x="596" y=(y) text-anchor="end" { (format!("{:.1} %", 100.0 * share)) }
                rect.track x="606" y=(y - 9.0) width="138" height="9" rx="3" {}
                rect.value x="606" y=(y - 9.0) width=(format!("{:.1}", 138.0 * share / most)) height="9" rx="3" {}
            }
            @if let Some((largest, smallest)) = self.ends {
                (row(access, "most", below, largest)) (row(access, "least", below + SIDE + 30.0, smallest))
            }
        };
        let height = if self.ends.is_some() { below + 2.0 * (SIDE + 30.0) } else { below };
        let name = access.run().name();
        let title = format!("{} of {name}: {}", self.head, self.property.unwrap_or("no label"));
        let labelled = self.labeller.map(|labeller| format!(", label by {labeller}")).unwrap_or_default();
        let images = if self.ends.is_some() { format!(" Images: {}.", self.along) } else { String::new() };
        let caption = format!(
            "{title}{labelled}. Texts that span the head's output in the order of TEXTSPAN's picks, with the share of its variance that each removes.{images} {}",
            made_with(std::iter::once(access))
        );
        Drawing { width: WIDTH, height, title, caption, body }
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 58;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}

/// Images beside each other, in the file itself.
fn row(access: &dyn RunAccess, name: &str, y: f64, images: &[Neighbour]) -> Markup {
    html! {
        text x="16" y=(y + 12.0) { (name) }
        @for (place, image) in images.iter().take(IMAGES).enumerate() {
            @let x = 16.0 + (SIDE + 10.0) * place as f64;
            @if let Some(source) = source(access, image.image_index) {
                image x=(x) y=(y + 20.0) width=(SIDE) height=(SIDE) preserveAspectRatio="xMidYMid slice" href=(source) { title { (image.image_id) } }
            } @else { rect.track x=(x) y=(y + 20.0) width=(SIDE) height=(SIDE) {} }
        }
    }
}

/// An image's file as an address that holds it; none where it cannot be read or a browser would not show it.
fn source(access: &dyn RunAccess, index: u64) -> Option<String> {
    let bytes = access.image_bytes(index).ok()?;
    let kind = match bytes.get(..4)? {
        [0xff, 0xd8, ..] => "jpeg",
        b"\x89PNG" => "png",
        b"RIFF" => "webp",
        _ => return None,
    };
    Some(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}
