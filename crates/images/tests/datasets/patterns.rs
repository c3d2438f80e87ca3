//! Paths with braces.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use headspan_images::Dataset;

use crate::{Outcome, ids, message, settings, write, write_parquet, write_tar};

#[test]
fn what_exists_is_itself() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    write(&path("br{a}/1.jpg"), b"1")?;
    assert_eq!(ids(&Dataset::open(&settings(&path("br{a}")))?), ["1.jpg"]);
    write_tar(&path("br{a}/s-{0..1}.tar"), &[("a.jpg", b"a")])?;
    assert_eq!(ids(&Dataset::open(&settings(&path("br{a}/s-{0..1}.tar")))?), ["s-{0..1}.tar/a.jpg"]);
    write_tar(&path("br{a}/t-0.tar"), &[("a.jpg", b"a")])?;
    write_tar(&path("br{a}/t-1.tar"), &[("a.jpg", b"a")])?;
    assert_eq!(Dataset::open(&settings(&path("br{a}/t-{0..1}.tar")))?.len(), 2, "braces of a folder are its own");
    let said = message(&settings(&path("br{a}/t-{0..2}.tar")));
    assert!(said.contains("t-2.tar"), "{said}");
    Ok(())
}

#[test]
fn patterns_of_parquet_are_parquet() -> Outcome {
    let folder = tempfile::tempdir()?;
    for (number, rows) in [(0, 1), (1, 2), (2, 4)] {
        let images: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..rows).map(|_| b"x")));
        let labels: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_from_iter([("image", images), ("label", labels)])?;
        write_parquet(&folder.path().join(format!("train-{number:05}-of-00003.parquet")), &batch, 10)?;
    }
    let dataset = Dataset::open(&settings(&folder.path().join("train-{00000..00001}-of-00003.parquet")))?;
    assert_eq!(ids(&dataset)[1..], ["train-00001-of-00003.parquet/0", "train-00001-of-00003.parquet/1"]);
    assert_eq!(dataset.len(), 3);
    assert_eq!(dataset.read(2)?, b"x");
    Ok(())
}

#[test]
fn other_braces_say_what_is_understood() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["{a,b}.tar", "{a,b}.parquet", "{0..1}.csv", "no{thing}"] {
        let said = message(&settings(&folder.path().join(name)));
        assert!(said.contains(&format!("{name}` does not exist and is not a pattern")), "{name}: {said}");
        assert!(said.contains("`train-{000..009}.tar` or `train-{000..009}.parquet`"), "{name}: {said}");
    }
    Ok(())
}
