use maud::{Markup, PreEscaped, html};

/// One bar with its interval.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
/// Room for the longest of the six ids with its labeller.
const LABEL: f64 = 300.0;
const ROW: f64 = 28.0;

/// Horizontal bars from 0 to 1 with whiskers. Numbers are printed, so that colour carries nothing alone.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> Markup {
    let height = ROW * bars.len() as f64 + 24.0;
    let x = |value: f64| LABEL + value.clamp(0.0, 1.0) * (WIDTH - LABEL - 60.0);
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(title) {
                @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                    line class="grid" x1=(x(tick)) x2=(x(tick)) y1="0" y2=(height - 20.0) {}
                    text class="tick" x=(x(tick)) y=(height - 6.0) text-anchor="middle" { (format!("{tick:.2}")) }
                }
                @for (row, bar) in bars.iter().enumerate() {
                    @let y = ROW * row as f64 + 4.0;
                    text class="label" x=(LABEL - 8.0) y=(y + 14.0) text-anchor="end" { (bar.label) }
                    @match bar.value {
                        Some(value) => {
                            rect class="bar" x=(x(0.0)) y=(y + 2.0) width=(x(value) - x(0.0)) height="15" rx="2" {}
                            @if let Some((low, high)) = bar.interval {
                                line class="whisker" x1=(x(low)) x2=(x(high)) y1=(y + 9.5) y2=(y + 9.5) {}
                                line class="whisker" x1=(x(low)) x2=(x(low)) y1=(y + 5.5) y2=(y + 13.5) {}
                                line class="whisker" x1=(x(high)) x2=(x(high)) y1=(y + 5.5) y2=(y + 13.5) {}
                            }
                            text class="value" x=(x(bar.interval.map_or(value, |i| i.1).max(value)) + 6.0) y=(y + 14.0) {
                                (format!("{value:.3}"))
                            }
                        }
                        None => text class="value" x=(x(0.0) + 6.0) y=(y + 14.0) { "n/a" }
                    }
                }
            }
        }
    }
}

/// Styles of the page and its charts; light and dark.
pub(crate) fn style() -> Markup {
    html! { style { (PreEscaped(include_str!("report.css"))) } }
}
