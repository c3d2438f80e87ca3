//! Images of streams that can only be read forwards: row groups of Parquet, and compressed tars.
//!
//! Many threads ask for images, roughly in order. A cursor goes through a stream once for all of them: what it passes on the way
//! to an image is held until another thread asks for it. Memory is that of a few cursors and of [`HELD_BYTES`].

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::dataset::ReadError;

/// Bytes of images that are held for threads that have not asked for them yet.
const HELD_BYTES: usize = 128 << 20;
/// Cursors that are kept. More than one, because a run looks at its first images twice, and because a question about one image
/// must not send an extraction back to the start of a stream.
const CURSORS: usize = 4;
/// Images that a cursor passes on the way to another. Beyond it a new cursor skips them, which is cheaper.
const MOST_PASSED: usize = 1024;

/// Number of a stream: of a shard, and of the part of it that is a stream of its own.
pub(super) type Stream = (usize, usize);

/// A place in a stream, from which its images are read one after the other.
pub(super) trait Cursor: Send {
    /// What is read of one image.
    type Image: Held;

    /// The stream.
    fn stream(&self) -> Stream;

    /// Index of the image that comes next.
    fn next(&self) -> usize;

    /// Reads the next image. An error concerns this image; if the cursor is not `usable` after it, those after it too.
    fn take(&mut self) -> Result<Self::Image, ReadError>;

    /// Whether further images can be read.
    fn usable(&self) -> bool;
}

/// What is held of an image.
pub(super) trait Held: Send {
    /// Its size in memory.
    fn bytes(&self) -> usize;
}

impl Held for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// Images of streams, for many threads.
pub(super) struct Forward<C: Cursor> {
    state: Mutex<State<C>>,
}

struct State<C: Cursor> {
    /// Those that were used last are last.
    cursors: Vec<C>,
    held: Images<C::Image>,
}

struct Images<I> {
    by_index: HashMap<usize, Result<I, ReadError>>,
    /// Indices in the order in which they came; those that were asked for may still be there.
    order: VecDeque<usize>,
    bytes: usize,
}

impl<C: Cursor> Default for Forward<C> {
    fn default() -> Self {
        let held = Images { by_index: HashMap::new(), order: VecDeque::new(), bytes: 0 };
        Self { state: Mutex::new(State { cursors: Vec::new(), held }) }
    }
}

impl<C: Cursor> Forward<C> {
    /// The image at `index` of a stream. `open` gives a cursor whose next image is this one.
    pub(super) fn read(
        &self,
        stream: Stream,
        index: usize,
        open: impl Fn() -> Result<C, ReadError>,
    ) -> Result<C::Image, ReadError> {
        let mut state = self.lock();
        if let Some(held) = state.held.remove(index) {
            return held;
        }
        let mut cursor = match state.nearest(stream, index) {
            Some(place) => state.cursors.remove(place),
            None => open()?,
        };
        while cursor.next() < index {
            let passed = cursor.next();
            let image = cursor.take();
            state.held.push(passed, image);
            if !cursor.usable() {
                cursor = open()?;
            }
        }
        let image = cursor.take();
        if cursor.usable() {
            state.keep(cursor);
        }
        image
    }

    /// A thread that panicked has taken its cursor along; what is left is whole.
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Cursor> State<C> {
    /// The cursor that is nearest before an image.
    fn nearest(&self, stream: Stream, index: usize) -> Option<usize> {
        let before = |cursor: &C| cursor.stream() == stream && cursor.next() <= index;
        let near = |cursor: &C| before(cursor) && index - cursor.next() <= MOST_PASSED;
        let near = self.cursors.iter().enumerate().filter(|(_place, cursor)| near(cursor));
        near.max_by_key(|(_place, cursor)| cursor.next()).map(|(place, _cursor)| place)
    }

    fn keep(&mut self, cursor: C) {
        if self.cursors.len() >= CURSORS {
            self.cursors.remove(0);
        }
        self.cursors.push(cursor);
    }
}

impl<I: Held> Images<I> {
    fn push(&mut self, index: usize, image: Result<I, ReadError>) {
        self.bytes += size(&image);
        if let Some(before) = self.by_index.insert(index, image) {
            self.bytes -= size(&before);
        }
        self.order.push_back(index);
        // The number is bounded too, for the sake of errors and of empty images.
        while self.bytes > HELD_BYTES || self.order.len() > 4 * MOST_PASSED {
            let Some(oldest) = self.order.pop_front() else { return };
            self.drop_held(oldest);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Result<I, ReadError>> {
        let image = self.by_index.remove(&index)?;
        self.bytes -= size(&image);
        Some(image)
    }

    fn drop_held(&mut self, index: usize) {
        drop(self.remove(index));
    }
}

fn size<I: Held>(image: &Result<I, ReadError>) -> usize {
    image.as_ref().map_or(0, Held::bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A stream whose image `i` is `length` bytes of `i`, and which breaks at one.
    struct Numbers<'a> {
        next: usize,
        end: usize,
        length: usize,
        broken_at: usize,
        taken: &'a AtomicUsize,
    }

    impl Cursor for Numbers<'_> {
        type Image = Vec<u8>;

        fn stream(&self) -> Stream {
            (0, 0)
        }

        fn next(&self) -> usize {
            self.next
        }

        fn take(&mut self) -> Result<Vec<u8>, ReadError> {
            self.taken.fetch_add(1, Ordering::Relaxed);
            let index = self.next;
            self.next += 1;
            if index == self.broken_at { Err(ReadError::NoBytes) } else { Ok(vec![index as u8; self.length]) }
        }

        fn usable(&self) -> bool {
            self.next < self.end && self.next != self.broken_at + 1
        }
    }

    fn read_all(order: impl IntoIterator<Item = usize>, length: usize, broken_at: usize) -> usize {
        let taken = AtomicUsize::new(0);
        let forward = Forward::default();
        for index in order {
            let open = || Ok(Numbers { next: index, end: 64, length, broken_at, taken: &taken });
            let image = forward.read((0, 0), index, open);
            if index == broken_at {
                assert!(matches!(image, Err(ReadError::NoBytes)));
            } else {
                assert!(image.is_ok_and(|image| image == vec![index as u8; length]), "{index}");
            }
        }
        let state = forward.lock();
        assert!(state.held.bytes <= HELD_BYTES && state.cursors.len() <= CURSORS);
        taken.load(Ordering::Relaxed)
    }

    #[test]
    fn each_image_is_read_once_in_whatever_order_a_batch_asks() {
        assert_eq!(read_all(0..64, 3, 99), 64);
        assert_eq!(read_all((0..32).flat_map(|at| [at, at + 32]), 3, 99), 64);
        assert_eq!(read_all((0..64).rev(), 3, 99), 64);
    }

    #[test]
    fn more_than_may_be_held_is_read_again() {
        // 64 images of 8 MiB: 16 are held.
        let taken = read_all((0..32).flat_map(|at| [at, at + 32]), 8 << 20, 99);
        assert!((64..=128).contains(&taken), "{taken}");
    }

    #[test]
    fn a_break_concerns_the_images_that_it_concerns() {
        assert_eq!(read_all(0..64, 3, 10), 64);
        assert_eq!(read_all([5, 63], 3, 10), 1 + 5 + 1, "up to the break, and behind it");
        assert_eq!(read_all([20, 5, 63], 3, 99), 1 + 1 + 43, "the nearest cursor goes on");
    }

    /// Any order that asks for each image once gives each its own bytes.
    #[test]
    fn any_order_gives_the_same_images() {
        use proptest::prelude::*;
        proptest!(|(order in Just((0..64_usize).collect::<Vec<_>>()).prop_shuffle())| {
            read_all(order, 3, 99);
        });
    }
}
