use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::dataset::{
    Listing,
    error::{DatasetError, ReadError},
    folder::is_image,
    listing::{ClassOf, Classes, Texts},
    source::Source,
};

/// Opened tar shards; images are positioned reads, so that many threads can read one shard.
#[derive(Default)]
pub(crate) struct Shards {
    files: Vec<File>,
    ids: Texts,
    spans: Vec<Span>,
}

/// Where the bytes of an image are in a shard.
#[derive(Clone, Copy)]
struct Span {
    shard: u32,
    offset: u64,
    length: u64,
}

impl Shards {
    pub(super) fn ids(&self) -> &Texts {
        &self.ids
    }

    pub(super) fn bytes(&self, index: usize) -> u64 {
        self.spans[index].length
    }

    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>, ReadError> {
        let Span { shard, offset, length } = self.spans[index];
        let mut bytes = vec![0; length as usize];
        read_at(&self.files[shard as usize], &mut bytes, offset)?;
        Ok(bytes)
    }

    pub(super) fn keep(&mut self, places: &[usize]) {
        self.ids.keep(places);
        self.spans = places.iter().map(|place| self.spans[*place]).collect();
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, offset)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

/// Lists WebDataset shards by one pass over their headers. Members belong together when they share everything up to the
/// first dot of their base name; `.cls` holds the class. Ids are `shard.tar/key.jpg`.
pub(super) fn list(path: &Path) -> Result<Listing, DatasetError> {
    let mut found = Shards::default();
    let mut classes = Classes::default();
    for shard in shards(path)? {
        let file = fs_err::File::open(&shard)?.into_parts().0;
        list_shard(&shard, &file, &mut found, &mut classes)?;
        found.files.push(file);
    }
    Ok(Listing { source: Source::Tar(found), classes, names: None })
}

fn list_shard(path: &Path, file: &File, found: &mut Shards, classes: &mut Classes) -> Result<(), DatasetError> {
    let (first, shard) = (found.spans.len(), found.files.len() as u32);
    let mut offset = 0;
    let damaged = |source: std::io::Error, images: usize, offset: u64| DatasetError::Shard {
        path: path.to_owned(),
        images,
        offset,
        source,
    };
    let shard_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut of_keys: BTreeMap<String, String> = BTreeMap::new();
    let mut keys: Vec<String> = Vec::new();
    let mut archive = tar::Archive::new(file);
    let end = fs_err::metadata(path)?.len();
    for member in archive.entries_with_seek().map_err(|source| damaged(source, 0, 0))? {
        let mut member = member.map_err(|source| damaged(source, found.spans.len() - first, offset))?;
        let (start, length) = (member.raw_file_position(), member.size());
        offset = start + length;
        if offset > end {
            let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the shard ends inside this member");
            return Err(damaged(source, found.spans.len() - first, start));
        }
        if !member.header().entry_type().is_file() {
            continue;
        }
        let name = member.path().map_err(|source| damaged(source, found.spans.len() - first, start))?;
        let name = name.to_string_lossy().into_owned();
        let key = key_of(&name).to_owned();
        if is_image(Path::new(&name)) {
            keys.push(key);
            found.ids.push(&format!("{shard_name}/{name}"));
            found.spans.push(Span { shard, offset: start, length });
        } else if Path::new(&name).extension().is_some_and(|ending| ending == "cls") {
            let mut class = String::new();
            member.read_to_string(&mut class).map_err(|source| damaged(source, found.spans.len() - first, start))?;
            of_keys.insert(key, class.trim().to_owned());
        }
    }
    for key in keys {
        // WebDataset writes class numbers; text is taken as the class itself.
        classes.push(match of_keys.get(&key) {
            None => ClassOf::None,
            Some(class) => class.parse().map_or_else(|_text| ClassOf::Name(class.clone()), ClassOf::Number),
        });
    }
    Ok(())
}

/// `a/b.c.jpg` belongs to `a/b`.
fn key_of(name: &str) -> &str {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    name[base..].find('.').map_or(name, |dot| &name[..base + dot])
}

/// One shard, all shards of a folder, or a pattern such as `train-{000..009}.tar`.
fn shards(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let text = path.to_string_lossy();
    if let Some((before, range, after)) = braces(&text) {
        return Ok(range.into_iter().map(|number| PathBuf::from(format!("{before}{number}{after}"))).collect());
    }
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs_err::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Numbers of `{000..009}`, with leading zeros kept.
fn braces(text: &str) -> Option<(&str, Vec<String>, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    let (from, to) = range.split_once("..")?;
    let width = from.len();
    let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
    Some((before, (from..=to).map(|number| format!("{number:0width$}")).collect(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot_of_the_base_name() {
        assert_eq!(key_of("a.b/c.d.jpg"), "a.b/c");
        assert_eq!(key_of("0001.cls"), "0001");
    }

    #[test]
    fn braces_keep_leading_zeros() {
        let (before, numbers, after) = braces("x/shard-{008..010}.tar").unwrap_or_default();
        assert_eq!((before, after), ("x/shard-", ".tar"));
        assert_eq!(numbers, ["008", "009", "010"]);
    }
}
