use maud::{Markup, html};
use serde::Serialize;

use super::{
    accents::Accents,
    layout::figure_links,
    start::{HeadCell, ModelOverview},
    ticks::Ticks,
};
use crate::{app::head_path, ask::Fields, error::WebError};

/// Height and width of the plot, and of what is around it.
const HEIGHT: f64 = 300.0;
const WIDTH: f64 = 520.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 8.0;

/// What a head can be placed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Axis {
    Variance,
    Consistent,
    FirstText,
    Span,
    Rank,
    MeanLength,
    Layer,
}

impl Axis {
    const ALL: [Self; 7] =
        [Self::Variance, Self::Consistent, Self::FirstText, Self::Span, Self::Rank, Self::MeanLength, Self::Layer];

    fn name(self) -> &'static str {
        match self {
            Self::Variance => "variance",
            Self::Consistent => "consistent",
            Self::FirstText => "first_text",
            Self::Span => "span",
            Self::Rank => "rank",
            Self::MeanLength => "mean_length",
            Self::Layer => "layer",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Variance => "share of the run's variance",
            Self::Consistent => "texts that fit the property",
            Self::FirstText => "variance along the first text",
            Self::Span => "variance that the texts span",
            Self::Rank => "effective rank",
            Self::MeanLength => "length of the mean",
            Self::Layer => "layer",
        }
    }

    pub(super) fn read(text: Option<&str>, default: Self) -> Result<Self, WebError> {
        let Some(text) = text else { return Ok(default) };
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|axis| axis.name() == text);
        found.ok_or_else(|| WebError::question(format!("an axis is one of {}", names())))
    }

    /// Whether many heads share a value, so that their points would hide each other.
    fn is_shared(self) -> bool {
        self == Self::Layer
    }

    fn of(self, cell: &HeadCell) -> Option<f64> {
        match self {
            Self::Variance => cell.figures.map(|figures| figures.variance_share),
            Self::Consistent => cell.fit.map(|fit| fit.share),
            Self::FirstText => cell.first_share,
            Self::Span => cell.span_share,
            Self::Rank => cell.figures.map(|figures| figures.effective_rank),
            Self::MeanLength => cell.figures.map(|figures| figures.mean_length),
            Self::Layer => Some(f64::from(cell.head.layer)),
        }
    }
}

/// Every head as a point on two axes of one's choice, the same axes for all models.
pub(super) fn scatter(models: &[ModelOverview], x: Axis, y: Axis, query: &str, accents: &Accents) -> Markup {
    let cells = || models.iter().flat_map(|model| model.layers.iter().flat_map(|(_, cells)| cells));
    let range = |axis: Axis| {
        let values = || cells().filter_map(|cell| axis.of(cell));
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        // Shares and lengths begin at zero; layers do not.
        Ticks::over(if axis == Axis::Layer { low } else { low.min(0.0) }, high, axis == Axis::Layer)
    };
    let (across, down) = (range(x), range(y));
    let others = Fields::read(Some(query)).without(&["x", "y"]);
    html! {
        section {
            h2 { "Heads by their numbers" }
            p.hint {
                "Each point is a head, in the colour of its property; it leads to the head's page."
                @if x.is_shared() { " Heads that share a value stand a little beside it, not on each other." }
            }
            form.filter autocomplete="off" method="get" action="/" {
                @for (key, value) in others.pairs() { input type="hidden" name=(key) value=(value); }
                (choice("Across", "x", x)) (choice("Up", "y", y))
                button { "Plot" }
            }
            @if cells().any(|cell| x.of(cell).is_some() && y.of(cell).is_some()) {
                div.sides { @for (place, model) in models.iter().enumerate() {
                    @let links = figure_links("/index", query, place + 1);
                    (plot(model, (x, &across), (y, &down), accents, &links))
                } }
            } @else {
                p.hint { "No head has both numbers: a stage is missing (`headspan status`)." }
            }
        }
    }
}

fn choice(label: &str, name: &str, chosen: Axis) -> Markup {
    html! {
        label { (label) " "
            select name=(name) {
                @for axis in Axis::ALL { option value=(axis.name()) selected[axis == chosen] { (axis.title()) } }
            }
        }
    }
}

fn plot(
    model: &ModelOverview,
    (x, across): (Axis, &Ticks),
    (y, down): (Axis, &Ticks),
    accents: &Accents,
    links: &Markup,
) -> Markup {
    let column = |value: f64| LEFT + 12.0 + (WIDTH - LEFT - 28.0) * across.place(value);
    let row = |value: f64| TOP + 6.0 + (HEIGHT - TOP - 58.0) * (1.0 - down.place(value));
    let foot = HEIGHT - 44.0;
    let cells: Vec<&HeadCell> = model.layers.iter().flat_map(|(_, cells)| cells).collect();
    html! {
        figure {
            figcaption { (model.run) " · " (links) }
            svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="group" aria-label={ "Heads of " (model.run) ": " (y.title()) " against " (x.title()) } {
                @for value in &down.at {
                    line x1=(LEFT) x2=(WIDTH) y1=(row(*value)) y2=(row(*value)) class="rule" {}
                    text x=(LEFT - 6.0) y=(row(*value) + 4.0) text-anchor="end" { (down.text(*value)) }
                }
                @for value in &across.at {
                    line x1=(column(*value)) x2=(column(*value)) y1=(TOP) y2=(foot) class="rule" {}
                    text x=(column(*value)) y=(foot + 14.0) text-anchor="middle" { (across.text(*value)) }
                }
                text.axis x=(f64::midpoint(LEFT, WIDTH)) y=(HEIGHT - 8.0) text-anchor="middle" { (x.title()) }
                text.axis transform={ "translate(12 " (f64::midpoint(TOP, foot)) ") rotate(-90)" } text-anchor="middle" { (y.title()) }
                @for (index, cell) in cells.iter().enumerate() {
                    @if let (Some(across), Some(up)) = (x.of(cell), y.of(cell)) {
                        // Where a place tells a number of its own, it must be that number's.
                        @let aside = if x.is_shared() { (index % 5) as f64 * 2.4 - 4.8 } else { 0.0 };
                        a.(accents.class(cell.property.as_deref())) href=(head_path(&model.run, cell.head)) {
                            circle.dot.dim[!cell.shown] cx=(format!("{:.1}", column(across) + aside)) cy=(format!("{:.1}", row(up))) r="5" {
                                title { (cell.name) ": " (cell.property.as_deref().unwrap_or("no label")) ", " (number(across)) ", " (number(up)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
