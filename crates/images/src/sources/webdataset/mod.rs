//! WebDataset tar shards.

mod headers;
mod index;
mod input;
mod members;
mod pax;
mod sparse;
mod stored;

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use headspan_store::{Blob, is_address};

use self::{
    index::{ASKED, Listed},
    input::Coding,
    members::{Place, Unusual},
    stored::{Layout, Span, TarCursor},
};
use crate::{
    dataset::{DatasetError, DatasetSettings, IdList, ImageClasses, RawClass, ReadError},
    sources::{ImageSource, Listing, SourceFormat, forward::Forward, pattern, within_limit},
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "webdataset",
    schemes: &[],
    recognises: |location, _settings| Ok(location.holds_shards("tar")),
    list,
};

/// Shards that are kept open: a data set may have more than a process may open.
const OPEN_SHARDS: usize = 64;

/// Tar shards. Images of a shard that is not compressed are positioned reads, so that many threads can read it; the others
/// are read forwards.
struct TarShards {
    ids: IdList,
    layout: Arc<Layout>,
    /// Open shards that are not compressed; those that were used last are last.
    open: Mutex<Vec<(u32, Blob)>>,
    forward: Forward<TarCursor>,
}

impl ImageSource for TarShards {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self.ids.get(index))
    }

    fn size(&self, index: usize) -> u64 {
        self.layout.spans[index].length
    }

    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let span = self.layout.spans[index];
        within_limit(span.length, limit)?;
        if self.layout.shards[span.shard as usize].coding == Coding::Plain {
            let shard = self.shard(span.shard)?;
            return Ok(self.layout.read_at(index, &shard)?);
        }
        self.forward.read((span.shard as usize, 0), index, || TarCursor::open(&self.layout, index, limit))
    }

    fn duplicate_id(&self) -> Option<&str> {
        self.ids.duplicate()
    }

    fn keep(&mut self, places: &[usize]) {
        self.ids.keep(places);
        self.layout = Arc::new(self.layout.kept(places));
        self.forward = Forward::default();
    }
}

impl TarShards {
    /// A shard, opened again if it is not among those that were used last.
    fn shard(&self, shard: u32) -> Result<Blob, ReadError> {
        let mut open_shards = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open_shards.iter().position(|(number, _blob)| *number == shard) {
            // The last is the one that is used most.
            if place + 1 < open_shards.len() {
                let used = open_shards.remove(place);
                open_shards.push(used);
            }
            return open_shards.last().map(|(_number, blob)| blob.clone()).ok_or(ReadError::NoBytes);
        }
        let blob = self.layout.shards[shard as usize].open()?;
        if open_shards.len() >= OPEN_SHARDS {
            open_shards.remove(0);
        }
        open_shards.push((shard, blob.clone()));
        Ok(blob)
    }
}

/// Lists WebDataset shards by one pass over their headers. Members belong together when they share everything up to the
/// first dot of their base name; `.cls` holds the class. Ids are `shard.tar/key.jpg`. A damaged shard is listed as far as it
/// can be read.
fn list(settings: &DatasetSettings) -> Result<Listing, DatasetError> {
    let mut found = Found::default();
    let mut unusual = Unusual::default();
    let shards = pattern::shards(&settings.path, "tar")?;
    let mut all_read = true;
    // Where few images are wanted, no shard is read for nothing.
    let at_once = if is_address(&settings.path) && settings.wanted().is_none() { ASKED } else { 1 };
    for paths in shards.paths.chunks(at_once) {
        if settings.enough(found.ids.len()) {
            all_read = false;
            break;
        }
        for listed in index::list(paths, &mut unusual)? {
            found.add(listed);
        }
    }
    let mut warnings = unusual.warnings();
    warnings.extend(shards.passed_over.warnings("shards"));
    let Found { ids, layout, classes } = found;
    let images =
        TarShards { ids, layout: Arc::new(layout), open: Mutex::default(), forward: Forward::default() };
    Ok(Listing { damage: unusual.damage(), warnings, all_read, ..Listing::new(Box::new(images), classes) })
}

/// Images of the shards so far.
#[derive(Default)]
struct Found {
    ids: IdList,
    layout: Layout,
    classes: ImageClasses,
}

impl Found {
    fn add(&mut self, listed: Listed) {
        let (Listed { shard: own, name, members }, shard) = (listed, self.layout.shards.len() as u32);
        for image in members.images {
            // Links have been followed.
            let Place::Stored { offset, length, pieces } = &image.place else { continue };
            // WebDataset writes class numbers; text is taken as the class itself.
            self.classes.push(members.classes.get(image.key()).map_or(RawClass::None, |text| RawClass::numbered(text)));
            self.ids.push(&format!("{name}/{}", image.name));
            if let Some(pieces) = pieces {
                self.layout.pieces.insert(self.layout.spans.len(), Arc::clone(pieces));
            }
            self.layout.spans.push(Span { shard, offset: *offset, length: *length });
        }
        self.layout.shards.push(own);
    }
}
