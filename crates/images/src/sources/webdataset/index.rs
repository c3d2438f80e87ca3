//! What the shards hold. That of a remote shard is kept on disk, by its address and version: to list a tar is to read all of it, and
//! the processes of a job array, a resumed run and `status` need the same list.

use std::{
    collections::HashMap,
    io::{Error, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use headspan_store::{Blob, Kind, Metadata, at_once, is_address, metadata_of};
use serde::{Deserialize, Serialize};

use super::{
    headers::Headers,
    input::{Coding, Input, coding_of},
    members::{Image, Members, Place, Unusual},
    sparse::Piece,
    stored::Shard,
};
use crate::{dataset::DatasetError, sources::open::open};

/// Name of the list among what is kept of a shard. Another reading of tars needs another name.
const NOTE: &str = "tar-1";
/// Remote shards that are read at once. Each is read forwards, so that several fill the way to the store.
const AT_ONCE: usize = 8;
/// Remote shards that are asked about at once.
pub(super) const ASKED: usize = 64;

/// A shard, and the images that it holds.
pub(super) struct Listed {
    pub(super) shard: Shard,
    pub(super) name: String,
    pub(super) members: Members,
}

/// What is kept of a remote shard.
#[derive(Serialize, Deserialize)]
struct Note {
    coding: Coding,
    images: Vec<Stored>,
    classes: HashMap<String, String>,
    unusual: Unusual,
}

/// An image in a note.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    key: usize,
    offset: u64,
    length: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pieces: Option<Vec<Piece>>,
}

/// Lists shards in their order.
pub(super) fn list(paths: &[PathBuf], unusual: &mut Unusual) -> Result<Vec<Listed>, DatasetError> {
    if !paths.iter().any(|path| is_address(path)) {
        return paths.iter().map(|path| read(path, &open(path)?, unusual)).collect();
    }
    let known: Vec<Metadata> = metadata_of(paths)?.into_iter().collect::<Result<_, _>>()?;
    let shards: Vec<(&PathBuf, Metadata)> = paths.iter().zip(known).collect();
    let found = at_once(&shards, AT_ONCE, |(path, known)| remote(path, known))?;
    let join = |(listed, own)| {
        unusual.join(own);
        listed
    };
    Ok(found.into_iter().map(join).collect())
}

/// Lists a shard by one pass over its headers.
fn read(path: &Path, blob: &Blob, unusual: &mut Unusual) -> Result<Listed, DatasetError> {
    let coding = coding_of(path, blob)?;
    let mut headers = Headers::new(Input::new(blob, coding)?);
    let (mut members, name) = (Members::default(), name_of(path));
    members.read(&mut headers, &name, unusual).map_err(Error::from)?;
    members.choose(&name, unusual);
    let shard = Shard { path: path.to_owned(), coding, known: blob.remote_metadata() };
    Ok(Listed { shard, name, members })
}

/// Lists a remote shard, from what is kept of it if it was listed before.
fn remote(path: &Path, known: &Metadata) -> Result<(Listed, Unusual), DatasetError> {
    if known.kind != Kind::File {
        let message = format!("`{}` is a folder, not a file", path.display());
        return Err(Error::new(ErrorKind::InvalidInput, message).into());
    }
    let blob = Blob::known(path, known)?;
    if let Some(note) = blob.note(NOTE).and_then(|kept| serde_json::from_slice(&zstd::decode_all(&*kept).ok()?).ok()) {
        let Note { coding, images, classes, unusual } = note;
        let images = images.into_iter().map(Image::from).collect();
        let shard = Shard { path: path.to_owned(), coding, known: Some(known.clone()) };
        return Ok((Listed { shard, name: name_of(path), members: Members::of(images, classes) }, unusual));
    }
    let mut unusual = Unusual::default();
    let listed = read(path, &blob, &mut unusual)?;
    let images = listed.members.images.iter().filter_map(Stored::of).collect();
    let note = Note { coding: listed.shard.coding, images, classes: listed.members.classes.clone(), unusual };
    // Without it the shard is listed again.
    if let Some(bytes) = serde_json::to_vec(&note).ok().and_then(|json| zstd::encode_all(&*json, 3).ok()) {
        blob.keep_note(NOTE, &bytes);
    }
    Ok((listed, note.unusual))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Stored {
    fn of(image: &Image) -> Option<Self> {
        // Links have been followed.
        let Place::Stored { offset, length, pieces } = &image.place else { return None };
        let pieces = pieces.as_ref().map(|pieces| pieces.to_vec());
        Some(Self { name: image.name.clone(), key: image.key, offset: *offset, length: *length, pieces })
    }
}

impl From<Stored> for Image {
    fn from(stored: Stored) -> Self {
        let Stored { name, key, offset, length, pieces } = stored;
        Self { name, key, place: Place::Stored { offset, length, pieces: pieces.map(Arc::from) } }
    }
}
