use headspan_train::CurvePoint;
use maud::html;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 42.0;

/// The training curve as SVG: loss (left axis) and share of pairs found (right axis) over scenes.
pub(crate) fn curve_plot(points: &[CurvePoint]) -> String {
    let scenes = points.last().map_or(1.0, |point| point.scenes as f64);
    let top = points.iter().map(|point| f64::from(point.loss)).fold(1e-6, f64::max);
    let across = |point: &CurvePoint| MARGIN + (WIDTH - 2.0 * MARGIN) * point.scenes as f64 / scenes;
    let up = |share: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * share;
    let line = |share: fn(&CurvePoint, f64) -> f64| {
        let place = |point: &CurvePoint| format!("{:.1},{:.1}", across(point), up(share(point, top)));
        points.iter().map(place).collect::<Vec<_>>().join(" ")
    };
    let loss = line(|point, top| f64::from(point.loss) / top);
    let accuracy = line(|point, _top| f64::from(point.accuracy));
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } font-family="sans-serif" font-size="12" {
            rect width=(WIDTH) height=(HEIGHT) fill="white" {}
            @for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
                line x1=(MARGIN) x2=(WIDTH - MARGIN) y1=(up(share)) y2=(up(share)) stroke="#ddd" {}
                text x=(MARGIN - 6.0) y=(up(share) + 4.0) text-anchor="end" fill="#b03030" { (format!("{:.1}", share * top)) }
                text x=(WIDTH - MARGIN + 6.0) y=(up(share) + 4.0) fill="#2050a0" { (format!("{:.0} %", 100.0 * share)) }
            }
            polyline points=(loss) fill="none" stroke="#b03030" stroke-width="1.5" {}
            polyline points=(accuracy) fill="none" stroke="#2050a0" stroke-width="1.5" {}
            text x=(MARGIN) y=(MARGIN - 14.0) fill="#b03030" { "contrastive loss" }
            text x=(WIDTH - MARGIN) y=(MARGIN - 14.0) text-anchor="end" fill="#2050a0" { "own text is the nearest of the batch" }
            text x=(WIDTH / 2.0) y=(HEIGHT - 12.0) text-anchor="middle" fill="#444" { "0 to " (scenes) " scenes" }
        }
    }
    .into_string()
}
