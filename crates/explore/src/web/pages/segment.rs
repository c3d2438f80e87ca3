use maud::{Markup, html};
use serde::Serialize;

use super::{
    layout::{heads_field, page, upload_form},
    start::urlencoded,
};
use crate::{
    model::ImageTrace,
    pictures::{Scale, Shading},
    run::ExploreRun,
    segmentation::{contrast, segment as token_scores},
    selection::HeadSelection,
    web::{
        app::Shared,
        ask::{Fields, SegmentAsk, Subject},
        error::WebError,
    },
};

/// Colours of a legend.
const STEPS: usize = 33;
/// Text fields of the form.
const FIELDS: usize = 3;

/// Heat maps on one scale.
#[derive(Debug, Serialize)]
pub(in crate::web) struct Maps {
    grid: usize,
    heads: usize,
    scale: Scale,
    shown: Vec<Map>,
}

#[derive(Debug, Serialize)]
struct Map {
    title: String,
    /// `[grid, grid]`, rows from the top.
    scores: Vec<f32>,
    /// Part of the score that stands at the class token, nowhere in the picture.
    class_token: f32,
    /// Score of all tokens together.
    total: f64,
}

impl Maps {
    /// Of one text its scores, of several the lead of each over the others.
    pub(in crate::web) fn of_texts(
        run: &ExploreRun,
        trace: &ImageTrace,
        heads: &HeadSelection,
        texts: &[String],
        embeddings: &[Vec<f32>],
    ) -> Result<Self, WebError> {
        let directions: Vec<&[f32]> = embeddings.iter().map(Vec::as_slice).collect();
        if let [only] = directions[..] {
            return Self::single(run, trace, heads, &texts[0], only);
        }
        let found = contrast(run, trace, heads, &directions)?;
        let maps = texts.iter().zip(&found.maps).zip(found.differences).map(|((text, map), scores)| Map {
            title: text.clone(),
            scores,
            class_token: map.class_token,
            total: map.total(),
        });
        let (grid, count) = (found.maps[0].grid, found.maps[0].heads.len());
        Ok(Self { grid, heads: count, scale: Scale::around_zero(found.scale), shown: maps.collect() })
    }

    /// Of the direction in which a neighbour lies.
    pub(in crate::web) fn of_direction(
        run: &ExploreRun,
        trace: &ImageTrace,
        heads: &HeadSelection,
        neighbour: u64,
        direction: &[f32],
    ) -> Result<Self, WebError> {
        Self::single(run, trace, heads, &format!("near image {neighbour}"), direction)
    }

    fn single(
        run: &ExploreRun,
        trace: &ImageTrace,
        heads: &HeadSelection,
        title: &str,
        direction: &[f32],
    ) -> Result<Self, WebError> {
        let found = token_scores(run, trace, heads, direction)?;
        let (grid, heads, scale) = (found.grid, found.heads.len(), Scale::of(&found.patches));
        let (class_token, total) = (found.class_token, found.total());
        let map = Map { title: title.to_owned(), scores: found.patches, class_token, total };
        Ok(Self { grid, heads, scale, shown: vec![map] })
    }
}

/// A question about texts in an image and its answer.
#[derive(Debug, Serialize)]
pub(in crate::web) struct SegmentPage {
    run: String,
    heads: String,
    texts: Vec<String>,
    image: Option<u64>,
    upload: Option<String>,
    shading: Shading,
    answer: Option<Maps>,
    #[serde(skip)]
    query: String,
}

impl SegmentPage {
    pub(in crate::web) fn new(run: &ExploreRun, ask: &SegmentAsk, fields: &Fields, answer: Option<Maps>) -> Self {
        let (image, upload) = subject(ask);
        Self {
            run: run.name(),
            heads: ask.heads.to_string(),
            texts: ask.texts.clone(),
            image,
            upload,
            shading: ask.shading,
            answer,
            query: fields.text(),
        }
    }
}

fn subject(ask: &SegmentAsk) -> (Option<u64>, Option<String>) {
    match &ask.subject {
        Some(Subject::Image(image)) => (Some(*image), None),
        Some(Subject::Upload(name)) => (None, Some(name.clone())),
        _ => (None, None),
    }
}

/// Name of the picture that the model sees.
fn seen(run: &str, image: Option<u64>, upload: Option<&str>) -> String {
    let name = image.map_or_else(|| upload.unwrap_or_default().to_owned(), |image| image.to_string());
    format!("/r/{run}/seen/{name}.png")
}

/// Topic and contrastive segmentation.
pub(in crate::web) fn segment(shared: &Shared, shown: &SegmentPage) -> Markup {
    let run = shown.run.as_str();
    let path = format!("/r/{run}/segment");
    page(
        "Segmentation",
        Some(run),
        &html! {
            h1 { "Segmentation" }
            p.lead { "Where in an image the chosen heads find a text. With several texts, each map shows where its text is ahead of the others." }
            form.ask method="get" action=(path) {
                @if let Some(subject) = shared.subjects.get(run) { (heads_field(subject.run(), &shown.heads)) }
                @for field in 0..FIELDS.max(shown.texts.len()) {
                    label { "Text " @if field > 0 { (field + 1) " " }
                        input type="text" name="text" maxlength="1000" value=(shown.texts.get(field).map_or("", String::as_str));
                    }
                }
                @if let Some(upload) = &shown.upload { input type="hidden" name="upload" value=(upload); }
                label { "Image number " input type="number" name="image" min="0" value=[shown.image]; }
                label { "Shading "
                    select name="shading" {
                        option value="smooth" selected[shown.shading == Shading::Smooth] { "smooth" }
                        option value="patches" selected[shown.shading == Shading::Patches] { "patches" }
                    }
                }
                button { "Show" }
            }
            (upload_form(&format!("{path}?{}", shown.query)))
            @if let Some(answer) = &shown.answer {
                section aria-label="Answer" {
                    p.hint {
                        (answer.grid) " × " (answer.grid) " patches, summed over " (answer.heads) " heads · "
                        a href={ (path) ".json?" (shown.query) } { "JSON" }
                        @if shown.image.is_some() || shown.upload.is_some() {
                            " · " a href={ "/r/" (run) "/neighbours?heads=" (urlencoded(&shown.heads)) "&"
                                @if let Some(image) = shown.image { "image=" (image) } @else { "upload=" (shown.upload.as_deref().unwrap_or("")) } }
                                { "neighbours of this image" }
                        }
                    }
                    (maps(answer, &seen(run, shown.image, shown.upload.as_deref()), shown.shading))
                }
            } @else if shown.image.is_some() || shown.upload.is_some() {
                figure.query { img src=(seen(run, shown.image, shown.upload.as_deref())) alt="The image as the model sees it"; }
                p.hint { "Now say what to look for." }
            } @else {
                p.hint { "Choose an image of the run by its number, or one of yours, and say what to look for." }
            }
        },
    )
}

/// Heat maps over a picture, each with its legend. The patches are drawn without a script; the script adds smooth shading
/// and the control of opacity.
fn maps(answer: &Maps, picture: &str, shading: Shading) -> Markup {
    let scale = &answer.scale;
    let hex = |value: f32| {
        let [red, green, blue] = scale.color(value);
        format!("#{red:02x}{green:02x}{blue:02x}")
    };
    let at = |step: usize| scale.low + (scale.high - scale.low) * step as f32 / (STEPS - 1) as f32;
    let colors: Vec<String> = (0..STEPS).map(|step| hex(at(step))).collect();
    let number = |value: f32| format!("{value:.4}");
    html! {
        div.maps data-shading=(match shading { Shading::Smooth => "smooth", Shading::Patches => "patches" }) {
            @for map in &answer.shown {
                figure.map {
                    figcaption { strong { (map.title) } " · total " (format!("{:.4}", map.total)) }
                    div.picture {
                        img src=(picture) alt="The image as the model sees it";
                        svg.patches viewBox={ "0 0 " (answer.grid) " " (answer.grid) } preserveAspectRatio="none"
                            role="img" aria-label={ "Heat map of " (map.title) } fill-opacity="0.6" shape-rendering="crispEdges" {
                            @for (index, score) in map.scores.iter().enumerate() {
                                rect x=(index % answer.grid) y=(index / answer.grid) width="1" height="1" fill=(hex(*score)) {
                                    title { (number(*score)) }
                                }
                            }
                        }
                    }
                    div.legend {
                        span { (number(scale.low)) }
                        svg viewBox={ "0 0 " (STEPS) " 1" } preserveAspectRatio="none" aria-hidden="true" {
                            @for (step, color) in colors.iter().enumerate() { rect x=(step) y="0" width="1.05" height="1" fill=(color) {} }
                        }
                        span { (number(scale.high)) }
                    }
                }
            }
        }
    }
}

/// Which patches of an image make another its neighbour.
#[derive(Debug, Serialize)]
pub(in crate::web) struct WhyPage {
    run: String,
    heads: String,
    image: Option<u64>,
    upload: Option<String>,
    neighbour: u64,
    neighbour_id: String,
    answer: Maps,
    #[serde(skip)]
    query: String,
}

impl WhyPage {
    pub(in crate::web) fn new(
        run: &ExploreRun,
        ask: &SegmentAsk,
        fields: &Fields,
        neighbour: u64,
        answer: Maps,
    ) -> Result<Self, WebError> {
        let (image, upload) = subject(ask);
        let neighbour_id = run.image(neighbour)?.image_id.clone();
        let (heads, query) = (ask.heads.to_string(), fields.text());
        Ok(Self { run: run.name(), heads, image, upload, neighbour, neighbour_id, answer, query })
    }
}

/// The page of "why".
pub(in crate::web) fn why(shown: &WhyPage) -> Markup {
    let run = shown.run.as_str();
    page(
        "Why",
        Some(run),
        &html! {
            h1 { "Why this neighbour" }
            p.lead { "The score of a neighbour is a sum over the patches of the query. Bright patches carry it." }
            p.hint { "heads: " (shown.heads) " · " a href={ "/r/" (run) "/why.json?" (shown.query) } { "JSON" } }
            div.pair {
                (maps(&shown.answer, &seen(run, shown.image, shown.upload.as_deref()), Shading::Patches))
                figure.query {
                    figcaption { "Neighbour: " (shown.neighbour_id) }
                    img src={ "/r/" (run) "/seen/" (shown.neighbour) ".png" } alt={ "The neighbour, " (shown.neighbour_id) };
                }
            }
        },
    )
}
