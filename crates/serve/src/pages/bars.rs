use maud::{Markup, html};

use headspan_query::Neighbour;

/// Width of a bar in its own units.
const WIDTH: f64 = 100.0;

/// One scale for the bars of several values, with zero on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bars {
    low: f64,
    high: f64,
}

impl Bars {
    /// A scale that holds some values.
    pub(super) fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if high > low { Self { low, high } } else { Self { low: 0.0, high: 1.0 } }
    }

    /// A scale for the scores of some images.
    pub(super) fn of<'a>(images: impl Iterator<Item = &'a Neighbour>) -> Self {
        Self::over(images.map(|image| f64::from(image.score)))
    }

    /// A value as a bar from zero. The value itself stands beside it as a number.
    pub(super) fn bar(self, value: f64) -> Markup {
        let place = |value: f64| WIDTH * (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        let (zero, end) = (place(0.0), place(value));
        html! {
            svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
                rect.track width="100" height="6" {}
                rect.value x=(format!("{:.1}", zero.min(end))) width=(format!("{:.1}", (end - zero).abs())) height="6" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_zero() {
        let bars = Bars::over([-1.0, 3.0].into_iter());
        assert!(bars.bar(3.0).into_string().contains("x=\"25.0\" width=\"75.0\""));
        assert!(bars.bar(-1.0).into_string().contains("x=\"0.0\" width=\"25.0\""));
        assert!(Bars::over([0.2, 0.4].into_iter()).bar(0.2).into_string().contains("x=\"0.0\" width=\"50.0\""));
        assert!(Bars::over(std::iter::empty()).bar(0.0).into_string().contains("width=\"0.0\""));
    }
}
