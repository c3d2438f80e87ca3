//! A map of what a head puts out: every image as a point, a part of it as pictures, and pictures from its whole range.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::Float32Array;
use headspan_artifacts::HeadId;
use headspan_query::{
    Columns, ExploreRun, ExtremesRequest, HeadMap, Neighbour, RunAccess, Similarity, Tenths, image_columns,
};
use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    layout::{Title, breadcrumbs, cut_note, formats, image_id, kept_note, page},
    map_drawing::{points, scatter},
    map_form::{form, part_form},
    neighbours::{question, strip},
    terms::term,
};
use crate::{
    app::{Shared, head_path},
    ask::Fields,
    ask_map::{Along, Color, MapAsk, Part},
    error::WebError,
    page_request::Page,
};

/// Images of a part of the map that are shown.
pub(super) const SHOWN: usize = 24;
/// Number of the class of an image without one.
pub(super) const NO_CLASS: u16 = u16::MAX;
/// Images of each tenth of the range.
const OF_TENTH: usize = 4;

/// A head's map, and what of it is looked at.
#[derive(Debug, Serialize)]
pub(crate) struct MapPage {
    pub(super) run: String,
    pub(super) head: HeadId,
    property: Option<String>,
    /// Shares of the head's variance that its principal components explain, largest first.
    pub(super) shares: Vec<f64>,
    /// The components that are drawn across and up, counted from 1.
    pub(super) across: usize,
    pub(super) up: usize,
    /// What images are ordered along, in words.
    pub(super) along: String,
    /// Names of the classes, by their number in the points.
    pub(super) classes: Vec<String>,
    /// What the colour of a point says.
    pub(super) color: Color,
    /// None in a run that keeps moments alone.
    #[serde(skip)]
    pub(super) drawn: Option<Drawn>,
    /// Images of the part that was asked for, those nearest its middle.
    part: Option<PartImages>,
    /// Images from the whole range.
    tenths: Option<Tenths>,
    /// Whether the text was longer than the model's context.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    #[serde(skip)]
    pub(super) ask: MapAsk,
    #[serde(skip)]
    pub(super) query: String,
}

/// All points of a map.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(super) map: HeadMap,
    /// Value of each image along what images are ordered along.
    pub(super) values: Vec<f32>,
    /// Number of each image's class, [`NO_CLASS`] without one.
    pub(super) class: Vec<u16>,
}

#[derive(Debug, Serialize)]
struct PartImages {
    found: usize,
    images: Vec<Neighbour>,
}

impl MapPage {
    pub(crate) fn new(access: &dyn RunAccess, ask: MapAsk, fields: &Fields) -> Result<Self, WebError> {
        let run = access.run();
        let head = ask.head.map_or_else(|| most_varied(run), Ok)?;
        let shares = run.component_shares(head)?;
        let (embedded, cut) = match &ask.along {
            Along::Text(text) => access.model()?.embed(&[text])?.remove(0),
            Along::Component(_) | Along::Pick(_) => (Vec::new(), false),
        };
        let request = match &ask.along {
            Along::Component(component) => ExtremesRequest::Component(*component),
            Along::Pick(rank) => ExtremesRequest::Pick(*rank),
            Along::Text(_) => ExtremesRequest::Text(&embedded),
        };
        // A run that keeps moments alone knows the shares.
        let has_images = !matches!(run.kept(), headspan_artifacts::Kept::Moments { .. });
        let drawn = has_images.then(|| drawn(run, head, &ask, request)).transpose()?;
        let tenths = drawn.as_ref().map(|drawn| run.tenths(&drawn.values, OF_TENTH)).transpose()?;
        let part = match (&drawn, &ask.part) {
            (Some(drawn), Some(part)) => Some(images_of(run, drawn, part)?),
            _ => None,
        };
        Ok(Self {
            run: run.name(),
            head,
            property: run.label(head).and_then(|row| row.property.clone()),
            shares,
            across: ask.axes[0] + 1,
            up: ask.axes[1] + 1,
            along: in_words(run, head, &ask.along),
            classes: run.classes().iter().cloned().collect(),
            color: color(run, &ask),
            drawn,
            part,
            tenths,
            cut,
            ask,
            query: fields.text(),
        })
    }

    /// The question without the part that is looked at, in which the points are the same.
    pub(super) fn query_without_part(&self) -> String {
        Fields::read(Some(&self.query)).without(&["x0", "x1", "y0", "y1"]).text()
    }

    /// The points as numbers, little-endian: how many there are (`u32`), then columns of that length: places across (`f32`), places up (`f32`),
    /// values along what images are ordered along (`f32`), positions in the data set (`u32`), and numbers of classes (`u16`, [`NO_CLASS`] for none).
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, WebError> {
        let none = || WebError::absent("this run keeps no activations, so no image has a place");
        Ok(points(self.drawn.as_ref().ok_or_else(none)?))
    }
}

/// The head with the largest share of the run's variance.
fn most_varied(run: &ExploreRun) -> Result<HeadId, WebError> {
    let varied = run.figures().iter().max_by(|one, other| one.1.variance_share.total_cmp(&other.1.variance_share));
    let first = || run.heads().next();
    varied.map(|(head, _)| *head).or_else(first).ok_or_else(|| WebError::absent("the run has no heads"))
}

/// Points have the colours of classes where there are some, unless the value is asked for.
fn color(run: &ExploreRun, ask: &MapAsk) -> Color {
    let is_asked = ask.text.is_some() || !matches!(ask.along, Along::Component(_));
    let default = if run.classes().is_empty() || is_asked { Color::Value } else { Color::Class };
    ask.color.filter(|color| *color == Color::Value || !run.classes().is_empty()).unwrap_or(default)
}

fn drawn(run: &ExploreRun, head: HeadId, ask: &MapAsk, along: ExtremesRequest<'_>) -> Result<Drawn, WebError> {
    let map = run.head_map(head, ask.axes)?;
    let numbers: BTreeMap<&str, usize> =
        run.classes().iter().enumerate().map(|(number, class)| (class.as_str(), number)).collect();
    let number = |image: &u64| {
        let class = run.image(*image).ok().and_then(|row| row.class_id.as_deref());
        class.and_then(|class| u16::try_from(*numbers.get(class)?).ok()).unwrap_or(NO_CLASS)
    };
    let class = map.images.iter().map(number).collect();
    Ok(Drawn { values: run.along(head, along)?, map, class })
}

/// The images in a part of the map, those nearest its middle first.
fn images_of(run: &ExploreRun, drawn: &Drawn, part: &Part) -> Result<PartImages, WebError> {
    let points = &drawn.map.points;
    let mut within: Vec<usize> = (0..points.len()).filter(|row| part.holds(points[*row])).collect();
    let found = within.len();
    let ([x, y], [width, height]) =
        (part.middle(), [part.x[1] - part.x[0], part.y[1] - part.y[0]].map(|side| side.max(f32::MIN_POSITIVE)));
    let far = |row: &usize| ((points[*row][0] - x) / width).hypot((points[*row][1] - y) / height);
    within.sort_by(|one, other| far(one).total_cmp(&far(other)));
    within.truncate(SHOWN);
    Ok(PartImages { found, images: run.images_at(&within, &drawn.values)? })
}

fn in_words(run: &ExploreRun, head: HeadId, along: &Along) -> String {
    match along {
        Along::Component(component) => format!("principal component {}", component + 1),
        Along::Pick(rank) => {
            let text = run.textspan(head).get(*rank).map_or("", |row| row.text.as_str());
            format!("what “{text}” adds to the texts above it")
        }
        Along::Text(text) => format!("“{text}”"),
    }
}

impl Page for MapPage {
    fn html(&self, shared: &Shared) -> Markup {
        let run = self.run.as_str();
        let name = self.head.to_string();
        let path = format!("/r/{run}/map");
        let above = [
            ("Heads", "/".to_owned()),
            (run, format!("/?run={}", super::urlencoded(run))),
            (name.as_str(), head_path(run, self.head)),
        ];
        page(
            &Title { section: "", asked: format!("Map of {name}") },
            Some(run),
            &html! {
                (breadcrumbs(&above, "Map"))
                div.heading {
                    h1 { "Map of " (name) " " (Accents::of(shared).tag(self.property.as_deref())) }
                    p.lead { "Each point is an image. Points are near to each other if the head adds much the same to both images." }
                }
                @if let Some(subject) = shared.runs.get(run) { (form(self, subject.run(), &path)) }
                section aria-label="Answer" {
                    (cut_note(self.cut))
                    (kept_note(shared, run))
                    p.meta {
                        (term("component", "Principal components")) ": " (share(self, self.across)) " across, " (share(self, self.up)) " up. "
                        (formats(&path, &self.query))
                    }
                    div.map-and-part {
                        div { (scatter(self, &path)) (part_form(self, &path)) }
                        (part_images(self))
                    }
                    (tenths(self))
                }
            },
        )
    }

    /// One row an image that is shown: those of the part that was asked for, else those from the whole range.
    fn table(&self) -> Columns {
        if let Some(part) = &self.part {
            return image_columns(&part.images);
        }
        let parts = || self.tenths.iter().flat_map(|tenths| &tenths.parts);
        let mut columns = image_columns(parts().flat_map(|part| &part.images));
        let repeated = |of: fn(&headspan_query::Tenth) -> f32| {
            parts().flat_map(move |part| std::iter::repeat_n(of(part), part.images.len())).collect::<Float32Array>()
        };
        columns.push(("tenth_low", Arc::new(repeated(|part| part.low))));
        columns.push(("tenth_high", Arc::new(repeated(|part| part.high))));
        columns
    }
}

/// A component's number and what it explains.
fn share(shown: &MapPage, number: usize) -> String {
    let share = shown.shares.get(number - 1).copied().unwrap_or_default();
    format!("{number} ({:.0} % of the variance)", 100.0 * share)
}

/// The images of a part; a script fills the list while a part is drawn.
fn part_images(shown: &MapPage) -> Markup {
    if shown.drawn.is_none() {
        return html! {};
    }
    let question = question(&shown.head.to_string(), Similarity::default());
    html! {
        section #part aria-live="polite" {
            h2 { "In this part" }
            p.hint #part-count {
                @if let Some(part) = &shown.part {
                    (part.found) @if part.found == 1 { " image" } @else { " images" }
                    @if part.found > part.images.len() { "; those nearest to its middle" }
                } @else { "Choose a part of the map." }
            }
            ol.grid.small #part-images data-neighbours={ "/r/" (shown.run) "/neighbours?" (question) } data-image={ "/r/" (shown.run) "/image/" } data-most=(SHOWN) {
                @for image in shown.part.iter().flat_map(|part| &part.images) {
                    li {
                        a.picture href={ "/r/" (shown.run) "/neighbours?" (question) "&image=" (image.image_index) } {
                            img loading="lazy" src={ "/r/" (shown.run) "/image/" (image.image_index) } alt=(image.image_id);
                        }
                        @if let Some(class) = &image.class_id { p.class { (class) } }
                        (image_id(&image.image_id, image.class_id.as_deref()))
                    }
                }
            }
        }
    }
}

fn tenths(shown: &MapPage) -> Markup {
    let Some(tenths) = &shown.tenths else { return html! {} };
    let question = question(&shown.head.to_string(), Similarity::default());
    html! {
        section #range {
            h2 { "Across its whole range" }
            p.hint {
                "All images in ten parts of equal number, from the smallest values to the largest, by their place along " (shown.along) ". Standard deviation over all images: "
                (decimals(tenths.std as f32)) "."
            }
            div.scroll tabindex="0" role="region" aria-label="Images from the whole range" {
                ol.tenths {
                    @for part in &tenths.parts {
                        li {
                            p.number { (decimals(part.low)) " to " (decimals(part.high)) }
                            (strip(&shown.run, &question, &part.images))
                        }
                    }
                }
            }
        }
    }
}

/// A value beside others of its kind.
fn decimals(value: f32) -> String {
    format!("{value:.2}")
}
