use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headspan_images::RgbImage8;
use lru::LruCache;

type Kept = LruCache<String, Arc<RgbImage8>>;

/// Images that were handed in, by the hash of their files, for as long as the server runs or until newer ones need the room.
pub(super) struct Uploads {
    kept: Mutex<Kept>,
    bytes: usize,
}

impl Uploads {
    pub(super) fn new(bytes: usize) -> Self {
        Self { kept: Mutex::new(LruCache::unbounded()), bytes }
    }

    /// Keeps an image and returns its name.
    pub(super) fn keep(&self, file: &[u8], image: RgbImage8) -> String {
        let name = blake3::hash(file).to_hex()[..24].to_owned();
        let mut kept = self.kept();
        kept.put(name.clone(), Arc::new(image));
        while kept.iter().map(|(_, image)| image.data.len()).sum::<usize>() > self.bytes && kept.len() > 1 {
            kept.pop_lru();
        }
        name
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<RgbImage8>> {
        // A page that is looked at must not keep an image longer than newer ones: the limit is one of age.
        self.kept().peek(name).map(Arc::clone)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_room_is_short() {
        let uploads = Uploads::new(250);
        let image = || RgbImage8 { width: 10, height: 3, data: vec![0; 90] };
        let names: Vec<String> = [b"a", b"b", b"c"].iter().map(|file| uploads.keep(*file, image())).collect();
        assert!(uploads.find(&names[0]).is_none() && uploads.find(&names[1]).is_some());
        assert_eq!(uploads.keep(b"c", image()), names[2], "the same file has the same name");
        assert!(uploads.find(&names[1]).is_some(), "and is kept once");
    }
}
