//! WebDataset tar shards.

use std::{
    borrow::Cow,
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::{Error, ErrorKind, Read},
    path::Path,
};

use crate::{
    dataset::{DatasetError, IdList, ImageClasses, RawClass, ReadError},
    sources::{
        ImageSource, Listing, SourceFormat,
        names::{IMAGE_ENDINGS, is_hidden, is_image},
        pattern,
        tally::Tally,
        within_limit,
    },
};

pub(super) static FORMAT: SourceFormat = SourceFormat {
    name: "webdataset",
    schemes: &[],
    recognises: |location| Ok(location.holds_shards("tar")),
    list: |settings| list(&settings.path),
    identity: |_settings| None,
};

/// Opened tar shards; images are positioned reads, so that many threads can read one shard.
#[derive(Default)]
struct TarShards {
    files: Vec<File>,
    ids: IdList,
    spans: Vec<Span>,
}

/// Where the bytes of an image are in a shard.
#[derive(Clone, Copy)]
struct Span {
    shard: u32,
    offset: u64,
    length: u64,
}

impl ImageSource for TarShards {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn id(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self.ids.get(index))
    }

    fn size(&self, index: usize) -> u64 {
        self.spans[index].length
    }

    fn read(&self, index: usize, limit: u64) -> Result<Vec<u8>, ReadError> {
        let Span { shard, offset, length } = self.spans[index];
        within_limit(length, limit)?;
        let mut bytes = vec![0; length as usize];
        read_at(&self.files[shard as usize], &mut bytes, offset)?;
        Ok(bytes)
    }

    fn duplicate_id(&self) -> Option<&str> {
        self.ids.duplicate()
    }

    fn keep(&mut self, places: &[usize]) {
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
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[read..];
        offset += read as u64;
    }
    Ok(())
}

/// Lists WebDataset shards by one pass over their headers. Members belong together when they share everything up to the
/// first dot of their base name; `.cls` holds the class. Ids are `shard.tar/key.jpg`.
fn list(path: &Path) -> Result<Listing, DatasetError> {
    let mut found = TarShards::default();
    let mut classes = ImageClasses::default();
    let mut unusual = Unusual::default();
    for path in pattern::shards(path, "tar")? {
        let file = fs_err::File::open(&path)?.into_parts().0;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut members = Members::default();
        members.read(&path, &file, &name, &mut unusual)?;
        members.choose(&name, &mut unusual);
        members.list(&name, &mut found, &mut classes);
        found.files.push(file);
    }
    Ok(Listing { images: Box::new(found), classes, class_names: None, warnings: unusual.warnings() })
}

/// Members that are unusual, and are warned of.
#[derive(Default)]
struct Unusual {
    /// Classes that are not UTF-8.
    classes_not_utf8: Tally,
    /// Images that another image of the same key is preferred to.
    passed_over: Tally,
    /// Images such as `000.seg.png` of keys without a plain image such as `000.png`.
    perhaps_masks: Tally,
}

impl Unusual {
    fn warnings(&self) -> Vec<String> {
        let all = [
            self.classes_not_utf8.warning("members `.cls` are not UTF-8, so that their images have no class"),
            self.passed_over.warning("images were skipped because another has the same key"),
            self.perhaps_masks.warning(
                "images are taken though their key has none that ends in one plain ending, as `key.jpg`: they may be masks",
            ),
        ];
        all.into_iter().flatten().collect()
    }
}

/// An image of a shard.
struct Image {
    name: String,
    /// Length of the key that the name begins with.
    key: usize,
    offset: u64,
    length: u64,
}

impl Image {
    fn key(&self) -> &str {
        &self.name[..self.key]
    }

    /// Its place among the images of its key, if all that is after the first dot is one ending: `000.jpg` is the image of a
    /// sample, `000.seg.png` something about it.
    fn rank(&self) -> Option<(usize, &str)> {
        let ending = self.name.get(self.key + 1..)?.to_lowercase();
        IMAGE_ENDINGS.iter().position(|known| *known == ending).map(|place| (place, self.name.as_str()))
    }
}

/// Members of one shard, in its order.
#[derive(Default)]
struct Members {
    images: Vec<Image>,
    /// Texts of `.cls` members, by their keys.
    classes: HashMap<String, String>,
}

impl Members {
    fn read(&mut self, path: &Path, file: &File, shard: &str, unusual: &mut Unusual) -> Result<(), DatasetError> {
        let damaged = |source: Error, images: usize, offset: u64| DatasetError::Shard {
            path: path.to_owned(),
            images,
            offset,
            source,
        };
        let mut offset = 0;
        let mut archive = tar::Archive::new(file);
        let end = fs_err::metadata(path)?.len();
        for member in archive.entries_with_seek().map_err(|source| damaged(source, 0, 0))? {
            let mut member = member.map_err(|source| damaged(source, self.images.len(), offset))?;
            let (start, length) = (member.raw_file_position(), member.size());
            offset = start + length;
            if offset > end {
                let source = Error::new(ErrorKind::UnexpectedEof, "the shard ends inside this member");
                return Err(damaged(source, self.images.len(), start));
            }
            if !member.header().entry_type().is_file() {
                continue;
            }
            let name = member.path().map_err(|source| damaged(source, self.images.len(), start))?;
            let name = name.to_string_lossy().into_owned();
            if is_below_hidden(&name) {
                continue;
            }
            if is_image(Path::new(&name)) {
                let key = key_of(&name).len();
                self.images.push(Image { name, key, offset: start, length });
            } else if Path::new(&name).extension().is_some_and(|ending| ending == "cls") {
                let mut text = Vec::new();
                member.read_to_end(&mut text).map_err(|source| damaged(source, self.images.len(), start))?;
                self.add_class(&name, text, shard, unusual);
            }
        }
        Ok(())
    }

    fn add_class(&mut self, name: &str, text: Vec<u8>, shard: &str, unusual: &mut Unusual) {
        let Ok(text) = String::from_utf8(text) else {
            unusual.classes_not_utf8.add(|| format!("`{shard}/{name}`"));
            return;
        };
        let (key, class) = (key_of(name).to_owned(), text.trim().to_owned());
        // `000.cls` is the class of a sample, whatever `000.seg.cls` says.
        if name.len() == key.len() + ".cls".len() {
            self.classes.insert(key, class);
        } else {
            self.classes.entry(key).or_insert(class);
        }
    }

    /// Leaves one image of each key, where one is the plain image of its key.
    fn choose(&mut self, shard: &str, unusual: &mut Unusual) {
        let mut chosen: HashMap<&str, (usize, &str)> = HashMap::new();
        for (image, rank) in self.images.iter().filter_map(|image| Some((image, image.rank()?))) {
            chosen.entry(image.key()).and_modify(|best| *best = rank.min(*best)).or_insert(rank);
        }
        let stays = |image: &Image| match chosen.get(image.key()) {
            // Two members of one name both stay, to be refused as one id that is there twice.
            Some((_, name)) => image.name == *name,
            None => true,
        };
        let stay: Vec<bool> = self.images.iter().map(stays).collect();
        for (image, stays) in self.images.iter().zip(&stay) {
            match (image.rank(), stays) {
                (Some(_), false) => unusual.passed_over.add(|| format!("`{shard}/{}`", image.name)),
                (None, true) => unusual.perhaps_masks.add(|| format!("`{shard}/{}`", image.name)),
                _ => {}
            }
        }
        let mut stay = stay.into_iter();
        self.images.retain(|_image| stay.next().unwrap_or(true));
    }

    fn list(self, shard: &str, found: &mut TarShards, classes: &mut ImageClasses) {
        for image in self.images {
            // WebDataset writes class numbers; text is taken as the class itself.
            classes.push(self.classes.get(image.key()).map_or(RawClass::None, |text| RawClass::numbered(text)));
            found.ids.push(&format!("{shard}/{}", image.name));
            let shard = found.files.len() as u32;
            found.spans.push(Span { shard, offset: image.offset, length: image.length });
        }
    }
}

/// Whether a part of a member's name is hidden; macOS puts `._000.jpg` beside each file.
fn is_below_hidden(name: &str) -> bool {
    name.split('/').any(|part| !matches!(part, "." | "..") && is_hidden(OsStr::new(part)))
}

/// `a/b.c.jpg` belongs to `a/b`.
fn key_of(name: &str) -> &str {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    name[base..].find('.').map_or(name, |dot| &name[..base + dot])
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
    fn hidden_parts_are_not_those_of_the_path_itself() {
        assert!([".a/b.jpg", "a/.b.jpg", "./._b.jpg"].into_iter().all(is_below_hidden));
        assert!(!["./a/b.jpg", "../a.jpg", "a.b/c.jpg"].into_iter().any(is_below_hidden));
    }
}
