//! How maps are drawn: patches in SVG, which need no script; the script adds smooth shading and the control of opacity.

use maud::{Markup, html};

use super::{
    maps::{Map, Maps},
    terms::term,
};
use headspan_query::{Scale, Shading, is_noise, number};

/// Colours of a legend.
const STEPS: usize = 33;

/// Heat maps over a picture, after the picture itself. `shared` is the scale, if it is not the answer's own.
pub(super) fn maps(answer: &Maps, picture: &str, shading: Shading, shared: Option<Scale>) -> Markup {
    let scale = shared.unwrap_or(answer.scale);
    let heat = Heat { grid: answer.grid, picture, scale, typical: answer.typical };
    let leads = &answer.shown;
    html! {
        div.maps.contrast[!answer.texts.is_empty()] data-shading=(match shading { Shading::Smooth => "smooth", Shading::Patches => "patches" }) {
            figure.original {
                figcaption { "The image as the model sees it" }
                div.picture { img src=(picture) alt="The image as the model sees it"; }
            }
            @if answer.texts.is_empty() {
                @for map in leads { (heat.figure(&sums(map), &map.title, &map.scores, Some(&worth(map)))) }
            } @else {
                @for (place, text) in answer.texts.iter().enumerate() {
                    (heat.figure(&html! { (letter(place)) strong { (text.title) } }, &text.title, &text.scores, Some(&html! { (sum(&leads[place])) ". " (worth(&leads[place])) })))
                }
                @if let [first, second] = &leads[..] {
                    @let title = format!("{} less {}", first.title, second.title);
                    (heat.figure(&html! { (letter(0)) " less " (letter(1)) strong { "Difference" } }, &title, &first.scores,
                        Some(&html! { "orange: “" (first.title) "” ahead; blue: “" (second.title) "” ahead" })))
                } @else {
                    @for (place, map) in leads.iter().enumerate() {
                        (heat.figure(&html! { (letter(place)) " less the best other" }, &format!("lead of {}", map.title), &map.scores, None))
                    }
                }
                (winners(answer, picture))
            }
        }
    }
}

fn sum(map: &Map) -> String {
    format!("total {}, class token {}", number(map.total as f32), number(map.class_token))
}

fn sums(map: &Map) -> Markup {
    html! { strong { (map.title) } " · " (sum(map)) }
}

/// What a text's map is worth: its margin over the maps of other texts, and what the heads carry of the text.
fn worth(map: &Map) -> Markup {
    html! {
        @if let Some(margin) = map.margin {
            @if is_noise(margin) { strong.noise role="note" { "Likely noise: " } }
            (term("margin", "contrast")) " " strong { (format!("{margin:.1} ×")) } " a typical text's"
            @if is_noise(margin) { ", so that bright patches mean little" } ". "
        }
    }
}

/// The letter that a text goes by on its maps, in its colour.
fn letter(place: usize) -> Markup {
    html! { span.letter.(format!("t{place}")) { (char::from(b'A' + place as u8)) } " " }
}

/// What the maps of one answer have in common.
struct Heat<'a> {
    grid: usize,
    picture: &'a str,
    scale: Scale,
    /// The unit that the scale is read in.
    typical: Option<f32>,
}

impl Heat<'_> {
    fn figure(&self, caption: &Markup, name: &str, scores: &[f32], note: Option<&Markup>) -> Markup {
        html! {
            figure.map {
                figcaption { (caption) }
                div.picture {
                    img src=(self.picture) alt="";
                    (self.patches(name, scores))
                }
                (self.legend())
                @if let Some(note) = note { div.hint { (note) } }
            }
        }
    }

    fn patches(&self, name: &str, scores: &[f32]) -> Markup {
        let grid = self.grid;
        html! {
            svg.patches viewBox={ "0 0 " (grid) " " (grid) } preserveAspectRatio="none" role="img" aria-label={ "Heat map of " (name) }
                opacity="0.6" shape-rendering="crispEdges" data-low=(self.scale.low) data-high=(self.scale.high) data-diverging[self.scale.diverging] {
                @for (index, score) in scores.iter().enumerate() {
                    rect x=(index % grid) y=(index / grid) width="1" height="1" fill=(self.hex(*score)) fill-opacity=[self.cover(*score)] {
                        title { (number(*score)) }
                    }
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        let (low, high) = (self.scale.low, self.scale.high);
        let at = |step: usize| low + (high - low) * step as f32 / (STEPS - 1) as f32;
        html! {
            div.legend {
                svg viewBox={ "0 0 " (STEPS) " 1" } preserveAspectRatio="none" aria-hidden="true" {
                    @for step in 0..STEPS {
                        rect x=(step) y="0" width="1.05" height="1" fill=(self.hex(at(step))) fill-opacity=[self.cover(at(step))] {}
                    }
                }
                span { (self.told(low)) } span { (self.told(f32::midpoint(low, high))) } span { (self.told(high)) }
            }
        }
    }

    /// A score as people read it: in units of the typical score of a text, where there is one.
    fn told(&self, score: f32) -> Markup {
        html! {
            @match self.typical {
                Some(typical) => { span title={ "score " (number(score)) "; the unit is the contrast of a typical text's map" } { (format!("{:.1} ×", score / typical)) } },
                None => { (number(score)) },
            }
        }
    }

    fn hex(&self, value: f32) -> String {
        let [red, green, blue] = self.scale.color(value);
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// As an attribute that only a scale with clear places needs.
    fn cover(&self, value: f32) -> Option<String> {
        self.scale.diverging.then(|| format!("{:.3}", self.scale.cover(value)))
    }
}

/// Which text is ahead in which patch, by letter and colour, and in how many.
fn winners(answer: &Maps, picture: &str) -> Markup {
    let grid = answer.grid;
    let winner = |patch: usize| answer.winners.get(patch).copied().unwrap_or(0);
    html! {
        figure.winners {
            figcaption { strong { "Which text is ahead" } }
            div.picture {
                img src=(picture) alt="";
                svg.winners viewBox={ "0 0 " (grid) " " (grid) } role="img" aria-label="The text that is ahead in each patch" {
                    @for patch in 0..grid * grid {
                        @let class = format!("t{}", winner(patch));
                        rect.(class) x=(patch % grid) y=(patch / grid) width="1" height="1" {}
                        text x={ (patch % grid) ".5" } y={ (patch / grid) ".68" } text-anchor="middle" { (char::from(b'A' + winner(patch) as u8)) }
                    }
                }
            }
            ul.counts {
                @for (place, text) in answer.texts.iter().enumerate() {
                    @let count = answer.winners.iter().filter(|winner| **winner == place).count();
                    li { (letter(place)) (text.title) ": " strong { (count) } " of " (grid * grid) " patches" }
                }
            }
        }
    }
}
