//! Runs are found again by the fingerprint of their data set, so its bytes must stay what they are.

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use fs_err as fs;
use headspan_images::{Dataset, DatasetSettings};

use crate::{Outcome, settings, write, write_parquet, write_tar};

/// The hash as it has been since the first release: each text after its length in bytes.
fn hash(texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn fingerprint(settings: &DatasetSettings) -> Result<String, Box<dyn std::error::Error>> {
    Ok(Dataset::open(settings)?.fingerprint())
}

#[test]
fn fingerprints_follow_what_the_data_set_is() -> Outcome {
    let one = tempfile::tempdir()?;
    let two = tempfile::tempdir()?;
    for folder in [&one, &two] {
        write(&folder.path().join("a/1.jpg"), b"xyz")?;
        write(&folder.path().join("b/2.jpg"), b"xyz")?;
    }
    let print = |settings: &DatasetSettings| Dataset::open(settings).map(|dataset| dataset.fingerprint());
    let first = print(&settings(one.path()))?;
    assert_eq!(first, print(&settings(two.path()))?, "a copy elsewhere is the same data set");
    assert_ne!(first, print(&DatasetSettings { limit: Some(1), ..settings(one.path()) })?);
    write(&two.path().join("b/2.jpg"), b"longer")?;
    assert_ne!(first, print(&settings(two.path()))?);
    Ok(())
}

#[test]
fn fingerprints_of_folders_and_manifests_are_of_files() -> Outcome {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("images/a/1.png"), b"xyz")?;
    write(&folder.path().join("images/2.png"), b"vwxyz")?;
    let images = settings(&folder.path().join("images"));
    let listed = ["folder", "2.png", "\0", "", "5", "a/1.png", "a", "", "3"];
    assert_eq!(fingerprint(&images)?, hash(&listed));
    let bounded = DatasetSettings { max_file_bytes: 4, ..images.clone() };
    assert_eq!(fingerprint(&bounded)?, hash(&[&listed[..], &["at most 4 bytes"]].concat()));
    let other_column = DatasetSettings { image_column: "picture".to_owned(), ..images };
    assert_eq!(fingerprint(&other_column)?, hash(&listed), "folders have no columns");

    let (csv, classes) = (folder.path().join("images/list.csv"), folder.path().join("classes.txt"));
    write(&csv, b"path,class\na/1.png,cat\ngone.png,dog\n")?;
    write(&classes, b"dog\ncat\n")?;
    let listed = DatasetSettings { classes: Some(classes), ..settings(&csv) };
    let expected = hash(&["manifest", "a/1.png", "cat", "1", "3", "gone.png", "dog", "0", "0"]);
    assert_eq!(fingerprint(&listed)?, expected);
    Ok(())
}

/// JPEGs have other pixels since libjpeg-turbo decodes them. By their endings, or by the first image where ids have none.
#[test]
fn jpegs_are_another_data_set_than_before_their_decoder_changed() -> Outcome {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("1.JPG"), b"xyz")?;
    write(&folder.path().join("2.png"), b"xyz")?;
    let listed = ["folder", "1.JPG", "\0", "", "3", "2.png", "\0", "", "3", "JPEGs by libjpeg-turbo"];
    assert_eq!(fingerprint(&settings(folder.path()))?, hash(&listed));
    let shard = |name: &str, bytes: &[u8]| -> Result<String, Box<dyn std::error::Error>> {
        let images: ArrayRef = Arc::new(BinaryArray::from(vec![bytes]));
        let path = folder.path().join(name).join("s.parquet");
        fs::create_dir_all(folder.path().join(name))?;
        write_parquet(&path, &RecordBatch::try_from_iter([("image", images)])?, 1)?;
        fingerprint(&settings(&path))
    };
    let hashed = |path: &str, after: &[&str]| -> Result<String, Box<dyn std::error::Error>> {
        let size = fs::metadata(folder.path().join(path).join("s.parquet"))?.len().to_string();
        Ok(hash(&[&["parquet", "s.parquet/0", "\0", "", size.as_str()], after].concat()))
    };
    assert_eq!(shard("jpeg", b"\xff\xd8\xff")?, hashed("jpeg", &["JPEGs by libjpeg-turbo"])?);
    assert_eq!(shard("png", b"\x89PNG")?, hashed("png", &[])?);
    Ok(())
}

/// What is hashed of a Parquet shard of `size` bytes with the labels 3 and −1.
fn of_rows(size: &str) -> [&str; 9] {
    ["parquet", "s.parquet/0", "3", "3", size, "s.parquet/1", "\0", "", size]
}

#[test]
fn fingerprints_of_shards_are_of_members_and_of_files() -> Outcome {
    let folder = tempfile::tempdir()?;
    let tar = folder.path().join("s.tar");
    write_tar(&tar, &[("1.png", b"xyz"), ("1.cls", b"7"), ("2.png", b"z")])?;
    let expected = hash(&["webdataset", "s.tar/1.png", "7", "7", "3", "s.tar/2.png", "\0", "", "1"]);
    assert_eq!(fingerprint(&settings(&tar))?, expected);

    let shard = |path: &Path, column: &str| -> Outcome {
        let images: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"x", b"y"]));
        let labels: ArrayRef = Arc::new(Int64Array::from(vec![3, -1]));
        write_parquet(path, &RecordBatch::try_from_iter([(column, images), ("label", labels)])?, 1)
    };
    let path = folder.path().join("s.parquet");
    shard(&path, "image")?;
    let size = fs::metadata(&path)?.len().to_string();
    assert_eq!(fingerprint(&settings(&path))?, hash(&of_rows(&size)));

    shard(&path, "picture")?;
    let size = fs::metadata(&path)?.len().to_string();
    let other = DatasetSettings { image_column: "picture".to_owned(), max_file_bytes: 9, ..settings(&path) };
    let expected = hash(&[&of_rows(&size)[..], &["at most 9 bytes", "images in picture"]].concat());
    assert_eq!(fingerprint(&other)?, expected);
    Ok(())
}
