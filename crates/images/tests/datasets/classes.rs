//! Classes never vanish without a word.

use std::{collections::HashMap, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray, UInt64Array,
    types::Int32Type,
};
use arrow_schema::{Field, Schema};
use headspan_images::{Dataset, DatasetError, DatasetSettings};

use crate::{Outcome, class_ids, ids, message, settings, write, write_parquet};

/// A Parquet shard of images with these labels, and the names that Hugging Face would write.
fn write_shard(path: &Path, labels: ArrayRef, names: Option<&str>) -> Outcome {
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..labels.len()).map(|_| b"x")));
    let fields = [("image", &images), ("label", &labels)];
    let fields = fields.map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let features = names.map(|names| format!(r#"{{"info": {{"features": {{"label": {{"names": {names}}}}}}}}}"#));
    let metadata: HashMap<_, _> = features.map(|features| ("huggingface".to_owned(), features)).into_iter().collect();
    let schema = Schema::new(fields.to_vec()).with_metadata(metadata);
    write_parquet(path, &RecordBatch::try_new(Arc::new(schema), vec![images, labels])?, 2)
}

#[test]
fn parquet_labels_may_be_names() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (path, list) = (folder.path().join("s.parquet"), folder.path().join("classes.txt"));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("0"), Some("x"), None, Some("1")]));
    let dictionary: DictionaryArray<Int32Type> = vec![Some("0"), Some("x"), None, Some("1")].into_iter().collect();
    write(&list, b"1\nx\n0\n")?;
    for labels in [names, Arc::new(dictionary) as ArrayRef] {
        write_shard(&path, labels, None)?;
        let dataset = Dataset::open(&settings(&path))?;
        assert_eq!(class_ids(&dataset), [Some("0"), Some("x"), None, Some("1")]);
        assert_eq!(dataset.item(0).class_index, None, "a name is no place in a list");
        let dataset = Dataset::open(&DatasetSettings { classes: Some(list.clone()), ..settings(&path) })?;
        assert_eq!([0, 1, 2, 3].map(|at| dataset.item(at).class_index), [Some(2), Some(1), None, Some(0)]);
    }
    Ok(())
}

#[test]
fn parquet_labels_that_are_no_classes_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s.parquet");
    write_shard(&path, Arc::new(Float64Array::from(vec![1.5, 1.0])), None)?;
    let said = message(&settings(&path));
    for part in ["column `label`", "s.parquet", "row 1", "is not whole"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    write_shard(&path, Arc::new(Float64Array::from(vec![Some(2.0), Some(f64::NAN), None])), None)?;
    assert_eq!(
        class_ids(&Dataset::open(&settings(&path))?),
        [Some("2"), None, None],
        "as pandas writes missing numbers"
    );
    write_shard(&path, Arc::new(Float64Array::from(vec![1.5, 1.0])), None)?;
    let without = DatasetSettings { label_column: String::new(), ..settings(&path) };
    assert_eq!(class_ids(&Dataset::open(&without)?), [None, None]);

    for large in [1 << 32, u64::MAX] {
        write_shard(&path, Arc::new(UInt64Array::from(vec![1, 2, large])), None)?;
        let said = message(&settings(&path));
        assert!(said.contains("row 3: the number in column `label` is too large"), "{said}");
    }
    write_shard(&path, Arc::new(NullArray::new(2)), None)?;
    assert_eq!(class_ids(&Dataset::open(&settings(&path))?), [None, None], "all labels are withheld");
    Ok(())
}

#[test]
fn a_column_of_classes_that_was_named_must_be_there() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (shard, csv) = (folder.path().join("s.parquet"), folder.path().join("list.csv"));
    write_shard(&shard, Arc::new(Int64Array::from(vec![0])), None)?;
    let said = message(&DatasetSettings { label_column: "fine".to_owned(), ..settings(&shard) });
    assert!(said.contains("s.parquet` has no column `fine`; it has image, label"), "{said}");

    write(&csv, b"path,kind\na.jpg,cat\n")?;
    let said = message(&DatasetSettings { class_column: "sort".to_owned(), ..settings(&csv) });
    assert!(said.contains("list.csv` has no column `sort`; it has path, kind"), "{said}");
    let named = DatasetSettings { class_column: "kind".to_owned(), ..settings(&csv) };
    assert_eq!(class_ids(&Dataset::open(&named)?), [Some("cat")]);
    assert_eq!(class_ids(&Dataset::open(&settings(&csv))?), [None], "nobody asked for classes");

    let table = folder.path().join("list.parquet");
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a.jpg", "b.jpg", ""]));
    write_parquet(&table, &RecordBatch::try_from_iter([("path", column)])?, 10)?;
    let said = message(&DatasetSettings { class_column: "sort".to_owned(), ..settings(&table) });
    assert!(said.contains("list.parquet` has no column `sort`; it has path"), "{said}");
    let said = message(&settings(&table));
    assert!(said.contains("row 3: an empty path"), "{said}");
    Ok(())
}

#[test]
fn a_class_file_needs_images_with_classes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("classes.txt");
    write(&list, b"\xef\xbb\xbfcat\ndog\n")?;
    let listed = |path: &Path| DatasetSettings { classes: Some(list.clone()), ..settings(path) };
    let csv = folder.path().join("list.csv");
    write(&csv, b"path, class\na.jpg, dog\nb.jpg,cat\n")?;
    let dataset = Dataset::open(&listed(&csv))?;
    assert_eq!(class_ids(&dataset), [Some("dog"), Some("cat")]);
    assert_eq!(dataset.item(1).class_index, Some(0), "the byte order mark is no part of the first class");
    write(&csv, b"path,kind\na.jpg,dog\n")?;
    let said = message(&listed(&csv));
    assert!(said.contains("list.csv` has no column `class`; it has path, kind"), "{said}");
    write(&csv, b"path,class\na.jpg,\n")?;
    let said = message(&listed(&csv));
    assert!(said.contains("classes.txt` lists classes, but no image of"), "{said}");
    assert!(said.ends_with("list.csv` has one"), "{said}");
    let refused = Dataset::open(&listed(&csv));
    assert!(matches!(refused, Err(DatasetError::NoClasses { format: "manifest", .. })));

    write(&folder.path().join("flat/1.jpg"), b"x")?;
    let refused = Dataset::open(&listed(&folder.path().join("flat")));
    assert!(matches!(refused, Err(DatasetError::NoClasses { format: "folder", .. })));
    Ok(())
}

#[test]
fn shards_agree_in_their_class_names() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = |name: &str| folder.path().join(name);
    let labels = || Arc::new(Int64Array::from(vec![0])) as ArrayRef;
    write_shard(&shard("a.parquet"), labels(), Some(r#"["cat", "dog"]"#))?;
    write_shard(&shard("b.parquet"), labels(), None)?;
    write_shard(&shard("c.parquet"), labels(), Some(r#"["cat", "dog"]"#))?;
    assert_eq!(class_ids(&Dataset::open(&settings(folder.path()))?), [Some("cat"); 3]);
    write_shard(&shard("c.parquet"), labels(), Some(r#"["dog", "cat"]"#))?;
    let said = message(&settings(folder.path()));
    assert!(said.contains("a.parquet` name the classes of column `label` differently"), "{said}");
    assert!(said.contains("c.parquet` and"), "{said}");
    Ok(())
}

#[test]
fn lines_are_those_of_the_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let csv = folder.path().join("list.csv");
    for (text, expected) in [
        ("path,class\n\na.jpg,cat\n\n\n,dog\n", "row 6: an empty path"),
        ("path,class\r\n\r\na.jpg,cat\r\n,dog\r\n", "row 4: an empty path"),
        ("path,class\n\"a\nb.jpg\",cat\n\n,dog\n", "row 5: an empty path"),
        ("path,class\n\na.jpg,cat\n\nb.jpg,cat,dog\n", "row 5: 3 fields where the header has 2"),
    ] {
        write(&csv, text.as_bytes())?;
        let said = message(&settings(&csv));
        assert!(said.contains(expected), "{text:?}: {said}");
    }
    write(&csv, b"path,class\n\na.jpg,cat\n\n")?;
    assert_eq!(ids(&Dataset::open(&settings(&csv))?), ["a.jpg"], "blank lines are no rows");
    Ok(())
}
