//! What is kept of each image of a listed data set. There may be millions, so it is a few bytes each and no allocation.

use std::collections::HashMap;

/// Texts, one after the other in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.all[start..self.ends[index]]
    }

    /// Those at `places`, in this order.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        let length = places.iter().map(|place| self.get(*place).len()).sum();
        let mut kept = Self { all: String::with_capacity(length), ends: Vec::with_capacity(places.len()) };
        for place in places {
            kept.push(self.get(*place));
        }
        *self = kept;
    }

    /// Places in the order of the texts.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by_key(|place| self.get(*place));
        order
    }

    /// A text that is there twice.
    pub(crate) fn twice(&self) -> Option<&str> {
        let sorted = (1..self.len()).all(|place| self.get(place - 1) <= self.get(place));
        let order = if sorted { Vec::new() } else { self.order() };
        let at = |place: usize| self.get(if sorted { place } else { order[place] });
        (1..self.len()).map(|place| (at(place - 1), at(place))).find(|(one, next)| one == next).map(|(one, _)| one)
    }
}

/// What a data set says of an image's class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ClassOf {
    None,
    Name(String),
    /// A number of the data set itself, as Hugging Face stores labels.
    Number(u32),
    /// A number and its spelling, where that is another than the number's own: `007`.
    Spelled(String, u32),
}

impl ClassOf {
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
    pub(crate) of: ClassOf,
    /// The first image of it.
    pub(crate) first: usize,
    /// Its identifier: the name, or what a list of classes has for the number.
    pub(crate) id: Option<String>,
    /// Its line in the list of classes.
    pub(crate) index: Option<u32>,
}

/// Classes of images, as numbers into the classes that there are.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    of: Vec<u32>,
    known: Vec<Class>,
    numbers: HashMap<ClassOf, u32>,
}

impl Classes {
    /// The class of the next image.
    pub(crate) fn push(&mut self, of: ClassOf) {
        let (known, first) = (&mut self.known, self.of.len());
        let number = *self.numbers.entry(of).or_insert_with_key(|of| {
            known.push(Class { of: of.clone(), first, id: None, index: None });
            known.len() as u32 - 1
        });
        self.of.push(number);
    }

    pub(crate) fn get(&self, index: usize) -> &Class {
        &self.known[self.of[index] as usize]
    }

    /// The classes, in the order of their first images.
    pub(crate) fn known(&mut self) -> &mut [Class] {
        &mut self.known
    }

    /// Of the images at `places`, in this order.
    pub(crate) fn keep(&mut self, places: &[usize]) {
        self.of = places.iter().map(|place| self.of[*place]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Texts {
        let mut texts = Texts::default();
        for text in all {
            texts.push(text);
        }
        texts
    }

    #[test]
    fn texts_are_found_again_and_kept_in_another_order() {
        let mut some = texts(&["b", "", "äö", "a"]);
        assert_eq!((0..4).map(|at| some.get(at)).collect::<Vec<_>>(), ["b", "", "äö", "a"]);
        assert_eq!(some.order(), [1, 3, 0, 2]);
        some.keep(&[2, 0]);
        assert_eq!((some.len(), some.get(0), some.get(1)), (2, "äö", "b"));
    }

    #[test]
    fn what_is_there_twice_is_found_in_any_order() {
        assert_eq!(texts(&["c", "a", "b", "a"]).twice(), Some("a"));
        assert_eq!(texts(&["a", "b", "b"]).twice(), Some("b"));
        assert_eq!(texts(&["c", "a", "b"]).twice(), None);
        assert_eq!(texts(&[]).twice(), None);
    }

    #[test]
    fn classes_are_known_once_in_the_order_of_their_first_images() {
        let mut classes = Classes::default();
        for of in [ClassOf::Name("cat".to_owned()), ClassOf::None, ClassOf::Number(3), ClassOf::named(Some("cat"))] {
            classes.push(of);
        }
        assert_eq!(classes.known().iter().map(|class| class.first).collect::<Vec<_>>(), [0, 1, 2]);
        classes.keep(&[3, 1]);
        assert_eq!((&classes.get(0).of, &classes.get(1).of), (&ClassOf::Name("cat".to_owned()), &ClassOf::None));
    }
}
