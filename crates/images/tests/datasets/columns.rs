//! Parquet files as other programs write them. pyarrow made those that are committed.

use std::{error::Error, path::Path, sync::Arc};

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use fs_err as fs;
use headspan_images::{Dataset, DatasetError, DatasetKind, DatasetSettings, ReadError};

use crate::{Outcome, class_ids, data, ids, message, said, settings, write, write_parquet};

const PICTURE: &[u8] = include_bytes!("../data/preprocess/grey.png");

fn binary(values: &[Option<&[u8]>]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<BinaryArray>())
}

fn structs(bytes: &[Option<&[u8]>], paths: Vec<Option<&str>>) -> ArrayRef {
    let fields: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), binary(bytes)),
        (Arc::new(Field::new("path", DataType::Utf8, true)), Arc::new(StringArray::from(paths))),
    ];
    Arc::new(StructArray::from(fields))
}

fn write_columns(path: &Path, columns: Vec<(&str, ArrayRef)>) -> Outcome {
    write_parquet(path, &RecordBatch::try_from_iter(columns)?, 2)
}

/// Reads the rows of pyarrow's files: `one`, `two`, none, `four`.
fn assert_rows(settings: &DatasetSettings) -> Outcome {
    let what = format!("{} {}", settings.path.display(), settings.image_column);
    let dataset = Dataset::open(settings)?;
    assert_eq!(dataset.len(), 4, "{what}");
    for (index, expected) in [(3, Some("four")), (0, Some("one")), (1, Some("two")), (2, None)] {
        match (dataset.read(index), expected) {
            (Ok(bytes), Some(expected)) => assert_eq!(bytes, expected.as_bytes(), "{what}"),
            (Err(ReadError::NoBytes), None) => {}
            (Err(ReadError::Io(error)), None) => assert!(error.to_string().contains("3.jpg"), "{what}: {error}"),
            (other, _) => return Err(format!("{what}: {index}: {other:?}").into()),
        }
    }
    Ok(())
}

#[test]
fn bytes_may_have_any_type_that_holds_them() -> Outcome {
    let path = data("types.parquet");
    for column in [
        "binary",
        "large_binary",
        "binary_view",
        "dictionary",
        "struct",
        "list_binary",
        "list_struct",
        "list_uint8",
        "list_int8",
        "large_list",
    ] {
        assert_rows(&DatasetSettings { image_column: column.to_owned(), ..settings(&path) })?;
    }
    let listed = DatasetSettings { image_column: "list_struct".to_owned(), ..settings(&path) };
    let expected = "column `list_struct` holds lists; the first image of each row is taken";
    assert_eq!(said(&Dataset::open(&listed)?), expected);
    Ok(())
}

#[test]
fn any_compression_and_encoding_is_read() -> Outcome {
    for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"] {
        for version in [1, 2] {
            assert_rows(&settings(&data(&format!("codec-{codec}-{version}.parquet"))))?;
        }
    }
    for encoding in ["plain", "delta", "delta-length"] {
        assert_rows(&settings(&data(&format!("encoding-{encoding}.parquet"))))?;
    }
    Ok(())
}

#[test]
fn images_that_are_named_by_path_lie_beside_the_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("train.parquet");
    let elsewhere = tempfile::tempdir()?;
    let absolute = elsewhere.path().join("c d.jpg");
    write(&folder.path().join("a/1.jpg"), b"one")?;
    write(&absolute, b"three")?;
    let absolute = absolute.display().to_string();
    let (url, address) = (format!("file://{}", absolute.replace(' ', "%20")), "https://x.org/1.jpg");
    let paths = vec![Some("a/1.jpg"), Some("gone.jpg"), Some(&absolute), Some(&url), Some(address), None];
    let images = structs(&[None, Some(b"two"), None, None, None, None], paths);
    write_columns(&path, vec![("image", images)])?;
    let dataset = Dataset::open(&settings(&path))?;
    for (index, expected) in [(0, "one"), (1, "two"), (2, "three"), (3, "three")] {
        assert_eq!(dataset.read(index)?, expected.as_bytes());
    }
    assert!(matches!(dataset.read(4), Err(ReadError::Address { address: own }) if own == address));
    assert!(matches!(dataset.read(5), Err(ReadError::NoBytes)));
    let root = DatasetSettings { root: Some(elsewhere.path().to_owned()), ..settings(&path) };
    assert!(Dataset::open(&root)?.read(0).is_err(), "`root` says where paths begin");
    Ok(())
}

#[test]
fn the_only_column_of_images_is_taken_whatever_its_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.parquet");
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![4, 5]));
    for (name, column) in [
        ("jpg", binary(&[Some(b"x"), Some(b"y")])),
        ("img", structs(&[Some(b"x"), Some(b"y")], vec![None, None])),
        ("a.b", binary(&[Some(b"x"), Some(b"y")])),
    ] {
        write_columns(&path, vec![(name, column), ("label", labels.clone())])?;
        let dataset = Dataset::open(&settings(&path))?;
        assert_eq!((dataset.read(1)?, class_ids(&dataset)), (b"y".to_vec(), vec![Some("4"), Some("5")]), "{name}");
        let named = DatasetSettings { image_column: name.to_owned(), ..settings(&path) };
        assert_eq!(Dataset::open(&named)?.fingerprint(), dataset.fingerprint(), "{name}");
    }
    Ok(())
}

#[test]
fn of_several_columns_of_bytes_the_one_with_images_is_taken() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.parquet");
    let hashes = || binary(&[Some(&[7; 16]), Some(&[8; 16])]);
    let pictures = || binary(&[None, Some(PICTURE)]);
    write_columns(&path, vec![("md5", hashes()), ("photo", pictures())])?;
    assert_eq!(Dataset::open(&settings(&path))?.read(1)?, PICTURE);
    write_columns(&path, vec![("left", pictures()), ("md5", hashes()), ("right", pictures())])?;
    let refused = Dataset::open(&settings(&path)).err();
    assert!(matches!(&refused, Some(DatasetError::SeveralColumns { found, .. }) if *found == ["left", "right"]));
    assert!(message(&settings(&path)).ends_with("s.parquet` has several columns of images: left, right"));
    write_columns(&path, vec![("left", pictures()), ("image", hashes())])?;
    assert_eq!(Dataset::open(&settings(&path))?.read(0)?, [7; 16], "`image` needs no looking");
    // Beside paths, bytes that are no images make no shard of a manifest.
    let paths: ArrayRef = Arc::new(StringArray::from(vec!["a.jpg", "b.jpg"]));
    write_columns(&path, vec![("path", paths), ("md5", hashes())])?;
    assert_eq!(ids(&Dataset::open(&settings(&path))?), ["a.jpg", "b.jpg"]);
    Ok(())
}

#[test]
fn a_column_that_is_not_there_is_suggested() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.parquet");
    write_columns(&path, vec![("picture", binary(&[Some(b"x")]))])?;
    let named = DatasetSettings { image_column: "pictures".to_owned(), ..settings(&path) };
    let refused = Dataset::open(&DatasetSettings { kind: headspan_images::DatasetKind::Parquet, ..named }).err();
    assert!(matches!(refused, Some(DatasetError::NoColumn { similar: Some(similar), .. }) if similar == "picture"));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a.jpg"]));
    write_columns(&path, vec![("image_path", text)])?;
    let refused = Dataset::open(&settings(&path)).err();
    assert!(matches!(refused, Some(DatasetError::NoColumn { similar: Some(similar), .. }) if similar == "image_path"));
    Ok(())
}

#[test]
fn files_without_rows_hold_none() -> Outcome {
    let folder = tempfile::tempdir()?;
    write_columns(&folder.path().join("a.parquet"), vec![("image", binary(&[]))])?;
    assert!(message(&settings(folder.path())).contains("holds no image"));
    write_columns(&folder.path().join("b.parquet"), vec![("image", binary(&[Some(b"x")]))])?;
    assert_eq!(ids(&Dataset::open(&settings(folder.path()))?), ["b.parquet/0"]);
    Ok(())
}

/// Damage concerns rows, never the process.
#[test]
fn damaged_pages_are_errors_of_rows() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.parquet");
    let pictures: Vec<Option<&[u8]>> = vec![Some(PICTURE); 40];
    write_columns(&path, vec![("image", binary(&pictures))])?;
    let whole = fs::read(&path)?;
    for place in (4..whole.len() / 2).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        write(&path, &bytes)?;
        let dataset = Dataset::open(&settings(&path))?;
        for index in 0..dataset.len() {
            drop(dataset.read(index));
        }
    }
    Ok(())
}

/// A footer can promise any number of rows in a few bytes, here of nulls. Each would take memory in the listing.
#[test]
fn more_rows_than_a_file_can_hold_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (rows, fits) in [(1_000, true), (1_000_000, false)] {
        let path = folder.path().join("a.parquet");
        let nulls = arrow_array::new_null_array(&DataType::Binary, rows);
        write_parquet(&path, &RecordBatch::try_from_iter_with_nullable([("image", nulls, true)])?, rows)?;
        let opened = Dataset::open(&settings(&path));
        let said = opened.err().and_then(|error| Some(error.source()?.to_string())).unwrap_or_default();
        assert!(if fits { said.is_empty() } else { said.contains("says that it has 1000000 rows, in ") }, "{said}");
    }
    Ok(())
}

/// Whatever byte of a file is damaged: an error, or other rows, and never a panic.
#[test]
fn damaged_files_are_errors() -> Outcome {
    let whole = fs::read(data("types.parquet"))?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.parquet");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes)?;
        for kind in [DatasetKind::Parquet, DatasetKind::Manifest] {
            let dataset =
                Dataset::open(&DatasetSettings { kind, image_column: "binary".to_owned(), ..settings(&path) });
            let Ok(dataset) = dataset else {
                refused += 1;
                continue;
            };
            for index in 0..dataset.len().min(8) {
                refused += usize::from(dataset.read(index).is_err());
            }
        }
    }
    assert!(refused > whole.len() / 20, "{refused}");
    Ok(())
}
