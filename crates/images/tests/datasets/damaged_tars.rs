//! Tars that are cut, overwritten or joined: what precedes the damage counts, and the damage is told.

use headspan_images::{Dataset, DatasetSettings};
use proptest::prelude::*;

use crate::{Outcome, assert_bytes, ids, message, said, settings, tar_bytes, write};

const IMAGES: [(&str, &[u8]); 3] = [("0.jpg", b"zero"), ("1.jpg", &[7; 1000]), ("2.jpg", b"two")];

/// Lists a shard of these bytes. Gives its ids and what is said of it, or the error.
fn listed(bytes: &[u8]) -> Result<(Vec<String>, String), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write(&shard, bytes)?;
    Ok(match Dataset::open(&settings(&shard)) {
        Ok(dataset) => {
            for index in 0..dataset.len() {
                dataset.read(index)?;
            }
            (ids(&dataset), said(&dataset))
        }
        Err(error) => (Vec::new(), error.to_string()),
    })
}

#[test]
fn what_precedes_a_cut_counts() -> Outcome {
    let whole = tar_bytes(&IMAGES)?;
    // Headers of 512 bytes, images of 512, 1024 and 512: 3,584 bytes, and the mark of the end.
    for (length, images, part) in [
        (4608, 3, ""),
        (4096, 3, ""),
        (3584, 3, "1 shards end without the mark that tar writes at the end"),
        (3583, 3, "1 shards end without the mark"),
        (3074, 2, "at byte 3072: it ends inside this member"),
        (3000, 2, "`s.tar`, after 2 images, at byte 2560: it ends inside a header"),
        (2600, 2, "it ends inside a header"),
        (2559, 2, "without the mark"),
        (2000, 1, "it ends inside this member"),
        (1024, 1, "without the mark"),
        (600, 1, "without the mark"),
        (515, 0, "it ends inside this member"),
        (100, 0, "it ends inside a header"),
    ] {
        let (ids, said) = listed(&whole[..length])?;
        assert_eq!(ids.len(), images, "{length}: {said}");
        assert!(said.contains(part) && (!part.is_empty() || said.is_empty()), "{length}: {said}");
    }
    let (_none, said) = listed(b"")?;
    assert!(said.contains("holds no image"), "{said}");
    Ok(())
}

#[test]
fn damage_is_told_once_and_refused_by_strict_runs() -> Outcome {
    let folder = tempfile::tempdir()?;
    let whole = tar_bytes(&IMAGES)?;
    for (name, length) in [("s-0.tar", 2000), ("s-1.tar", 1100), ("s-2.tar", whole.len())] {
        write(&folder.path().join(name), &whole[..length])?;
    }
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(dataset.len(), 1 + 1 + 3);
    let expected = "2 shards are damaged, and what follows the damage was not read; the first: `s-0.tar`, after 1 images, \
                    at byte 1536: it ends inside this member";
    assert_eq!(said(&dataset), expected);
    let refused = dataset.refuse_damage(&settings(folder.path())).err().map(|error| error.to_string());
    assert!(refused.is_some_and(|said| said.contains("is damaged: ") && said.ends_with(expected)));
    write(&folder.path().join("s-0.tar"), &whole)?;
    write(&folder.path().join("s-1.tar"), &whole)?;
    Dataset::open(&settings(folder.path()))?.refuse_damage(&settings(folder.path()))?;
    Ok(())
}

#[test]
fn joined_tars_are_read_to_their_end() -> Outcome {
    let one = tar_bytes(&IMAGES[..2])?;
    let two = tar_bytes(&IMAGES[2..])?;
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write(&shard, &[one.as_slice(), &[0; 9 * 512], &two].concat())?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(said(&dataset), "");
    assert_bytes(&dataset, &IMAGES.map(|(_name, bytes)| bytes))
}

#[test]
fn garbage_ends_a_tar() -> Outcome {
    let mut whole = tar_bytes(&IMAGES)?;
    let behind = [whole.as_slice(), b"garbage"].concat();
    let (found, said) = listed(&behind)?;
    assert_eq!((found.len(), said.contains("1 shards have bytes behind the mark of their end")), (3, true), "{said}");
    whole[1024..1536].fill(b'x');
    let (found, said) = listed(&whole)?;
    assert_eq!(found, ["s.tar/0.jpg"]);
    assert!(said.contains("at byte 1024: the checksum of a header is wrong"), "{said}");
    Ok(())
}

/// A file that was made larger before it was written, or that a shell has stretched, ends in terabytes of nothing.
#[test]
fn zeros_behind_the_end_are_not_read_to_their_end() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write(&shard, &tar_bytes(&IMAGES)?)?;
    if let Err(error) = fs_err::OpenOptions::new().append(true).open(&shard)?.set_len(1 << 40) {
        eprintln!("skipped: this disk has no holes ({error})");
        return Ok(());
    }
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(dataset.len(), 3);
    assert!(said(&dataset).contains("1 shards have bytes behind the mark of their end"), "{}", said(&dataset));
    Ok(())
}

#[test]
fn lengths_in_headers_are_not_trusted() -> Outcome {
    let mut header = tar::Header::new_gnu();
    for (kind, part) in [
        (tar::EntryType::GNULongName, "of more than a mebibyte"),
        (tar::EntryType::XHeader, "of more than a mebibyte"),
        (tar::EntryType::Regular, "it ends inside this member"),
    ] {
        for size in [1 << 30, 1 << 40, u64::MAX >> 1] {
            header.set_path("a.jpg")?;
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            let (_none, said) = listed(&[header.as_bytes().as_slice(), &[b'x'; 2048]].concat())?;
            assert!(said.contains(part), "{kind:?} {size}: {said}");
        }
    }
    // Classes are bounded, and an image is not longer than its limit, whatever is stored.
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    crate::write_tar(&shard, &[("0.jpg", &[1; 3000]), ("0.cls", &vec![b'c'; 70_000])])?;
    let dataset = Dataset::open(&DatasetSettings { max_file_bytes: 2999, ..settings(&shard) })?;
    assert!(said(&dataset).contains("1 members `.cls` are too long for a class"), "{}", said(&dataset));
    assert!(dataset.read(0).is_err_and(|error| error.to_string().contains("3000 bytes, more than the limit")));
    Ok(())
}

#[test]
fn what_is_no_tar_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (bytes, what) in [
        (b"BZh91AY".as_slice(), "compressed with bzip2"),
        (b"\xfd7zXZ\0\0\x04", "compressed with xz"),
        (b"PK\x03\x04", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "an HTML page"),
    ] {
        let shard = folder.path().join("s.tar");
        write(&shard, bytes)?;
        let said = message(&settings(&shard));
        assert!(said.ends_with(&format!("s.tar` is {what}, which cannot be read as a tar file")), "{said}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever happens to a tar, listing it ends, and what is listed can be read.
    #[test]
    fn overwritten_tars_are_read_or_refused(
        place in 0..4608_usize,
        garbage in prop::collection::vec(any::<u8>(), 1..700),
        cut in 0..4608_usize,
    ) {
        let mut bytes = tar_bytes(&IMAGES)?;
        for (byte, other) in bytes[place..].iter_mut().zip(garbage) {
            *byte = other;
        }
        bytes.truncate(cut.max(place));
        let listed = listed(&bytes);
        prop_assert!(listed.is_ok(), "{listed:?}");
    }
}
