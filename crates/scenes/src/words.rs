//! The words of the world: how captions and descriptions name each value.

use crate::attributes::{
    Attribute, Attributes, Background, Count, Glyph, Hue, Kind, Pattern, Position, Size, Style, Time, Weather,
};

/// Names of a kind, singular and plural.
pub(crate) fn nouns(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Ball => &[("ball", "balls"), ("beach ball", "beach balls")],
        Kind::House => &[("house", "houses"), ("cottage", "cottages")],
        Kind::Tree => &[("tree", "trees"), ("fir tree", "fir trees")],
        Kind::Boat => &[("boat", "boats"), ("sailing boat", "sailing boats")],
        Kind::Car => &[("car", "cars"), ("automobile", "automobiles")],
        Kind::Fish => &[("fish", "fish"), ("swimming fish", "swimming fish")],
        Kind::Star => &[("star", "stars"), ("five-pointed star", "five-pointed stars")],
        Kind::Mug => &[("mug", "mugs"), ("coffee cup", "coffee cups")],
        Kind::Mushroom => &[("mushroom", "mushrooms"), ("toadstool", "toadstools")],
        Kind::Rocket => &[("rocket", "rockets"), ("spaceship", "spaceships")],
    }
}

/// Prepositions before a bystander.
pub(crate) const BESIDE: [&str; 3] = ["beside", "next to", "with"];

/// Adjectives of a colour.
pub(crate) fn hues(hue: Hue) -> &'static [&'static str] {
    match hue {
        Hue::Red => &["red", "crimson"],
        Hue::Orange => &["orange"],
        Hue::Yellow => &["yellow", "golden"],
        Hue::Green => &["green"],
        Hue::Blue => &["blue"],
        Hue::Purple => &["purple", "violet"],
        Hue::Pink => &["pink", "rosy"],
        Hue::Brown => &["brown"],
        Hue::Black => &["black"],
        Hue::White => &["white"],
    }
}

/// Adjectives of a pattern.
pub(crate) fn patterns(pattern: Pattern) -> &'static [&'static str] {
    match pattern {
        Pattern::Plain => &["plain", "solid"],
        Pattern::Striped => &["striped", "stripy"],
        Pattern::Dotted => &["dotted", "spotted"],
        Pattern::Checkered => &["checkered", "chequered"],
    }
}

/// Adjectives of a size.
pub(crate) fn sizes(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &["small", "tiny"],
        Size::Medium => &["medium-sized", "mid-sized"],
        Size::Large => &["large", "big"],
    }
}

/// Words for a count, before an adjective or a noun.
pub(crate) fn counts(count: Count) -> &'static [&'static str] {
    match count {
        Count::One => &["one", "a single"],
        Count::Two => &["two", "a pair of"],
        Count::Three => &["three", "a trio of"],
        Count::Four => &["four", "a group of four"],
    }
}

/// Adverbials of a position.
pub(crate) fn positions(position: Position) -> &'static [&'static str] {
    match position {
        Position::Center => &["in the center", "in the middle"],
        Position::Left => &["on the left", "on the left side"],
        Position::Right => &["on the right", "on the right side"],
        Position::Top => &["at the top", "up high"],
        Position::Bottom => &["at the bottom", "down low"],
    }
}

/// Adverbials of a setting.
pub(crate) fn backgrounds(background: Background) -> &'static [&'static str] {
    match background {
        Background::Meadow => &["in a meadow", "on green grass"],
        Background::Beach => &["on a beach", "at the seaside"],
        Background::Sea => &["at sea", "over the waves"],
        Background::Snow => &["in the snow", "on a snowy field"],
        Background::Desert => &["in the desert", "among sand dunes"],
        Background::City => &["in the city", "before skyscrapers"],
        Background::Forest => &["in a forest", "among trees"],
        Background::Mountains => &["in the mountains", "before snowy peaks"],
    }
}

/// Adverbials of a weather.
pub(crate) fn weathers(weather: Weather) -> &'static [&'static str] {
    match weather {
        Weather::Clear => &["in clear weather", "under a clear sky"],
        Weather::Rain => &["in the rain", "on a rainy occasion"],
        Weather::Snowfall => &["in falling snow", "among snowflakes"],
        Weather::Fog => &["in fog", "in thick mist"],
        Weather::Rainbow => &["under a rainbow", "with a rainbow above"],
    }
}

/// Adverbials of a time of day.
pub(crate) fn times(time: Time) -> &'static [&'static str] {
    match time {
        Time::Day => &["by day", "in daylight"],
        Time::Sunset => &["at sunset", "at dusk"],
        Time::Night => &["at night", "by moonlight"],
    }
}

/// Names of a style, with article.
pub(crate) fn styles(style: Style) -> &'static [&'static str] {
    match style {
        Style::Photo => &["a photo", "a photograph"],
        Style::Sketch => &["a sketch", "a pencil drawing"],
        Style::Inverted => &["a negative", "an inverted picture"],
        Style::Greyscale => &["a greyscale picture", "a black and white photo"],
        Style::Blurred => &["a blurred picture", "a blurry photo"],
        Style::Pixelated => &["a pixelated picture", "a coarse mosaic"],
    }
}

/// Adverbials of a sign.
pub(crate) fn glyphs(glyph: Glyph) -> Vec<String> {
    let name = glyph.name();
    match glyph {
        Glyph::None => vec!["without a sign".to_owned()],
        Glyph::One | Glyph::Two | Glyph::Four | Glyph::Seven => {
            vec![format!("with the digit {name}"), format!("with a sign that says {name}")]
        }
        _ => vec![format!("with the letter {name}"), format!("with a sign that says {name}")],
    }
}

/// A description of a property category's value, for TEXTSPAN and for zero-shot classification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// Property category.
    pub category: &'static str,
    /// Name of the value, as in the attribute table.
    pub value: &'static str,
    /// The text.
    pub text: String,
}

/// Every description of this world: the tagged pool, category by category. Each value has several, which mention nothing
/// else.
pub fn descriptions() -> Vec<Description> {
    let mut all = Vec::new();
    let several = |noun: &str| [format!("a picture of {noun}"), format!("an image of {noun}"), noun.to_owned()];
    add(&mut all, |kind: Kind| {
        nouns(kind)
            .iter()
            .flat_map(|(one, many)| several(&format!("a {one}")).into_iter().chain(several(many)))
            .collect()
    });
    add(&mut all, |hue: Hue| adjectives(hues(hue)));
    add(&mut all, |pattern: Pattern| adjectives(patterns(pattern)));
    add(&mut all, |count: Count| {
        let things = if count == Count::One { ["thing", "object"] } else { ["things", "objects"] };
        let phrases = counts(count).iter().flat_map(|word| things.map(|thing| format!("{word} {thing}")));
        phrases.flat_map(|phrase| several(&phrase)).collect()
    });
    add(&mut all, |size: Size| adjectives(sizes(size)));
    add(&mut all, |position: Position| adverbials(positions(position)));
    add(&mut all, |background: Background| adverbials(backgrounds(background)));
    add(&mut all, |weather: Weather| adverbials(weathers(weather)));
    add(&mut all, |time: Time| adverbials(times(time)));
    add(&mut all, |style: Style| {
        let of = ["of something", "of an object", "of things", "of a scene"];
        styles(style)
            .iter()
            .flat_map(|name| of.map(|of| format!("{name} {of}")).into_iter().chain([(*name).to_owned()]))
            .collect()
    });
    add(&mut all, |glyph: Glyph| glyphs(glyph).iter().flat_map(|phrase| adverbials(&[phrase])).collect());
    all
}

/// Names of the property categories, in the order of the attribute table.
pub fn categories() -> [&'static str; Attributes::CATEGORIES] {
    [
        Kind::CATEGORY,
        Hue::CATEGORY,
        Pattern::CATEGORY,
        Count::CATEGORY,
        Size::CATEGORY,
        Position::CATEGORY,
        Background::CATEGORY,
        Weather::CATEGORY,
        Time::CATEGORY,
        Style::CATEGORY,
        Glyph::CATEGORY,
    ]
}

fn add<A: Attribute>(all: &mut Vec<Description>, texts: impl Fn(A) -> Vec<String>) {
    for &value in A::ALL {
        let described = |text| Description { category: A::CATEGORY, value: value.name(), text };
        all.extend(texts(value).into_iter().map(described));
    }
}

fn adjectives(words: &[&str]) -> Vec<String> {
    let phrase = |word: &&str| {
        let article = if word.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        [
            format!("a picture of something {word}"),
            format!("a picture of {word} things"),
            format!("{article} {word} object"),
            format!("{word} objects"),
            format!("something {word}"),
        ]
    };
    words.iter().flat_map(phrase).collect()
}

fn adverbials(phrases: &[&str]) -> Vec<String> {
    let phrase = |phrase: &&str| {
        [
            format!("a picture of something {phrase}"),
            format!("a picture of things {phrase}"),
            format!("an object {phrase}"),
            format!("something {phrase}"),
            (*phrase).to_owned(),
        ]
    };
    phrases.iter().flat_map(phrase).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn descriptions_are_distinct_and_of_every_value() {
        let all = descriptions();
        assert_eq!(all.iter().map(|one| &one.text).collect::<BTreeSet<_>>().len(), all.len());
        let values: BTreeSet<_> = all.iter().map(|one| (one.category, one.value)).collect();
        assert_eq!(values.len(), 10 + 10 + 4 + 4 + 3 + 5 + 8 + 5 + 3 + 6 + 12);
        assert_eq!(all.iter().map(|one| one.category).collect::<BTreeSet<_>>(), categories().into_iter().collect());
    }
}
