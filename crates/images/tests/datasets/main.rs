//! Every kind of data set, written to disk as its users have it, listed and read.

mod addresses;
mod classes;
mod columns;
mod compressed_tars;
mod damaged_tars;
mod fingerprints;
mod folders;
mod kinds;
mod limits;
mod patterns;
mod tables;
mod tars;

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Schema};
use fs_err as fs;
use headspan_images::{Dataset, DatasetKind, DatasetSettings, Sample};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

type Outcome = Result<(), Box<dyn Error>>;

fn settings(path: &Path) -> DatasetSettings {
    DatasetSettings { path: path.to_owned(), ..DatasetSettings::default() }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, bytes)
}

fn ids(dataset: &Dataset) -> Vec<String> {
    (0..dataset.len()).map(|index| dataset.item(index).id.into_owned()).collect()
}

fn class_ids(dataset: &Dataset) -> Vec<Option<&str>> {
    (0..dataset.len()).map(|index| dataset.item(index).class_id).collect()
}

/// Data that other programs wrote; `tools/reference/make_datasets.py` makes it again.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/datasets").join(name)
}

/// All warnings of a data set.
fn said(dataset: &Dataset) -> String {
    dataset.warnings().join("; ")
}

fn message(settings: &DatasetSettings) -> String {
    Dataset::open(settings).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Reads every image from four threads and from one.
fn assert_bytes(dataset: &Dataset, expected: &[&[u8]]) -> Outcome {
    for (index, bytes) in expected.iter().enumerate() {
        assert_eq!(dataset.read(index as u64)?, *bytes, "image {index}");
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for turn in 0..expected.len() {
                    let index = (turn + thread) % expected.len();
                    assert!(dataset.read(index as u64).is_ok_and(|bytes| bytes == expected[index]));
                }
            });
        }
    });
    Ok(())
}

#[test]
fn folders_have_a_class_per_subfolder() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (name, bytes) in
        [("b/2.JPEG", "2"), ("a/1.jpg", "1"), ("b/deep/3.png", "3"), ("b/.hidden.jpg", "x"), ("b/notes.txt", "x")]
    {
        write(&folder.path().join(name), bytes.as_bytes())?;
    }
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["a/1.jpg", "b/2.JPEG", "b/deep/3.png"]);
    assert_eq!(dataset.item(2).class_id, Some("b"));
    assert_eq!(dataset.item(2).class_index, None, "without a class file there is no order");
    assert_bytes(&dataset, &[b"1", b"2", b"3"])
}

#[test]
fn class_order_comes_from_a_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["images/b/2.jpg", "images/a/1.jpg"] {
        write(&folder.path().join(name), b"x")?;
    }
    let classes = folder.path().join("classes.txt");
    write(&classes, b"b,bear\na,ant\n")?;
    let with_classes = DatasetSettings { classes: Some(classes.clone()), ..settings(&folder.path().join("images")) };
    let dataset = Dataset::open(&with_classes)?;
    assert_eq!((dataset.item(0).class_index, dataset.item(1).class_index), (Some(1), Some(0)));
    assert_eq!(dataset.classes().names(), ["bear", "ant"]);
    write(&classes, b"b\n")?;
    assert!(message(&with_classes).contains("image `a/1.jpg` is of class `a`"), "{}", message(&with_classes));
    write(&classes, b"b\na\nb\n")?;
    assert!(message(&with_classes).contains("row 3: class `b` is already listed in row 1"));
    Ok(())
}

#[test]
fn samples_are_the_same_every_time_and_keep_the_order() -> Outcome {
    let folder = tempfile::tempdir()?;
    for number in 0..50 {
        write(&folder.path().join(format!("{number:02}.png")), b"x")?;
    }
    let sampled = |count, seed, limit| -> Result<Vec<String>, Box<dyn Error>> {
        let sample = Some(Sample { count, seed });
        Ok(ids(&Dataset::open(&DatasetSettings { sample, limit, ..settings(folder.path()) })?))
    };
    let one = sampled(10, 1, None)?;
    assert_eq!(one, sampled(10, 1, None)?);
    assert_ne!(one, sampled(10, 2, None)?);
    assert!(one.is_sorted() && one.len() == 10);
    assert_eq!(sampled(10, 1, Some(3))?, one[..3]);
    assert_eq!(sampled(80, 1, None)?.len(), 50);
    Ok(())
}

#[test]
fn manifests_name_paths_and_classes() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["pictures/z.jpg", "pictures/a.jpg"] {
        write(&folder.path().join(name), name.as_bytes())?;
    }
    let csv = folder.path().join("list.csv");
    write(&csv, b"path,class\npictures/z.jpg,cat\npictures/a.jpg,dog\npictures/gone.jpg,dog\n")?;
    let dataset = Dataset::open(&settings(&csv))?;
    assert_eq!(ids(&dataset), ["pictures/z.jpg", "pictures/a.jpg", "pictures/gone.jpg"], "the file's order");
    assert_eq!(dataset.item(0).class_id, Some("cat"));
    assert_eq!(dataset.read(1)?, b"pictures/a.jpg");
    assert!(dataset.read(2).is_err(), "a file that is gone concerns only itself");

    let parquet = folder.path().join("list.parquet");
    let batch = RecordBatch::try_from_iter([
        ("path", Arc::new(StringArray::from(vec!["pictures/a.jpg"])) as ArrayRef),
        ("class", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
    ])?;
    write_parquet(&parquet, &batch, 10)?;
    let dataset = Dataset::open(&settings(&parquet))?;
    assert_eq!((dataset.item(0).class_id, dataset.read(0)?), (Some("7"), b"pictures/a.jpg".to_vec()));

    write(&csv, b"file,class\nx.jpg,cat\n")?;
    assert!(message(&settings(&csv)).contains("no column `path`; it has file, class"));
    write(&csv, b"path\na.jpg\n\"\"\n")?;
    assert!(message(&settings(&csv)).contains("row 3: an empty path"), "{}", message(&settings(&csv)));
    write(&csv, b"path\na.jpg\na.jpg\n")?;
    assert!(message(&settings(&csv)).contains("lists `a.jpg` twice"));
    Ok(())
}

fn write_parquet(path: &Path, batch: &RecordBatch, group: usize) -> Outcome {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

fn write_tar(path: &Path, members: &[(&str, &[u8])]) -> Outcome {
    fs::write(path, tar_bytes(members)?)?;
    Ok(())
}

fn tar_bytes(members: &[(&str, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes)?;
    }
    builder.into_inner()
}

#[test]
fn tar_shards_group_members_by_key() -> Outcome {
    let folder = tempfile::tempdir()?;
    for shard in 0..2 {
        let mut members = Vec::new();
        for number in 0..3 {
            members.push((format!("d/{shard}{number}.jpg"), format!("image {shard}{number}")));
            members.push((format!("d/{shard}{number}.cls"), number.to_string()));
            members.push((format!("d/{shard}{number}.json"), "{}".to_owned()));
        }
        let members: Vec<_> = members.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        write_tar(&folder.path().join(format!("s-{shard:03}.tar")), &members)?;
    }
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset)[3], "s-001.tar/d/10.jpg");
    assert_eq!(dataset.item(5).class_index, Some(2));
    let expected: Vec<Vec<u8>> = (0..6).map(|i| format!("image {}{}", i / 3, i % 3).into_bytes()).collect();
    assert_bytes(&dataset, &expected.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    let pattern = settings(&folder.path().join("s-{001..001}.tar"));
    assert_eq!(Dataset::open(&pattern)?.len(), 3);

    Ok(())
}

#[test]
fn parquet_shards_hold_bytes_as_hugging_face_writes_them() -> Outcome {
    let folder = tempfile::tempdir()?;
    let bytes: Vec<Option<&[u8]>> = vec![Some(b"one"), Some(b"two"), None, Some(b"four"), Some(b"five")];
    let fields: Vec<(Arc<Field>, ArrayRef)> = vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), Arc::new(BinaryArray::from(bytes)) as ArrayRef),
        (Arc::new(Field::new("path", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["a.jpg"; 5])) as ArrayRef),
    ];
    let images: ArrayRef = Arc::new(StructArray::from(fields));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![1, 0, 1, -1, 0]));
    let metadata = r#"{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
    let schema = Schema::new(vec![
        Field::new("image", images.data_type().clone(), true),
        Field::new("label", DataType::Int64, true),
    ])
    .with_metadata(std::collections::HashMap::from([("huggingface".to_owned(), metadata.to_owned())]));
    let batch = RecordBatch::try_new(Arc::new(schema), vec![images, labels])?;
    let path = folder.path().join("train-00000.parquet");
    write_parquet(&path, &batch, 2)?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(dataset.len(), 5);
    assert_eq!(ids(&dataset)[1], "train-00000.parquet/1");
    assert_eq!((dataset.item(0).class_id, dataset.item(1).class_id), (Some("dog"), Some("cat")));
    assert_eq!(dataset.item(3).class_id, None, "a withheld label");
    for (index, expected) in [(0, "one"), (1, "two"), (3, "four"), (4, "five")] {
        assert_eq!(dataset.read(index)?, expected.as_bytes());
    }
    assert!(dataset.read(2).is_err_and(|error| error.to_string().contains("a.jpg")), "a file that is not there");
    let wrong = DatasetSettings { kind: DatasetKind::Parquet, image_column: "picture".to_owned(), ..settings(&path) };
    assert!(message(&wrong).contains("no column `picture`; it has image, label"));
    Ok(())
}

#[test]
fn files_larger_than_the_limit_are_not_read() -> Outcome {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("big.jpg"), &[0; 100])?;
    let dataset = Dataset::open(&DatasetSettings { max_file_bytes: 99, ..settings(folder.path()) })?;
    assert!(dataset.read(0).is_err_and(|error| error.to_string().contains("100 bytes, more than the limit of 99")));
    Ok(())
}
