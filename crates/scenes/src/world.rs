//! Which scenes there are: attributes drawn from a seed and an index.

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    attributes::{
        Attribute, Attributes, Background, Bystander, Count, Glyph, Hue, Kind, Pattern, Position, Size, Style, Time,
        Weather,
    },
    caption::{caption, full_caption, with_bystander},
    draw::{free_places, render},
};

/// Which combinations of kind and colour are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combinations {
    /// Every combination.
    All,
    /// Those that training sees: nine in ten.
    #[default]
    Seen,
    /// Those that training never sees: one in ten, each kind and each colour among them.
    Unseen,
}

/// A world of scenes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Seed of everything.
    pub seed: u64,
    /// Height and width of the pictures in pixels, see [`World::PIXELS`].
    pub pixels: u32,
    /// Combinations of kind and colour.
    pub combinations: Combinations,
    /// Chance, 0 to 1, that the background is of the kind's own side whatever else would be drawn; 0 is independence.
    pub correlation: f32,
    /// Share of scenes, 0 to 1, that are as plain as can be: one large plain object, photo-like, by day, in clear weather,
    /// without a sign. Only kind, colour, position and background vary. What a training begins with.
    pub ease: f32,
    /// Share of scenes, 0 to 1, with a bystander where the objects leave room for one (seven in ten do; plain scenes have none).
    /// Everything else of a scene is the same with and without, but for a sign that would hide it, which is in another corner.
    pub bystanders: f32,
    /// Share of scenes, 0 to 1, that are photo-like whatever style would be drawn for the others. With few of them shapes must be
    /// told by more than their colours.
    pub photos: f32,
    /// Captions with random subsets of the attributes, per scene.
    pub captions: u32,
}

impl Default for World {
    fn default() -> Self {
        Self {
            seed: 0,
            pixels: 64,
            combinations: Combinations::Seen,
            correlation: 0.0,
            ease: 0.0,
            bystanders: 0.0,
            // As in life, most pictures are photo-like.
            photos: 0.5,
            captions: 4,
        }
    }
}

/// A rendered scene and all that is true of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Index in its world.
    pub index: u64,
    /// What it shows.
    pub attributes: Attributes,
    /// Height and width in pixels.
    pub pixels: u32,
    /// RGB, rows from the top, 3 bytes a pixel.
    pub image: Vec<u8>,
    /// 255 where an object is, 0 elsewhere, between at its edges; one byte a pixel.
    pub mask: Vec<u8>,
    /// Another object beside them.
    pub bystander: Option<Bystander>,
    /// What is seen of it, as in `mask`; empty where there is none.
    pub bystander_mask: Vec<u8>,
    /// Captions that mention random subsets of the attributes.
    pub captions: Vec<String>,
    /// A caption that mentions every attribute that can be seen.
    pub full_caption: String,
}

/// Whether training never sees this combination. Each kind lacks one colour, and each colour is lacked by a kind.
pub fn is_unseen(kind: Kind, hue: Hue) -> bool {
    (kind.index() * 3 + 1) % Hue::ALL.len() == hue.index()
}

impl World {
    /// Sizes of a picture: in fewer pixels nothing can be told, and more take minutes.
    pub const PIXELS: RangeInclusive<u32> = 32..=512;

    /// The scene of an index. Depends on nothing but the world and the index.
    pub fn scene(&self, index: u64) -> Scene {
        let mut random = self.random(index);
        let (attributes, plain) = self.attributes(&mut random);
        let mut aside = self.aside(index);
        let bystander = self.bystander(&attributes, plain, &mut aside);
        let by = bystander.as_ref();
        let captions = self.captions(&attributes, by, &mut random, &mut aside);
        let full_caption = full_caption(&attributes, by);
        let (image, masks) = render(&attributes, by, self.pixels, &mut random);
        Scene {
            index,
            attributes,
            pixels: self.pixels,
            image,
            mask: masks.objects,
            bystander,
            bystander_mask: masks.bystander,
            captions,
            full_caption,
        }
    }

    /// The captions of a scene without its picture.
    pub fn captions_of(&self, index: u64) -> Vec<String> {
        let mut random = self.random(index);
        let (attributes, plain) = self.attributes(&mut random);
        let mut aside = self.aside(index);
        let bystander = self.bystander(&attributes, plain, &mut aside);
        self.captions(&attributes, bystander.as_ref(), &mut random, &mut aside)
    }

    /// What a scene is of and beside which bystander, without drawing it.
    pub fn subject(&self, index: u64) -> (Attributes, Option<Bystander>) {
        let (attributes, plain) = self.attributes(&mut self.random(index));
        (attributes, self.bystander(&attributes, plain, &mut self.aside(index)))
    }

    fn captions(
        &self,
        attributes: &Attributes,
        bystander: Option<&Bystander>,
        random: &mut ChaCha8Rng,
        aside: &mut ChaCha8Rng,
    ) -> Vec<String> {
        let one = |_| with_bystander(caption(attributes, random), attributes, bystander, aside);
        (0..self.captions).map(one).collect()
    }

    fn random(&self, index: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(index);
        random
    }

    /// Random numbers of the bystander, apart from the others, so that it changes nothing else.
    fn aside(&self, index: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(!self.seed);
        random.set_stream(index);
        random
    }

    fn bystander(&self, attributes: &Attributes, plain: bool, aside: &mut ChaCha8Rng) -> Option<Bystander> {
        if plain || aside.random::<f32>() >= self.bystanders {
            return None;
        }
        let (kind, hue) = loop {
            let (kind, hue) = (Kind::draw(aside), Hue::draw(aside));
            if kind != attributes.kind && hue != attributes.hue {
                break (kind, hue);
            }
        };
        let free = free_places(attributes);
        let drawn = aside.random_range(0..free.len().max(1) as u32) as usize;
        free.get(drawn).map(|place| Bystander { kind, hue, place: *place })
    }

    /// The attributes, and whether the scene is a plain one.
    fn attributes(&self, random: &mut ChaCha8Rng) -> (Attributes, bool) {
        let (kind, hue) = loop {
            let (kind, hue) = (Kind::draw(random), Hue::draw(random));
            match self.combinations {
                Combinations::Seen if is_unseen(kind, hue) => {}
                Combinations::Unseen if !is_unseen(kind, hue) => {}
                _ => break (kind, hue),
            }
        };
        let bound = random.random::<f32>() < self.correlation;
        let background = loop {
            let background = Background::draw(random);
            if !bound || background.home() == kind.home() {
                break background;
            }
        };
        let plain = self.ease > 0.0 && random.random::<f32>() < self.ease;
        let drawn = Attributes {
            kind,
            hue,
            pattern: Pattern::draw(random),
            count: Count::draw(random),
            size: Size::draw(random),
            position: Position::draw(random),
            background,
            // Fair weather is the most frequent; what hides an object is rarer.
            weather: if random.random::<f32>() < 0.25 { Weather::Clear } else { Weather::draw(random) },
            time: Time::draw(random),
            style: if random.random::<f32>() < self.photos { Style::Photo } else { Style::draw(random) },
            glyph: if random.random::<f32>() < 0.5 { Glyph::None } else { Glyph::draw(random) },
        };
        if !plain {
            return (drawn, false);
        }
        let plain = Attributes {
            pattern: Pattern::Plain,
            count: Count::One,
            size: Size::Large,
            weather: Weather::Clear,
            time: Time::Day,
            style: Style::Photo,
            glyph: Glyph::None,
            ..drawn
        };
        (plain, true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_and_colour_has_an_unseen_combination() {
        let unseen: Vec<(Kind, Hue)> = Kind::ALL
            .iter()
            .flat_map(|kind| Hue::ALL.iter().map(|hue| (*kind, *hue)))
            .filter(|(kind, hue)| is_unseen(*kind, *hue))
            .collect();
        assert_eq!(unseen.len(), Kind::ALL.len());
        assert_eq!(unseen.iter().map(|(_, hue)| *hue).collect::<BTreeSet<_>>().len(), Hue::ALL.len());
    }

    #[test]
    fn held_out_combinations_are_held_out() {
        let world = |combinations| World { combinations, pixels: 32, ..World::default() };
        for index in 0..300 {
            let seen = world(Combinations::Seen).scene(index).attributes;
            assert!(!is_unseen(seen.kind, seen.hue));
            let unseen = world(Combinations::Unseen).scene(index).attributes;
            assert!(is_unseen(unseen.kind, unseen.hue));
        }
    }

    #[test]
    fn fewer_photos_change_styles_alone() {
        let of = |photos| {
            let world = World { photos, pixels: 32, ..World::default() };
            (0..300).map(move |index| world.subject(index).0).collect::<Vec<_>>()
        };
        let photos = |all: &[Attributes]| all.iter().filter(|one| one.style == Style::Photo).count();
        let (usual, few) = (of(0.5), of(0.0));
        // Binomial with n = 300: 7 in 12 are 175 with a standard deviation of 9, 1 in 6 are 50 with 6.
        assert!((148..=202).contains(&photos(&usual)), "{}", photos(&usual));
        assert!((32..=68).contains(&photos(&few)), "{}", photos(&few));
        assert_eq!(photos(&of(1.0)), 300);
        let what = |one: &Attributes| (one.kind, one.hue, one.count, one.background);
        assert!(usual.iter().zip(&few).all(|(one, other)| what(one) == what(other)));
    }

    #[test]
    fn attributes_are_independent_unless_told_otherwise() {
        let at_home = |correlation| {
            let world = World { correlation, pixels: 32, ..World::default() };
            let home = |index: &u64| {
                let attributes = world.scene(*index).attributes;
                attributes.kind.home() == attributes.background.home()
            };
            (0..600).filter(home).count()
        };
        // Binomial with n = 600: a half is 300 with a standard deviation of 12, all is 600.
        assert!((240..=360).contains(&at_home(0.0)));
        assert_eq!(at_home(1.0), 600);
    }
}
