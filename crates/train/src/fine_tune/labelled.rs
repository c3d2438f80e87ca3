//! Images with the names of their classes.

use std::collections::BTreeMap;

use headspan_images::{Dataset, DecodeLimits, RgbImage8, decode_rgb};

use crate::error::{Result, TrainError};

/// Images, each of one class.
pub struct Labelled {
    dataset: Dataset,
    /// Names of the classes, which stand in captions.
    names: Vec<String>,
    /// Class of each image.
    classes: Vec<u32>,
    /// Encoded images, as many from the first on as fit.
    held: Vec<Option<Vec<u8>>>,
}

/// Most bytes of encoded images that are held in memory. Steps draw images in any order, in which shards cannot be read: each image would
/// cost reading what stands before it.
const HELD: usize = 4 << 30;

impl Labelled {
    /// Images of a data set. Names come from its list of classes; without one, each class is named as the data set names it. An error for an
    /// image without a class.
    pub fn new(dataset: Dataset) -> Result<Self> {
        let listed = dataset.classes().names().to_vec();
        let mut names = listed.clone();
        let mut places: BTreeMap<String, u32> = BTreeMap::new();
        let mut classes = Vec::with_capacity(dataset.len() as usize);
        for index in 0..dataset.len() {
            let item = dataset.item(index);
            let class = match (item.class_index, item.class_id) {
                (Some(class), _) if !listed.is_empty() => class,
                (_, Some(id)) => *places.entry(id.to_owned()).or_insert_with(|| {
                    names.push(id.to_owned());
                    names.len() as u32 - 1
                }),
                _ => return Err(TrainError::NoClass { image: item.id.into_owned() }),
            };
            classes.push(class);
        }
        if names.len() < 2 {
            return Err(TrainError::OneClass { name: names.into_iter().next().unwrap_or_default() });
        }
        // A name with an underscore is a file's, not a person's.
        let names = names.into_iter().map(|name| name.replace('_', " ")).collect();
        Ok(Self { dataset, names, classes, held: Vec::new() })
    }

    /// Reads images into memory in their order, as many as fit. Those that cannot be read are told of when they are needed.
    pub(crate) fn hold(&mut self) {
        let mut bytes = 0;
        for index in self.held.len()..self.len() {
            let image = self.dataset.read(index as u64).ok();
            bytes += image.as_ref().map_or(0, Vec::len);
            if bytes > HELD {
                tracing::warn!(
                    "{} of {} images are held in memory (4 GiB); the others are read again for each step",
                    self.held.len(),
                    self.len()
                );
                return;
            }
            self.held.push(image);
        }
    }

    /// The data set.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Names of the classes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    pub(crate) fn class(&self, image: usize) -> u32 {
        self.classes[image]
    }

    /// The images with the classes of others, by name. An error for a class that those do not have.
    pub fn with_classes_of(mut self, others: &Self) -> Result<Self> {
        let place = |name: &String| {
            let found = others.names.iter().position(|other| other == name);
            found.map(|place| place as u32).ok_or_else(|| TrainError::UnknownClass { name: name.clone() })
        };
        let places: Vec<u32> = self.names.iter().map(place).collect::<Result<_>>()?;
        self.classes.iter_mut().for_each(|class| *class = places[*class as usize]);
        self.names.clone_from(&others.names);
        Ok(self)
    }

    /// Pixels of an image; none if it cannot be read, which is logged.
    pub(crate) fn picture(&self, image: usize) -> Option<RgbImage8> {
        let read = || -> Result<RgbImage8> {
            let limits = DecodeLimits::default();
            match self.held.get(image) {
                Some(Some(bytes)) => Ok(decode_rgb(bytes, &limits)?),
                _ => Ok(decode_rgb(&self.dataset.read(image as u64)?, &limits)?),
            }
        };
        match read() {
            Ok(picture) => Some(picture),
            Err(error) => {
                let id = self.dataset.item(image as u64).id.into_owned();
                tracing::warn!("`{id}` is passed over: {error}");
                None
            }
        }
    }
}
