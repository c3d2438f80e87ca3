//! What a scene can be: one type per property category, each with its values and the words for them.

use rand::{Rng, RngExt};
use serde::Serialize;

/// A property category of the world.
pub trait Attribute: Copy + Eq + Sized + 'static {
    /// Name of the category, as in the description pool.
    const CATEGORY: &'static str;
    /// All values, in the order of their indices.
    const ALL: &'static [Self];

    /// The value's name: what captions call it, and what the attribute table holds.
    fn name(self) -> &'static str;

    /// Index of the value in [`Attribute::ALL`].
    fn index(self) -> usize {
        Self::ALL.iter().position(|value| *value == self).unwrap_or_default()
    }

    /// A value, each as likely as the others.
    fn draw(random: &mut impl Rng) -> Self {
        Self::ALL[random.random_range(0..Self::ALL.len() as u32) as usize]
    }
}

macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident, $category:literal, $($variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the word beside each variant says what it is")]
        pub enum $name { $($variant),+ }

        impl Attribute for $name {
            const CATEGORY: &'static str = $category;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

attribute!(
    /// Kind of the objects: the class of zero-shot classification.
    Kind, "shapes",
    Ball = "ball", House = "house", Tree = "tree", Boat = "boat", Car = "car", Fish = "fish", Star = "star", Mug = "mug",
    Mushroom = "mushroom", Rocket = "rocket",
);
attribute!(
    /// Colour of the objects.
    Hue, "colors",
    Red = "red", Orange = "orange", Yellow = "yellow", Green = "green", Blue = "blue", Purple = "purple", Pink = "pink",
    Brown = "brown", Black = "black", White = "white",
);
attribute!(
    /// Pattern on the objects.
    Pattern, "patterns",
    Plain = "plain", Striped = "striped", Dotted = "dotted", Checkered = "checkered",
);
attribute!(
    /// Number of objects.
    Count, "counting", One = "one", Two = "two", Three = "three", Four = "four",
);
attribute!(
    /// Size of the objects.
    Size, "sizes", Small = "small", Medium = "medium", Large = "large",
);
attribute!(
    /// Where the objects are.
    Position, "positions",
    Center = "center", Left = "left", Right = "right", Top = "top", Bottom = "bottom",
);
attribute!(
    /// Setting behind the objects.
    Background, "backgrounds",
    Meadow = "meadow", Beach = "beach", Sea = "sea", Snow = "snow", Desert = "desert", City = "city", Forest = "forest",
    Mountains = "mountains",
);
attribute!(
    /// Weather.
    Weather, "weather", Clear = "clear", Rain = "rain", Snowfall = "snowfall", Fog = "fog", Rainbow = "rainbow",
);
attribute!(
    /// Time of day.
    Time, "time of day", Day = "day", Sunset = "sunset", Night = "night",
);
attribute!(
    /// How the picture was made.
    Style, "styles",
    Photo = "photo", Sketch = "sketch", Inverted = "inverted", Greyscale = "greyscale", Blurred = "blurred",
    Pixelated = "pixelated",
);
attribute!(
    /// Sign in a corner.
    Glyph, "letters",
    None = "none", A = "A", E = "E", H = "H", K = "K", T = "T", X = "X", Z = "Z", One = "1", Two = "2", Four = "4",
    Seven = "7",
);

/// All attributes of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each field is documented at its type")]
pub struct Attributes {
    pub kind: Kind,
    pub hue: Hue,
    pub pattern: Pattern,
    pub count: Count,
    pub size: Size,
    pub position: Position,
    pub background: Background,
    pub weather: Weather,
    pub time: Time,
    pub style: Style,
    pub glyph: Glyph,
}

impl Attributes {
    /// Number of property categories.
    pub const CATEGORIES: usize = 11;

    /// Property categories and the value's name in each, in the order of the attribute table.
    pub fn table(&self) -> [(&'static str, &'static str); Self::CATEGORIES] {
        fn entry<A: Attribute>(value: A) -> (&'static str, &'static str) {
            (A::CATEGORY, value.name())
        }
        [
            entry(self.kind),
            entry(self.hue),
            entry(self.pattern),
            entry(self.count),
            entry(self.size),
            entry(self.position),
            entry(self.background),
            entry(self.weather),
            entry(self.time),
            entry(self.style),
            entry(self.glyph),
        ]
    }
}

/// A second, smaller object at the edge of a scene, of another kind and colour than what the scene is of. No attribute counts
/// it: as in photographs, there is more to look at than what the class names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bystander {
    /// Its kind.
    pub kind: Kind,
    /// Its colour.
    pub hue: Hue,
    /// Index of the corner or edge where it stands.
    #[serde(skip)]
    pub(crate) place: usize,
}

impl Bystander {
    /// What it is in two words, as `white boat`.
    pub fn name(&self) -> String {
        format!("{} {}", self.hue.name(), self.kind.name())
    }
}

/// A background is of the water or of the land; so is a kind, for the spurious correlation of Waterbirds
/// (arXiv 1911.08731): boat and fish are at home on water, house and tree are not, and the others are dealt to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// Sea, beach, snow and mountains; boat, fish, star, mug and ball.
    Water,
    /// Meadow, desert, city and forest; house, tree, car, mushroom and rocket.
    Land,
}

impl Kind {
    /// The side on which a spurious correlation puts this kind.
    pub fn home(self) -> Home {
        match self {
            Self::Boat | Self::Fish | Self::Star | Self::Mug | Self::Ball => Home::Water,
            Self::House | Self::Tree | Self::Car | Self::Mushroom | Self::Rocket => Home::Land,
        }
    }
}

impl Background {
    /// The side that this background is on.
    pub fn home(self) -> Home {
        match self {
            Self::Sea | Self::Beach | Self::Snow | Self::Mountains => Home::Water,
            Self::Meadow | Self::Desert | Self::City | Self::Forest => Home::Land,
        }
    }
}
