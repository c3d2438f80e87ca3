use maud::{Markup, html};
use serde::Serialize;

use crate::{
    model::ImageTrace,
    pictures::{Scale, Shading, number},
    run::ExploreRun,
    segmentation::{contrast, segment as token_scores},
    selection::HeadSelection,
    tables::{Columns, map_columns},
    web::error::WebError,
};

/// Colours of a legend.
const STEPS: usize = 33;

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

impl Maps {
    /// One row a patch of each map.
    pub(super) fn table(&self) -> Columns {
        let maps: Vec<(&str, &[f32])> =
            self.shown.iter().map(|map| (map.title.as_str(), map.scores.as_slice())).collect();
        map_columns(self.grid, &maps)
    }

    /// What was summed, in words.
    pub(super) fn summary(&self) -> String {
        format!("{0} × {0} patches, summed over {1} heads", self.grid, self.heads)
    }
}

/// Heat maps over a picture, each with its legend. The patches are drawn without a script; the script adds smooth shading
/// and the control of opacity.
pub(super) fn maps(answer: &Maps, picture: &str, shading: Shading) -> Markup {
    let scale = &answer.scale;
    let hex = |value: f32| {
        let [red, green, blue] = scale.color(value);
        format!("#{red:02x}{green:02x}{blue:02x}")
    };
    let at = |step: usize| scale.low + (scale.high - scale.low) * step as f32 / (STEPS - 1) as f32;
    let colors: Vec<String> = (0..STEPS).map(|step| hex(at(step))).collect();
    html! {
        div.maps data-shading=(match shading { Shading::Smooth => "smooth", Shading::Patches => "patches" }) {
            @for map in &answer.shown {
                figure.map {
                    figcaption { strong { (map.title) } " · total " (number(map.total as f32)) ", class token " (number(map.class_token)) }
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
