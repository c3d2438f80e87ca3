//! What tar shards hold besides one image and one class a key.

use headspan_images::{Dataset, DatasetSettings};

use crate::{Outcome, class_ids, ids, message, settings, write, write_tar};

#[test]
fn hidden_members_are_passed_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write_tar(
        &shard,
        &[
            ("./000.jpg", b"0"),
            ("._000.jpg", b"x"),
            (".hidden/001.jpg", b"x"),
            ("d/._000.cls", b"9"),
            ("000.cls", b"1"),
        ],
    )?;
    write(&folder.path().join("._s.tar"), b"no shard")?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(dataset.len(), 1, "{:?}", ids(&dataset));
    assert_eq!(dataset.read(0)?, b"0");
    Ok(())
}

#[test]
fn a_sample_has_one_image() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write_tar(
        &shard,
        &[
            ("0.seg.png", b"s"),
            ("0.jpg", b"0"),
            ("0.cls", b"a"),
            ("0.seg.cls", b"b"),
            ("1.png", b"p"),
            ("1.JPG", b"j"),
            ("2.webp", b"2"),
        ],
    )?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(ids(&dataset), ["s.tar/0.jpg", "s.tar/1.JPG", "s.tar/2.webp"]);
    assert_eq!(class_ids(&dataset), [Some("a"), None, None]);
    assert_eq!(dataset.read(1)?, b"j");
    let passed = "1 images were skipped because another has the same key; the first: `s.tar/1.png`";
    assert!(dataset.warnings().iter().any(|warning| warning == passed), "{:?}", dataset.warnings());

    write_tar(&shard, &[("v1.2.jpg", b"a"), ("v1.3.jpg", b"b")])?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(ids(&dataset), ["s.tar/v1.2.jpg", "s.tar/v1.3.jpg"], "no image is lost where none is the plain one");
    assert!(dataset.warnings().iter().any(|warning| warning.starts_with("2 images are taken though")));

    write_tar(&shard, &[("0.jpg", b"a"), ("0.jpg", b"b")])?;
    assert!(message(&settings(&shard)).contains("lists `s.tar/0.jpg` twice"), "{}", message(&settings(&shard)));
    Ok(())
}

#[test]
fn class_members_are_taken_as_they_are_written() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (shard, list) = (folder.path().join("s.tar"), folder.path().join("classes.txt"));
    write_tar(
        &shard,
        &[("a.jpg", b"a"), ("a.cls", b"001\n"), ("b.jpg", b"b"), ("b.cls", b"1"), ("c.jpg", b"c"), ("c.cls", b"x\xff")],
    )?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(class_ids(&dataset), [Some("001"), Some("1"), None]);
    assert_eq!(dataset.item(0).class_index, Some(1));
    let said = dataset.warnings().join("; ");
    assert!(said.contains("1 members `.cls` are not UTF-8") && said.contains("`s.tar/c.cls`"), "{said}");

    let listed = DatasetSettings { classes: Some(list.clone()), ..settings(&shard) };
    write(&list, b"cat\ndog\n")?;
    let dataset = Dataset::open(&listed)?;
    assert_eq!(class_ids(&dataset), [Some("dog"), Some("dog"), None], "numbers are places in the list");
    write(&list, b"001\n002\n")?;
    let dataset = Dataset::open(&listed)?;
    assert_eq!((dataset.item(0).class_id, dataset.item(0).class_index), (Some("001"), Some(0)), "listed as it is");
    Ok(())
}

#[test]
fn an_empty_class_member_is_a_class_without_a_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (shard, list) = (folder.path().join("s.tar"), folder.path().join("classes.txt"));
    write_tar(&shard, &[("a.jpg", b"a"), ("a.cls", b"")])?;
    assert_eq!(class_ids(&Dataset::open(&settings(&shard))?), [Some("")]);
    write(&list, b"cat\n")?;
    let said = message(&DatasetSettings { classes: Some(list), ..settings(&shard) });
    assert!(said.contains("image `s.tar/a.jpg` is of class ``"), "{said}");
    Ok(())
}
