//! Which members of a shard are images, and of which class.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::Path,
    sync::Arc,
};

use headspan_store::StoreError;
use serde::{Deserialize, Serialize};

use super::{
    headers::{Damage, End, Headers, Kind},
    sparse::{self, Piece},
};
use crate::{
    decoding::formats::{IMAGE_ENDINGS, foreign_image_ending},
    sources::{
        names::{ending, is_hidden, is_image, spelled},
        passed_over::PassedOver,
        tally::Tally,
    },
};

/// Most bytes of a class.
const MOST_CLASS: u64 = 1 << 16;
/// Links that lead to links are followed so far; links in a circle lead nowhere.
const MOST_LINKS: usize = 8;

/// Members that are unusual, and are warned of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unusual {
    /// Shards that end before their end.
    damaged: Tally,
    /// Members that a later one of the same name replaces.
    repeated: Tally,
    /// Links to what is not there.
    lost_links: Tally,
    /// Sparse members whose map fits neither file nor shard.
    wrong_maps: Tally,
    /// Classes that are not UTF-8.
    classes_not_utf8: Tally,
    /// Classes that are too long for one.
    long_classes: Tally,
    /// Images that another image of the same key is preferred to.
    passed_over: Tally,
    /// Images such as `000.seg.png` of keys without a plain image such as `000.png`.
    perhaps_masks: Tally,
    /// Shards that may be cut between two members.
    unmarked: Tally,
    /// Shards with bytes behind their end.
    bytes_behind: Tally,
    /// Images of formats that are not supported.
    foreign: PassedOver,
}

impl Unusual {
    /// Adds what was unusual about shards behind these.
    pub(super) fn join(&mut self, other: Self) {
        let Self {
            damaged,
            repeated,
            lost_links,
            wrong_maps,
            classes_not_utf8,
            long_classes,
            passed_over,
            perhaps_masks,
            unmarked,
            bytes_behind,
            foreign,
        } = other;
        self.damaged.join(damaged);
        self.repeated.join(repeated);
        self.lost_links.join(lost_links);
        self.wrong_maps.join(wrong_maps);
        self.classes_not_utf8.join(classes_not_utf8);
        self.long_classes.join(long_classes);
        self.passed_over.join(passed_over);
        self.perhaps_masks.join(perhaps_masks);
        self.unmarked.join(unmarked);
        self.bytes_behind.join(bytes_behind);
        self.foreign.join(foreign);
    }

    /// What of the shards is lost.
    pub(super) fn damage(&self) -> Vec<String> {
        let all = [
            self.damaged.warning("shards are damaged, and what follows the damage was not read"),
            self.repeated.warning("members were skipped because a later member has the same name"),
            self.lost_links.warning("links were skipped because they lead to no image of their shard"),
            self.wrong_maps.warning("sparse members were skipped because their maps are wrong"),
        ];
        all.into_iter().flatten().collect()
    }

    /// What else is unusual.
    pub(super) fn warnings(&self) -> Vec<String> {
        let all = [
            self.classes_not_utf8.warning("members `.cls` are not UTF-8, so that their images have no class"),
            self.long_classes.warning("members `.cls` are too long for a class, so that their images have none"),
            self.passed_over.warning("images were skipped because another has the same key"),
            self.perhaps_masks.warning(
                "images are taken though their key has none that ends in one plain ending, as `key.jpg`: they may be masks",
            ),
            self.unmarked.warning("shards end without the mark that tar writes at the end, so that they may be cut"),
            self.bytes_behind.warning("shards have bytes behind the mark of their end, which were not read"),
        ];
        all.into_iter().flatten().chain(self.foreign.warnings("images")).collect()
    }
}

/// An image of a shard.
pub(super) struct Image {
    pub(super) name: String,
    /// Length of the key that the name begins with.
    pub(super) key: usize,
    pub(super) place: Place,
}

/// Where the bytes of an image are. Any number of links share the place that they lead to.
#[derive(Clone)]
pub(super) enum Place {
    /// In the shard.
    Stored { offset: u64, length: u64, pieces: Option<Arc<[Piece]>> },
    /// Where those of the member of this name are.
    Link(Arc<str>),
}

impl Image {
    pub(super) fn key(&self) -> &str {
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
pub(super) struct Members {
    pub(super) images: Vec<Image>,
    /// Texts of `.cls` members, by their keys.
    pub(super) classes: HashMap<String, String>,
    /// Names that are not UTF-8, by their readable spellings.
    not_utf8: HashMap<String, Vec<u8>>,
}

impl Members {
    /// The members of a shard that was read before.
    pub(super) fn of(images: Vec<Image>, classes: HashMap<String, String>) -> Self {
        Self { images, classes, not_utf8: HashMap::new() }
    }

    /// Reads a shard as far as it can be read. An error is one of its store.
    pub(super) fn read(
        &mut self,
        headers: &mut Headers,
        shard: &str,
        unusual: &mut Unusual,
    ) -> Result<(), StoreError> {
        if let Err(damage) = self.read_members(headers, shard, unusual) {
            let Damage { offset, what, of_store } = damage;
            if let Some(error) = of_store {
                return Err(error);
            }
            unusual.damaged.add(|| format!("`{shard}`, after {} images, at byte {offset}: {what}", self.images.len()));
            return Ok(());
        }
        match headers.end() {
            End::Marked => {}
            End::Unmarked => unusual.unmarked.add(|| format!("`{shard}`")),
            End::BytesBehind => unusual.bytes_behind.add(|| format!("`{shard}`")),
        }
        Ok(())
    }

    fn read_members(&mut self, headers: &mut Headers, shard: &str, unusual: &mut Unusual) -> Result<(), Damage> {
        while let Some(member) = headers.next()? {
            if member.kind == Kind::Other {
                continue;
            }
            let name = self.readable(&member.name);
            if is_below_hidden(&name) {
                continue;
            }
            if is_image(Path::new(&name)) {
                let (offset, length) = (member.offset, member.length);
                if member.pieces.as_ref().is_some_and(|pieces| !sparse::fits(pieces, length, member.stored)) {
                    unusual.wrong_maps.add(|| format!("`{shard}/{name}`"));
                    continue;
                }
                // A member is an image of the data set only if it is whole.
                headers.pass()?;
                let place = match member.kind {
                    Kind::HardLink(target) => Place::Link(plain(&self.readable(&target)).into()),
                    Kind::SymbolicLink(target) => Place::Link(beside(&name, &self.readable(&target)).into()),
                    Kind::File | Kind::Other => Place::Stored { offset, length, pieces: member.pieces.map(Arc::from) },
                };
                let key = key_of(&name).len();
                self.images.push(Image { name, key, place });
                continue;
            }
            if member.kind != Kind::File {
                continue;
            }
            if Path::new(&name).extension().is_some_and(|ending| ending == "cls") {
                match headers.body(MOST_CLASS)? {
                    Some(text) => self.add_class(&name, text, shard, unusual),
                    None => unusual.long_classes.add(|| format!("`{shard}/{name}`")),
                }
            } else if foreign_image_ending(&ending(Path::new(&name))) {
                unusual.foreign.add(Path::new(&name));
            }
        }
        Ok(())
    }

    /// A name as text. Names that are not UTF-8 have a readable spelling; another if one is taken by another name.
    fn readable(&mut self, name: &[u8]) -> String {
        let text = String::from_utf8_lossy(name);
        if let std::borrow::Cow::Borrowed(text) = text {
            return text.to_owned();
        }
        let text = text.into_owned();
        let known = self.not_utf8.entry(text.clone()).or_insert_with(|| name.to_vec());
        if known.as_slice() == name { text } else { spelled(name) }
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

    /// Leaves one image of each key, where one is the plain image of its key, and of each name the last, as tar extracts them.
    pub(super) fn choose(&mut self, shard: &str, unusual: &mut Unusual) {
        let mut names = HashSet::new();
        let mut last: Vec<bool> = self.images.iter().rev().map(|image| names.insert(image.name.as_str())).collect();
        last.reverse();
        for (image, _last) in self.images.iter().zip(&last).filter(|(_image, last)| !**last) {
            unusual.repeated.add(|| format!("`{shard}/{}`", image.name));
        }
        retain(&mut self.images, last);
        self.follow_links(shard, unusual);

        let mut chosen: HashMap<&str, (usize, &str)> = HashMap::new();
        for (image, rank) in self.images.iter().filter_map(|image| Some((image, image.rank()?))) {
            chosen.entry(image.key()).and_modify(|best| *best = rank.min(*best)).or_insert(rank);
        }
        let stays = |image: &Image| chosen.get(image.key()).is_none_or(|(_rank, name)| image.name == *name);
        let stay: Vec<bool> = self.images.iter().map(stays).collect();
        for (image, stays) in self.images.iter().zip(&stay) {
            match (image.rank(), stays) {
                (Some(_), false) => unusual.passed_over.add(|| format!("`{shard}/{}`", image.name)),
                (None, true) => unusual.perhaps_masks.add(|| format!("`{shard}/{}`", image.name)),
                _ => {}
            }
        }
        retain(&mut self.images, stay);
    }

    /// Gives links the places of what they lead to.
    fn follow_links(&mut self, shard: &str, unusual: &mut Unusual) {
        if !self.images.iter().any(|image| matches!(image.place, Place::Link(_))) {
            return;
        }
        let places: HashMap<String, Place> =
            self.images.iter().map(|image| (plain(&image.name), image.place.clone())).collect();
        for image in &mut self.images {
            for _followed in 0..MOST_LINKS {
                let Place::Link(target) = &image.place else { break };
                let Some(place) = places.get(&**target) else { break };
                image.place = place.clone();
            }
        }
        let found: Vec<bool> = self.images.iter().map(|image| matches!(image.place, Place::Stored { .. })).collect();
        for (image, _found) in self.images.iter().zip(&found).filter(|(_image, found)| !**found) {
            unusual.lost_links.add(|| format!("`{shard}/{}`", image.name));
        }
        retain(&mut self.images, found);
    }
}

/// Keeps the images whose turn says so.
fn retain(images: &mut Vec<Image>, stay: Vec<bool>) {
    let mut stay = stay.into_iter();
    images.retain(|_image| stay.next().unwrap_or(true));
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

/// A name without `.`, and without `..` where it goes back from a folder.
fn plain(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a link named `name` leads to.
fn beside(name: &str, target: &str) -> String {
    let folder = name.rfind('/').map_or("", |slash| &name[..=slash]);
    plain(&format!("{folder}{target}"))
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

    /// Any number of links of 512 bytes must not make as many copies of a map of a mebibyte.
    #[test]
    fn links_share_the_map_of_what_they_lead_to() {
        let pieces: Arc<[Piece]> = [Piece { at: 0, length: 1 }].into();
        let stored = Place::Stored { offset: 0, length: 1, pieces: Some(Arc::clone(&pieces)) };
        let image = |name: &str, place| Image { name: name.to_owned(), key: 1, place };
        let mut members = Members {
            images: vec![image("a.jpg", stored), image("b.jpg", Place::Link("a.jpg".into()))],
            ..Members::default()
        };
        members.choose("s.tar", &mut Unusual::default());
        assert_eq!(members.images.len(), 2);
        for image in &members.images {
            assert!(matches!(&image.place, Place::Stored { pieces: Some(own), .. } if Arc::ptr_eq(own, &pieces)));
        }
    }

    #[test]
    fn links_lead_from_their_own_folder() {
        assert_eq!(beside("./a/b.jpg", "../c/./d.jpg"), "c/d.jpg");
        assert_eq!(beside("b.jpg", "a.jpg"), "a.jpg");
        assert_eq!(plain("./x//y/../z.jpg"), "x/z.jpg");
    }
}
