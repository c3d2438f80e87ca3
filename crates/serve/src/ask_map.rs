//! The question of a head's map as it stands in a URL.

use headspan_artifacts::HeadId;
use headspan_query::HeadSelection;
use serde::Serialize;

use crate::{
    ask::{Fields, short_enough, shortened},
    error::WebError,
};

/// What images are ordered along.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Along {
    /// A principal component, counted from 0.
    Component(usize),
    /// One of the head's texts, counted from 0: what it adds to those above it.
    Pick(usize),
    /// A text of one's own.
    Text(String),
}

/// What a point's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Color {
    /// The image's class.
    Class,
    /// Its value along what images are ordered along.
    Value,
}

/// A rectangle of a map, in its units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) x: [f32; 2],
    pub(super) y: [f32; 2],
}

impl Part {
    pub(super) fn holds(&self, [x, y]: [f32; 2]) -> bool {
        (self.x[0]..=self.x[1]).contains(&x) && (self.y[0]..=self.y[1]).contains(&y)
    }

    pub(super) fn middle(&self) -> [f32; 2] {
        [f32::midpoint(self.x[0], self.x[1]), f32::midpoint(self.y[0], self.y[1])]
    }
}

/// A map of a head's output.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MapAsk {
    /// None: the one that the run says most of.
    pub(super) head: Option<HeadId>,
    /// Principal components that are drawn across and up, counted from 0.
    pub(super) axes: [usize; 2],
    pub(super) along: Along,
    /// What was typed as a text, whether or not it is asked for.
    pub(super) text: Option<String>,
    pub(super) color: Option<Color>,
    /// The part whose images are listed.
    pub(super) part: Option<Part>,
}

/// Name of the choice of a text of one's own.
pub(super) const OWN_TEXT: &str = "texts";

impl MapAsk {
    pub(super) fn read(fields: &Fields) -> Result<Self, WebError> {
        let head = match fields.get("heads").map(str::parse::<HeadSelection>).transpose()? {
            None => None,
            Some(HeadSelection::Head(head)) => Some(head),
            Some(other) => return Err(WebError::question(format!("`{other}` is not a head such as L3.H5"))),
        };
        let text = fields.get("text").map(|text| text.trim().to_owned());
        text.as_deref().map_or(Ok(()), short_enough)?;
        let axes = [component(fields, "across", 0)?, component(fields, "up", 1)?];
        let along = match (fields.get("along"), &text) {
            (None | Some(OWN_TEXT), Some(text)) => Along::Text(text.clone()),
            (None | Some(OWN_TEXT), None) => Along::Component(axes[0]),
            (Some(name), _) => along(name)?,
        };
        let color = match fields.get("color") {
            None => None,
            Some("class") => Some(Color::Class),
            Some("value") => Some(Color::Value),
            Some(name) => {
                return Err(WebError::question(format!("color: `{}` is neither class nor value", shortened(name))));
            }
        };
        Ok(Self { head, axes, along, text, color, part: part(fields)? })
    }
}

/// A principal component, which people count from 1.
fn component(fields: &Fields, key: &str, default: usize) -> Result<usize, WebError> {
    match fields.optional_number::<usize>(key)? {
        None => Ok(default),
        Some(0) => Err(WebError::question(format!("{key}: principal components are counted from 1"))),
        Some(number) => Ok(number - 1),
    }
}

/// `c1` is the first principal component, `t1` the head's first text.
fn along(name: &str) -> Result<Along, WebError> {
    let wrong = || {
        WebError::question(format!(
            "along: `{}` is none of c1 (a principal component), t1 (a text of the head) and {OWN_TEXT}",
            shortened(name)
        ))
    };
    let place = |number: &str| number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).ok_or_else(wrong);
    match (name.strip_prefix('c'), name.strip_prefix('t')) {
        (Some(number), _) => Ok(Along::Component(place(number)?)),
        (_, Some(number)) => Ok(Along::Pick(place(number)?)),
        _ => Err(wrong()),
    }
}

/// The rectangle between four numbers; none unless all are there.
fn part(fields: &Fields) -> Result<Option<Part>, WebError> {
    let mut ends = [None; 4];
    for (end, key) in ends.iter_mut().zip(["x0", "x1", "y0", "y1"]) {
        *end = fields.optional_number::<f32>(key)?.filter(|value| value.is_finite());
    }
    let [Some(x0), Some(x1), Some(y0), Some(y1)] = ends else { return Ok(None) };
    Ok(Some(Part { x: [x0.min(x1), x0.max(x1)], y: [y0.min(y1), y0.max(y1)] }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<MapAsk, WebError> {
        MapAsk::read(&Fields::read(Some(query)))
    }

    #[test]
    fn a_map_is_read_from_its_url() -> Result<(), WebError> {
        let ask = read("heads=L3.H5&across=2&up=3&along=t2&text=a+boat&color=value&x0=1&x1=-1&y0=0&y1=0.5")?;
        assert_eq!((ask.head, ask.axes), (Some(HeadId { layer: 3, head: 5 }), [1, 2]));
        assert_eq!((ask.along, ask.color), (Along::Pick(1), Some(Color::Value)));
        let part = ask.part.expect("four numbers");
        assert!(part.holds([0.0, 0.25]) && !part.holds([0.0, 0.75]), "ends in any order");
        assert_eq!(read("along=texts&text=a+boat")?.along, Along::Text("a boat".to_owned()));
        assert_eq!(read("along=texts&text=&across=4")?.along, Along::Component(3), "nothing was typed yet");
        assert_eq!(read("x0=1&x1=2&y0=3")?.part, None);
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (query, says) in [
            ("heads=all", "is not a head"),
            ("across=0", "counted from 1"),
            ("up=two", "is not a number"),
            ("along=x3", "none of c1"),
            ("along=c0", "none of c1"),
            ("color=red", "neither class nor value"),
        ] {
            let message = read(query).err().map(|error| error.message).unwrap_or_default();
            assert!(message.contains(says), "{query}: {message}");
        }
    }

    proptest! {
        #[test]
        fn no_query_string_panics(query in "\\PC*") {
            let _ = read(&query);
        }
    }
}
