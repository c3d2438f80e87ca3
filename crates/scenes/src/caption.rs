//! Captions: sentences that mention some of what is true of a scene.

use rand::{Rng, RngExt};

use crate::{
    attributes::{Attribute, Attributes, Bystander, Count, Glyph, Hue, Style, Time},
    words,
};

/// What a caption mentions of the attribute table, in its order.
type Mentions = [bool; Attributes::CATEGORIES];

const KIND: usize = 0;
const HUE: usize = 1;
const PATTERN: usize = 2;
const COUNT: usize = 3;
const SIZE: usize = 4;
const POSITION: usize = 5;
const BACKGROUND: usize = 6;
const WEATHER: usize = 7;
const TIME: usize = 8;
const STYLE: usize = 9;
const GLYPH: usize = 10;

/// How often a caption mentions each category. People name the thing first; of the rest, what is hard to see is named more
/// often than what fills the picture, or a small model would learn nothing but skies.
const MENTIONED: [f32; Attributes::CATEGORIES] = [0.9, 0.35, 0.3, 0.3, 0.2, 0.3, 0.15, 0.1, 0.1, 0.1, 0.3];

/// How often a caption mentions a bystander.
const BYSTANDER_MENTIONED: f32 = 0.4;

/// Adds the bystander to a caption, or (more often) leaves it unsaid.
pub(crate) fn with_bystander(
    caption: String,
    attributes: &Attributes,
    bystander: Option<&Bystander>,
    random: &mut impl Rng,
) -> String {
    match bystander {
        Some(bystander) if random.random::<f32>() < BYSTANDER_MENTIONED => {
            beside(&caption, attributes, bystander, &mut |ways| random.random_range(0..ways as u32) as usize)
        }
        _ => caption,
    }
}

fn beside(
    caption: &str,
    attributes: &Attributes,
    bystander: &Bystander,
    choose: &mut impl FnMut(usize) -> usize,
) -> String {
    let nouns = words::nouns(bystander.kind);
    let mut phrase = nouns[choose(nouns.len())].0.to_owned();
    if attributes.shows(Hue::CATEGORY) {
        let hues = words::hues(bystander.hue);
        phrase = format!("{} {phrase}", hues[choose(hues.len())]);
    }
    let by = words::BESIDE[choose(words::BESIDE.len())];
    format!("{caption} {by} {} {phrase}", article(&phrase))
}

fn article(phrase: &str) -> &'static str {
    if phrase.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A caption that mentions some of the attributes that can be seen, or (one in ten) all of them.
pub(crate) fn caption(attributes: &Attributes, random: &mut impl Rng) -> String {
    let visible = visible(attributes);
    let all = random.random_range(0..10_u32) == 0;
    let mut mentions = [false; Attributes::CATEGORIES];
    while !mentions.contains(&true) {
        for (mention, (visible, often)) in mentions.iter_mut().zip(visible.iter().zip(MENTIONED)) {
            *mention = *visible && (all || random.random::<f32>() < often);
        }
    }
    sentence(attributes, &mentions, &mut |words| random.random_range(0..words as u32) as usize)
}

/// The caption that mentions every attribute that can be seen, and the bystander, in the first words for each.
pub(crate) fn full_caption(attributes: &Attributes, bystander: Option<&Bystander>) -> String {
    let caption = sentence(attributes, &visible(attributes), &mut |_words| 0);
    match bystander {
        Some(bystander) => beside(&caption, attributes, bystander, &mut |_words| 0),
        None => caption,
    }
}

/// What a picture of this style shows.
fn visible(attributes: &Attributes) -> Mentions {
    let mut visible = [true; Attributes::CATEGORIES];
    visible[HUE] = attributes.shows(Hue::CATEGORY);
    visible[TIME] = attributes.shows(Time::CATEGORY);
    visible[GLYPH] = attributes.glyph != Glyph::None;
    visible
}

/// Puts the mentioned words in order; `choose(n)` picks one of n ways to say something.
fn sentence(attributes: &Attributes, mentions: &Mentions, choose: &mut impl FnMut(usize) -> usize) -> String {
    let mut places: Vec<String> = Vec::new();
    let mut place = |mentioned: bool, phrases: &[&str], choose: &mut dyn FnMut(usize) -> usize| {
        if mentioned {
            places.push(phrases[choose(phrases.len())].to_owned());
        }
    };
    place(mentions[POSITION], words::positions(attributes.position), choose);
    place(mentions[BACKGROUND], words::backgrounds(attributes.background), choose);
    place(mentions[WEATHER], words::weathers(attributes.weather), choose);
    place(mentions[TIME], words::times(attributes.time), choose);
    let glyphs = words::glyphs(attributes.glyph);
    let glyphs: Vec<&str> = glyphs.iter().map(String::as_str).collect();
    place(mentions[GLYPH], &glyphs, choose);
    // Zero keeps the order, so the full caption reads place, setting, weather, time, sign.
    let turn = choose(places.len().max(1));
    places.rotate_left(turn);

    let things = things(attributes, mentions, choose);
    let subject = match (mentions[STYLE], choose(3)) {
        (true, _) => {
            let styles = words::styles(attributes.style);
            format!("{} of {things}", styles[choose(styles.len())])
        }
        // Only a picture whose style is not worth mentioning is just a picture.
        (false, 0) => format!("a picture of {things}"),
        (false, 1) => format!("an image of {things}"),
        (false, _) => things,
    };
    let mut all = vec![subject];
    all.extend(places);
    all.join(" ")
}

fn things(attributes: &Attributes, mentions: &Mentions, choose: &mut impl FnMut(usize) -> usize) -> String {
    let mut pick = |phrases: &[&'static str]| phrases[choose(phrases.len())];
    let mut adjectives: Vec<&str> = Vec::new();
    if mentions[SIZE] {
        adjectives.push(pick(words::sizes(attributes.size)));
    }
    if mentions[HUE] {
        adjectives.push(pick(words::hues(attributes.hue)));
    }
    if mentions[PATTERN] {
        adjectives.push(pick(words::patterns(attributes.pattern)));
    }
    let one = attributes.count == Count::One;
    let noun = if mentions[KIND] {
        let nouns = words::nouns(attributes.kind);
        let (singular, plural) = nouns[choose(nouns.len())];
        if one { singular } else { plural }
    } else if one {
        ["thing", "object"][choose(2)]
    } else {
        ["things", "objects"][choose(2)]
    };
    let count = mentions[COUNT].then(|| {
        let counts = words::counts(attributes.count);
        counts[choose(counts.len())]
    });
    if adjectives.is_empty() && count.is_none() && !mentions[KIND] {
        return "something".to_owned();
    }
    let mut words = adjectives;
    words.push(noun);
    let phrase = words.join(" ");
    match count {
        Some(count) => format!("{count} {phrase}"),
        None if one => format!("{} {phrase}", article(&phrase)),
        None => phrase,
    }
}

impl Attributes {
    /// Whether the style leaves a category to be seen: a sketch has no colours, and neither it nor a negative shows the light.
    pub fn shows(&self, category: &str) -> bool {
        match category {
            Hue::CATEGORY => !matches!(self.style, Style::Sketch | Style::Greyscale | Style::Inverted),
            Time::CATEGORY => !matches!(self.style, Style::Sketch | Style::Inverted),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::attributes::{Background, Kind, Pattern, Position, Size, Weather};

    const SCENE: Attributes = Attributes {
        kind: Kind::Boat,
        hue: Hue::Red,
        pattern: Pattern::Striped,
        count: Count::Two,
        size: Size::Large,
        position: Position::Left,
        background: Background::Sea,
        weather: Weather::Rain,
        time: Time::Night,
        style: Style::Photo,
        glyph: Glyph::K,
    };

    #[test]
    fn a_full_caption_mentions_everything() {
        assert_eq!(
            full_caption(&SCENE, None),
            "a photo of two large red striped boats on the left at sea in the rain at night with the letter K"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_mentioned() {
        let sketch = Attributes { style: Style::Sketch, glyph: Glyph::None, ..SCENE };
        assert_eq!(full_caption(&sketch, None), "a sketch of two large striped boats on the left at sea in the rain");
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..500 {
            let caption = caption(&sketch, &mut random);
            assert!(
                !["red", "crimson", "night", "moonlight", "sign"].iter().any(|word| caption.contains(word)),
                "{caption}"
            );
        }
    }

    #[test]
    fn a_bystander_is_named_last_and_its_colour_where_the_style_shows_it() {
        let mug = Bystander { kind: Kind::Mug, hue: Hue::Orange, place: 0 };
        let one = Attributes { glyph: Glyph::None, ..SCENE };
        let caption = full_caption(&one, Some(&mug));
        assert!(caption.ends_with("at night beside an orange mug"), "{caption}");
        let sketch = full_caption(&Attributes { style: Style::Sketch, ..one }, Some(&mug));
        assert!(sketch.ends_with("in the rain beside a mug"), "{sketch}");
    }

    #[test]
    fn articles_fit() {
        let one = Attributes { count: Count::One, hue: Hue::Orange, ..SCENE };
        let mut mentions = [false; Attributes::CATEGORIES];
        mentions[HUE] = true;
        mentions[KIND] = true;
        assert_eq!(sentence(&one, &mentions, &mut |_ways| 0), "a picture of an orange boat");
        assert_eq!(sentence(&SCENE, &mentions, &mut |_ways| 0), "a picture of red boats");
    }
}
