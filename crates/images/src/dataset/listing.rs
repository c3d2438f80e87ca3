//! What is kept of each image of a listed data set. There may be millions, so it is a few bytes each and no allocation.

use std::collections::HashMap;

/// Ids of images, one after the other in one allocation.
#[derive(Debug, Default)]
pub(crate) struct IdList {
    all: String,
    /// Where each id ends, in bytes.
    ends: Vec<usize>,
}

impl IdList {
    pub(crate) fn push(&mut self, id: &str) {
        self.all.push_str(id);
        self.ends.push(self.all.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.all[start..self.ends[index]]
    }

    /// Keeps the ids at `places` alone, in this order.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        let length = places.iter().map(|place| self.get(*place).len()).sum();
        let mut kept = Self { all: String::with_capacity(length), ends: Vec::with_capacity(places.len()) };
        for place in places {
            kept.push(self.get(*place));
        }
        *self = kept;
    }

    /// Places in the order of the ids.
    pub(crate) fn sorted_places(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by_key(|place| self.get(*place));
        order
    }

    /// An id that is there twice.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let sorted = (1..self.len()).all(|place| self.get(place - 1) <= self.get(place));
        let order = if sorted { Vec::new() } else { self.sorted_places() };
        let at = |place: usize| self.get(if sorted { place } else { order[place] });
        (1..self.len()).map(|place| (at(place - 1), at(place))).find(|(one, next)| one == next).map(|(one, _)| one)
    }
}

/// An image's class as the data set has it, before the class file is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum RawClass {
    /// The image has no class.
    None,
    /// The class itself.
    Name(String),
    /// A number of the data set itself, as Hugging Face stores labels.
    Number(u32),
    /// A number and its spelling, where that is another than the number's own: `007`.
    Spelled(String, u32),
}

impl RawClass {
    /// An empty name is no class.
    pub(crate) fn named(name: Option<&str>) -> Self {
        name.filter(|name| !name.is_empty()).map_or(Self::None, |name| Self::Name(name.to_owned()))
    }

    /// A text that may be a class number of the data set itself.
    pub(crate) fn numbered(text: &str) -> Self {
        match text.parse::<u32>() {
            Ok(number) if number.to_string() == text => Self::Number(number),
            Ok(number) => Self::Spelled(text.to_owned(), number),
            Err(_no_number) => Self::Name(text.to_owned()),
        }
    }
}

/// A class that images have.
#[derive(Debug)]
pub(crate) struct Class {
    /// The class as the data set has it.
    pub(crate) raw: RawClass,
    /// The first image of it.
    pub(crate) first: usize,
    /// Its identifier: the name, or what a list of classes has for the number.
    pub(crate) id: Option<String>,
    /// Its line in the list of classes.
    pub(crate) index: Option<u32>,
}

/// Classes of images: each class once, and four bytes per image.
#[derive(Debug, Default)]
pub(crate) struct ImageClasses {
    /// Place in `known` of each image's class.
    of_image: Vec<u32>,
    known: Vec<Class>,
    places: HashMap<RawClass, u32>,
}

impl ImageClasses {
    /// The class of the next image.
    pub(crate) fn push(&mut self, raw: RawClass) {
        let (known, first) = (&mut self.known, self.of_image.len());
        let place = *self.places.entry(raw).or_insert_with_key(|raw| {
            known.push(Class { raw: raw.clone(), first, id: None, index: None });
            known.len() as u32 - 1
        });
        self.of_image.push(place);
    }

    pub(crate) fn get(&self, index: usize) -> &Class {
        &self.known[self.of_image[index] as usize]
    }

    /// The classes, in the order of their first images.
    pub(crate) fn known(&mut self) -> &mut [Class] {
        &mut self.known
    }

    /// Keeps the classes of the images at `places` alone, in this order.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        self.of_image = places.iter().map(|place| self.of_image[*place]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(all: &[&str]) -> IdList {
        let mut ids = IdList::default();
        for id in all {
            ids.push(id);
        }
        ids
    }

    #[test]
    fn ids_are_found_again_and_kept_in_another_order() {
        let mut some = ids(&["b", "", "äö", "a"]);
        assert_eq!((0..4).map(|at| some.get(at)).collect::<Vec<_>>(), ["b", "", "äö", "a"]);
        assert_eq!(some.sorted_places(), [1, 3, 0, 2]);
        some.keep(&[2, 0]);
        assert_eq!((some.len(), some.get(0), some.get(1)), (2, "äö", "b"));
    }

    #[test]
    fn duplicates_are_found_in_any_order() {
        assert_eq!(ids(&["c", "a", "b", "a"]).duplicate(), Some("a"));
        assert_eq!(ids(&["a", "b", "b"]).duplicate(), Some("b"));
        assert_eq!(ids(&["c", "a", "b"]).duplicate(), None);
        assert_eq!(ids(&[]).duplicate(), None);
    }

    #[test]
    fn classes_are_known_once_in_the_order_of_their_first_images() {
        let mut classes = ImageClasses::default();
        for raw in [RawClass::Name("cat".to_owned()), RawClass::None, RawClass::Number(3), RawClass::named(Some("cat"))]
        {
            classes.push(raw);
        }
        assert_eq!(classes.known().iter().map(|class| class.first).collect::<Vec<_>>(), [0, 1, 2]);
        classes.keep(&[3, 1]);
        assert_eq!((&classes.get(0).raw, &classes.get(1).raw), (&RawClass::Name("cat".to_owned()), &RawClass::None));
    }
}
