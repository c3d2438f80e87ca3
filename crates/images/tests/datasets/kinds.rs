//! What a folder is read as when it holds several kinds of files.

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use headspan_images::{Dataset, DatasetError, DatasetKind, DatasetSettings};

use crate::{Outcome, ids, message, said, settings, write, write_parquet, write_tar};

fn write_captions(path: &Path) -> Outcome {
    let captions: ArrayRef = Arc::new(StringArray::from(vec!["one"]));
    write_parquet(path, &RecordBatch::try_from_iter([("url", captions.clone()), ("caption", captions)])?, 10)
}

fn write_images(path: &Path) -> Outcome {
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"x", b"y"]));
    write_parquet(path, &RecordBatch::try_from_iter([("image", images)])?, 10)
}

#[test]
fn tables_about_images_are_no_shards() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    for shard in ["00000", "00001"] {
        write_tar(&path(&format!("{shard}.tar")), &[("1.jpg", b"1"), ("1.txt", b"t")])?;
        write_captions(&path(&format!("{shard}.parquet")))?;
        write(&path(&format!("{shard}_stats.json")), b"{}")?;
    }
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["00000.tar/1.jpg", "00001.tar/1.jpg"]);
    assert_eq!(said(&dataset), "passed over 4 files that are not shards: 2 .json, 2 .parquet");
    // A table that cannot be read is none of the data set either.
    write(&path("00001.parquet"), b"")?;
    assert_eq!(Dataset::open(&settings(folder.path()))?.len(), 2);
    Ok(())
}

#[test]
fn a_table_beside_images_or_shards_of_images_is_passed_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write_captions(&path("metadata.parquet"))?;
    let said_of = message(&settings(folder.path()));
    assert!(said_of.contains("holds no image") && said_of.contains("1 .parquet"), "{said_of}");
    write(&path("a/1.jpg"), b"1")?;
    assert_eq!(ids(&Dataset::open(&settings(folder.path()))?), ["a/1.jpg"]);
    fs_err::remove_dir_all(path("a"))?;
    write_images(&path("train-0.parquet"))?;
    write_images(&path("train-1.parquet"))?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(dataset.len(), 4);
    assert_eq!(said(&dataset), "passed over 1 files that are not shards of images: 1 .parquet");
    write(&path("train-2.parquet"), b"PAR1")?;
    assert!(message(&settings(folder.path())).contains("train-2.parquet` is not a readable Parquet file"));
    Ok(())
}

#[test]
fn several_kinds_are_refused_whatever_comes_first() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write_tar(&path("m.tar"), &[("1.jpg", b"1")])?;
    for image in ["a.png", "z.png", "below/b.png"] {
        write(&path(image), b"png")?;
        let refused = Dataset::open(&settings(folder.path()));
        let said = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(matches!(refused, Err(DatasetError::Mixed { .. })), "{said}");
        assert!(said.contains(&format!("such as `m.tar` and `{image}`")), "{said}");
        for (kind, expected, beside) in [
            (DatasetKind::Webdataset, "m.tar/1.jpg".to_owned(), ".png"),
            (DatasetKind::Folder, image.to_owned(), "1 .tar"),
        ] {
            let dataset = Dataset::open(&DatasetSettings { kind, ..settings(folder.path()) })?;
            assert_eq!(ids(&dataset), [expected]);
            let told = said_or_below(&dataset, image.contains('/') && kind == DatasetKind::Webdataset, beside);
            assert!(told, "{:?}", dataset.warnings());
        }
        fs_err::remove_file(path(image))?;
    }
    write_images(&path("a.parquet"))?;
    let said = message(&settings(folder.path()));
    assert!(said.contains("`m.tar` and `a.parquet`") || said.contains("`a.parquet` and `m.tar`"), "{said}");
    Ok(())
}

/// Whether what lies beside the shards is told; what lies below is never looked at.
fn said_or_below(dataset: &Dataset, below: bool, part: &str) -> bool {
    below || said(dataset).contains(part)
}

#[test]
fn files_that_are_no_data_set_are_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("images.zip");
    write(&path, b"PK\x03\x04")?;
    assert!(message(&settings(&path)).contains("images.zip` is a zip archive, not a data set: expected a folder"));
    write(&path, b"text")?;
    assert!(message(&settings(&path)).contains("images.zip` is not a data set: expected a folder"));
    let shard = folder.path().join("s.parquet");
    write(&shard, b"version https://git-lfs.github.com/spec/v1\n")?;
    let said = message(&settings(&shard));
    assert!(said.ends_with("s.parquet` is a Git LFS pointer, which cannot be read as a Parquet file"), "{said}");
    assert!(message(&settings(&folder.path().join("none"))).contains("none"));
    Ok(())
}
