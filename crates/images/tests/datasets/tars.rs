//! What tar shards hold besides one image and one class a key.

use headspan_images::{Dataset, DatasetSettings};

use crate::{Outcome, assert_bytes, class_ids, ids, message, said, settings, write, write_tar};

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

    Ok(())
}

#[test]
fn the_last_member_of_a_name_counts_as_when_a_tar_is_extracted() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write_tar(&shard, &[("0.jpg", b"a"), ("1.jpg", b"1"), ("0.jpg", b"b")])?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(ids(&dataset), ["s.tar/1.jpg", "s.tar/0.jpg"]);
    assert_eq!(dataset.read(1)?, b"b");
    let skipped = "1 members were skipped because a later member has the same name; the first: `s.tar/0.jpg`";
    assert!(said(&dataset).contains(skipped), "{}", said(&dataset));
    assert!(dataset.refuse_damage(&settings(&shard)).is_err_and(|error| error.to_string().contains(skipped)));
    Ok(())
}

#[test]
fn links_are_the_members_that_they_lead_to() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    let mut builder = tar::Builder::new(fs_err::File::create(&shard)?);
    let mut file = tar::Header::new_gnu();
    file.set_size(3);
    builder.append_data(&mut file, "a/1.jpg", b"one".as_slice())?;
    let mut link = |kind, name: &str, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, name, target)
    };
    link(tar::EntryType::Link, "b/hard.jpg", "a/1.jpg")?;
    link(tar::EntryType::Symlink, "b/soft.jpg", "../a/1.jpg")?;
    link(tar::EntryType::Symlink, "b/to-link.jpg", "soft.jpg")?;
    link(tar::EntryType::Symlink, "b/lost.jpg", "nowhere.jpg")?;
    link(tar::EntryType::Symlink, "b/round.jpg", "round.jpg")?;
    builder.finish()?;
    let dataset = Dataset::open(&settings(&shard))?;
    let expected = ["s.tar/a/1.jpg", "s.tar/b/hard.jpg", "s.tar/b/soft.jpg", "s.tar/b/to-link.jpg"];
    assert_eq!(ids(&dataset), expected);
    assert_bytes(&dataset, &[b"one".as_slice(); 4])?;
    let lost = "2 links were skipped because they lead to no image of their shard; the first: `s.tar/b/lost.jpg`";
    assert!(said(&dataset).contains(lost), "{}", said(&dataset));
    Ok(())
}

/// A name or a map for all members would be kept as often as there are members.
#[test]
fn attributes_of_all_members_name_none_of_them() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    let mut builder = tar::Builder::new(fs_err::File::create(&shard)?);
    let records = b"14 path=x.jpg\n26 GNU.sparse.map=0,1,1,0\n";
    let mut global = tar::Header::new_ustar();
    global.set_entry_type(tar::EntryType::XGlobalHeader);
    global.set_size(records.len() as u64);
    global.set_cksum();
    builder.append(&global, records.as_slice())?;
    for name in ["0.jpg", "1.jpg"] {
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        builder.append_data(&mut header, name, b"abc".as_slice())?;
    }
    builder.finish()?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(ids(&dataset), ["s.tar/0.jpg", "s.tar/1.jpg"], "{}", said(&dataset));
    assert_bytes(&dataset, &[b"abc".as_slice(); 2])
}

#[test]
fn names_may_be_long_odd_or_no_text() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    let long = format!("{}/1.jpg", "d".repeat(300));
    let mut builder = tar::Builder::new(fs_err::File::create(&shard)?);
    let mut add = |name: &[u8], bytes: &[u8]| -> std::io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        builder.append(&header, bytes)
    };
    add(b"../up.jpg", b"up")?;
    add(b"/top.jpg", b"top")?;
    add(b"fo\xe4.jpg", b"a")?;
    add(b"fo\xf6.jpg", b"o")?;
    add(b"folder.jpg/", b"")?;
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    builder.append_data(&mut header, &long, b"long".as_slice())?;
    builder.append_pax_extensions([("path", "pax/\u{e4}.jpg".as_bytes())])?;
    let mut header = tar::Header::new_ustar();
    header.set_size(3);
    header.set_cksum();
    builder.append(&header, b"pax".as_slice())?;
    builder.finish()?;
    let dataset = Dataset::open(&settings(&shard))?;
    let long = format!("s.tar/{long}");
    let expected = [
        "s.tar/../up.jpg",
        "s.tar//top.jpg",
        "s.tar/fo\u{fffd}.jpg",
        r"s.tar/fo\xF6.jpg",
        &long,
        "s.tar/pax/\u{e4}.jpg",
    ];
    assert_eq!(ids(&dataset), expected);
    assert_bytes(&dataset, &[b"up", b"top", b"a", b"o", b"long", b"pax"])
}

#[test]
fn images_of_formats_that_are_not_supported_are_counted() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar");
    write_tar(&shard, &[("0.jpg", b"0"), ("1.heic", b"1"), ("2.heic", b"2"), ("2.txt", b"t")])?;
    let dataset = Dataset::open(&settings(&shard))?;
    assert_eq!(said(&dataset), "passed over 2 images of formats that are not supported: 2 .heic");
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
    let said = said(&dataset);
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
