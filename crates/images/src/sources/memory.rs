//! Images that the calling program has in memory, or that it fetches itself: a notebook's pictures, a `datasets.Dataset`.
//!
//! The program hands them over under a name, and the path `memory://NAME` means them until it takes them back. So everything that
//! reads a data set reads these, and no image is written to a disk first.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{ImageSource, Listing, SourceFormat, within_limit};
use crate::dataset::{DatasetError, DatasetSettings, IdList, ImageClasses, RawClass, ReadError};

/// Scheme of the addresses of such images.
const SCHEME: &str = "memory";

pub(super) static FORMAT: SourceFormat =
    SourceFormat { name: "memory", schemes: &[SCHEME], recognises: |_location, _settings| Ok(false), list };

/// Images of the calling program.
pub trait HandedImages: Send + Sync {
    /// Ids and classes of the images, in order.
    fn items(&self) -> Vec<(String, Option<String>)>;

    /// What tells these images from others with the same ids, for the fingerprint.
    fn identity(&self) -> String;

    /// Bytes of one image, in any format that files may have. Many threads call it at once. An error is told with the image.
    fn read(&self, index: usize) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;
}

type Handed = BTreeMap<String, Arc<dyn HandedImages>>;

/// What was handed over and not taken back, by name.
static HANDED: Mutex<Handed> = Mutex::new(Handed::new());

fn handed() -> MutexGuard<'static, Handed> {
    HANDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets `memory://NAME` mean these images, in place of those that it meant before.
pub fn hand_over(name: &str, images: Arc<dyn HandedImages>) {
    handed().insert(name.to_owned(), images);
}

/// Forgets the images of a name.
pub fn take_back(name: &str) {
    handed().remove(name);
}

fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let name = name(&settings.path);
    let images = handed().get(name).cloned();
    let images = images.ok_or_else(|| DatasetError::NotHandedOver { path: settings.path.clone() })?;
    let (mut ids, mut classes) = (IdList::default(), ImageClasses::default());
    for (id, class) in images.items() {
        ids.push(&id);
        classes.push(RawClass::named(class.as_deref()));
    }
    let identity = Some(images.identity());
    let places = (0..ids.len()).collect();
    Ok(Listing { identity, ..Listing::new(Box::new(Images { handed: images, ids, places }), classes) })
}

fn name(path: &Path) -> &str {
    path.to_str().and_then(|path| path.strip_prefix(SCHEME)?.strip_prefix("://")).unwrap_or_default()
}

struct Images {
    handed: Arc<dyn HandedImages>,
    ids: IdList,
    /// Where the program has each.
    places: Vec<usize>,
}

impl ImageSource for Images {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self.ids.get(index))
    }

    fn size(&self, _index: usize) -> u64 {
        0
    }

    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let bytes = self.handed.read(self.places[index]).map_err(|source| ReadError::Program { source })?;
        within_limit(bytes.len() as u64, limit)?;
        Ok(bytes)
    }

    fn duplicate_id(&self) -> Option<&str> {
        self.ids.duplicate()
    }

    fn keep(&mut self, places: &[usize]) {
        self.ids.keep(places);
        self.places = places.iter().map(|place| self.places[*place]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    struct Letters(&'static str);

    impl HandedImages for Letters {
        fn items(&self) -> Vec<(String, Option<String>)> {
            let class = |letter: char| letter.is_uppercase().then(|| "capital".to_owned());
            self.0.chars().map(|letter| (letter.to_string(), class(letter))).collect()
        }

        fn identity(&self) -> String {
            self.0.len().to_string()
        }

        fn read(&self, index: usize) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
            self.0.get(index..=index).map(|letter| letter.into()).ok_or_else(|| "no such letter".into())
        }
    }

    fn settings(path: &str) -> DatasetSettings {
        DatasetSettings { path: path.into(), ..DatasetSettings::default() }
    }

    #[test]
    fn what_is_handed_over_is_read_by_its_address_until_it_is_taken_back() -> Result<(), DatasetError> {
        hand_over("letters", Arc::new(Letters("aBc")));
        let dataset = Dataset::open(&settings("memory://letters"))?;
        assert_eq!((dataset.len(), dataset.item(1).id.as_ref(), dataset.item(1).class_id), (3, "B", Some("capital")));
        assert!(dataset.read(2).is_ok_and(|bytes| bytes == b"c"));
        let few = Dataset::open(&DatasetSettings { limit: Some(2), ..settings("memory://letters") })?;
        assert_eq!(few.len(), 2);
        take_back("letters");
        let gone = Dataset::open(&settings("memory://letters"));
        assert!(matches!(gone, Err(DatasetError::NotHandedOver { .. })));
        // What was opened before stays readable.
        assert!(dataset.read(0).is_ok());
        Ok(())
    }

    #[test]
    fn a_repeated_id_is_refused() {
        hand_over("repeated", Arc::new(Letters("aba")));
        let found = Dataset::open(&settings("memory://repeated"));
        assert!(matches!(found, Err(DatasetError::Duplicate { id, .. }) if id == "a"));
        take_back("repeated");
    }

    #[test]
    fn other_images_of_the_same_ids_are_another_data_set() -> Result<(), DatasetError> {
        struct Other;
        impl HandedImages for Other {
            fn items(&self) -> Vec<(String, Option<String>)> {
                Letters("ab").items()
            }
            fn identity(&self) -> String {
                "other".to_owned()
            }
            fn read(&self, index: usize) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
                Letters("ab").read(index)
            }
        }
        hand_over("one", Arc::new(Letters("ab")));
        hand_over("other", Arc::new(Other));
        let (one, other) = (Dataset::open(&settings("memory://one"))?, Dataset::open(&settings("memory://other"))?);
        assert_ne!(one.fingerprint(), other.fingerprint());
        take_back("one");
        take_back("other");
        Ok(())
    }
}
