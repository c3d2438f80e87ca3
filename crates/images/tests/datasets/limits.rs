//! A limit reads no further than it needs, and the memory of a row group is not that of its rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use headspan_images::{Dataset, DatasetSettings, Sample};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

use crate::{Outcome, assert_bytes, class_ids, ids, settings, write, write_parquet, write_tar};

fn limited(path: &std::path::Path, limit: u64) -> DatasetSettings {
    DatasetSettings { limit: Some(limit), ..settings(path) }
}

#[test]
fn what_lies_behind_the_limit_is_not_read() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write(&path("list.csv"), b"path,class\na.jpg,x\nb.jpg,y\nc.jpg,too,many,fields\n")?;
    assert_eq!(ids(&Dataset::open(&limited(&path("list.csv"), 2))?), ["a.jpg", "b.jpg"]);
    assert!(Dataset::open(&limited(&path("list.csv"), 3)).is_err());
    assert!(Dataset::open(&limited(&path("list.csv"), 0))?.is_empty());
    let sample = Some(Sample { count: 1, seed: 0 });
    assert!(Dataset::open(&DatasetSettings { sample, ..limited(&path("list.csv"), 1) }).is_err(), "drawn from all");

    fs_err::create_dir(path("tars"))?;
    write_tar(&path("tars/s-0.tar"), &[("a.jpg", b"a"), ("b.jpg", b"b")])?;
    write(&path("tars/s-1.tar"), b"PK\x03\x04")?;
    assert_eq!(ids(&Dataset::open(&limited(&path("tars"), 2))?), ["s-0.tar/a.jpg", "s-0.tar/b.jpg"]);
    assert!(Dataset::open(&limited(&path("tars"), 3)).is_err());

    fs_err::create_dir(path("shards"))?;
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"x", b"y", b"z"]));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, i64::MAX]));
    write_parquet(&path("shards/a.parquet"), &RecordBatch::try_from_iter([("image", images), ("label", labels)])?, 10)?;
    write(&path("shards/b.parquet"), b"PK\x03\x04")?;
    let dataset = Dataset::open(&limited(&path("shards"), 2))?;
    assert_eq!(class_ids(&dataset), [Some("0"), Some("1")]);
    assert_bytes(&dataset, &[b"x", b"y"])?;
    assert!(Dataset::open(&limited(&path("shards"), 3)).is_err(), "the third label is too large");
    Ok(())
}

#[test]
fn a_class_file_may_be_for_images_behind_the_limit() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write(&path("list.csv"), b"path,class\na.jpg,\nb.jpg,\nc.jpg,x\n")?;
    write(&path("classes.txt"), b"x\n")?;
    let classes = Some(path("classes.txt"));
    assert_eq!(Dataset::open(&DatasetSettings { classes, ..limited(&path("list.csv"), 1) })?.len(), 1);
    Ok(())
}

/// 600 rows of one row group, each 256 KiB of one of three values: 157 MB, in a file of a few kilobytes.
#[test]
fn a_row_group_is_read_row_by_row() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("big.parquet");
    let values: Vec<Vec<u8>> = (0..3).map(|number| vec![number; 256 << 10]).collect();
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_dictionary_page_size_limit(16 << 20)
        .build();
    let schema = RecordBatch::try_from_iter([("image", Arc::new(BinaryArray::from_iter_values([b"x"])) as ArrayRef)])?;
    let mut writer = ArrowWriter::try_new(fs_err::File::create(&path)?, schema.schema(), Some(properties))?;
    for batch in 0..60 {
        let images = (0..10).map(|row| values[(batch * 10 + row) % 3].as_slice());
        let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(images));
        writer.write(&RecordBatch::try_from_iter([("image", images)])?)?;
    }
    writer.close()?;
    let dataset = Dataset::open(&settings(&path))?;
    assert_eq!(dataset.len(), 600);
    for index in [0, 5, 4, 3, 598, 599, 2, 300] {
        assert_eq!(dataset.read(index)?, values[index as usize % 3], "{index}");
    }
    let sample = Some(Sample { count: 20, seed: 7 });
    let dataset = Dataset::open(&DatasetSettings { sample, ..settings(&path) })?;
    for index in (0..20).rev() {
        let row: usize = ids_row(&dataset, index)?;
        assert_eq!(dataset.read(index)?, values[row % 3], "{row}");
    }
    Ok(())
}

fn ids_row(dataset: &Dataset, index: u64) -> Result<usize, Box<dyn std::error::Error>> {
    let id = dataset.item(index).id;
    Ok(id.rsplit('/').next().unwrap_or_default().parse()?)
}
