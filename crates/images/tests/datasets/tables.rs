//! CSV files as spreadsheets, databases and people write them. pandas reads the same rows from them.

use headspan_images::{Dataset, DatasetError, DatasetSettings};
use proptest::prelude::*;

use crate::{Outcome, class_ids, ids, message, said, settings, write};

/// Ids and classes of a table, and what is said of it.
type Listed = (Vec<String>, Vec<Option<String>>, String);

/// Lists a table of these bytes.
fn listed(name: &str, text: &[u8]) -> Result<Listed, DatasetError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    write(&path, text)?;
    let dataset = Dataset::open(&settings(&path))?;
    let classes = class_ids(&dataset).into_iter().map(|class| class.map(str::to_owned)).collect();
    Ok((ids(&dataset), classes, said(&dataset)))
}

fn refused(name: &str, text: &[u8]) -> String {
    listed(name, text).err().map(|error| error.to_string()).unwrap_or_default()
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn delimiters_encodings_and_ends_of_lines_are_seen() -> Outcome {
    let text = "path,class\nä b.jpg,\"one, two\"\n\nc.jpg,three\n";
    let with = |from: &str, to: &str| text.replace(from, to).into_bytes();
    for (name, bytes) in [
        ("a.csv", text.as_bytes().to_vec()),
        ("semicolon.csv", text.replace("h,c", "h;c").replace("g,", "g;").into_bytes()),
        ("tab.csv", text.replace("h,c", "h\tc").replace("g,", "g\t").into_bytes()),
        ("pipe.tsv", text.replace("h,c", "h|c").replace("g,", "g|").into_bytes()),
        ("comma.tsv", text.as_bytes().to_vec()),
        ("windows.csv", with("\n", "\r\n")),
        ("mac.csv", with("\n", "\r")),
        ("mark.csv", format!("\u{feff}{text}").into_bytes()),
        ("little.csv", utf16(&format!("\u{feff}{text}"), false)),
        ("big.csv", utf16(&format!("\u{feff}{text}"), true)),
        ("unmarked.csv", utf16(text, false)),
        ("quoted.csv", with("path", "\"path\"")),
        ("last.csv", text.trim_end().as_bytes().to_vec()),
    ] {
        let (ids, classes, said) = listed(name, &bytes)?;
        assert_eq!((ids.as_slice(), said.as_str()), (["ä b.jpg", "c.jpg"].map(str::to_owned).as_slice(), ""), "{name}");
        assert_eq!(classes, [Some("one, two".to_owned()), Some("three".to_owned())], "{name}");
    }
    Ok(())
}

#[test]
fn files_without_a_header_are_read_from_their_first_row() -> Outcome {
    let (found, classes, said) = listed("a.csv", b"a.jpg,cat\nb.PNG,dog\n")?;
    assert_eq!(
        (found, classes),
        (vec!["a.jpg".to_owned(), "b.PNG".to_owned()], vec![Some("cat".to_owned()), Some("dog".to_owned())])
    );
    assert!(said.ends_with("a.csv` has no header, so its first row is read as an image"), "{said}");
    let (found, classes, _said) = listed("a.csv", b"cat;x/a.jpg\n")?;
    assert_eq!((found, classes), (vec!["x/a.jpg".to_owned()], vec![Some("cat".to_owned())]));
    let (found, classes, _said) = listed("a.csv", b"1,a.jpg,cat\n2,b.jpg,dog\n")?;
    assert_eq!((found.len(), classes), (2, vec![None, None]), "of three columns, any may be the class");
    Ok(())
}

#[test]
fn a_misnamed_column_is_suggested() {
    for (header, meant) in [
        ("filepath\ttitle", "filepath"),
        ("Path\ttitle", "Path"),
        ("caption\tfile_name", "file_name"),
        ("pahts\tx", "pahts"),
    ] {
        let refused = listed("a.tsv", format!("{header}\nx\ty\n").as_bytes());
        assert!(
            matches!(&refused, Err(DatasetError::NoColumn { similar: Some(similar), .. }) if similar == meant),
            "{header}: {refused:?}"
        );
    }
    let said = refused("a.csv", &[0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, b',', 1]);
    assert!(said.contains("has no column `path`; it has "), "{said}");
    let wide: Vec<String> = (0..500).map(|number| format!("column{number}")).collect();
    let said = refused("a.csv", wide.join(",").as_bytes());
    assert!(said.ends_with("column19, and 480 more"), "{said}");
}

#[test]
fn quotes_never_take_rows_with_them() -> Outcome {
    let (found, _classes, said) =
        listed("a.tsv", b"path\ttitle\n0.jpg\tfive 3\" nails\n1.jpg\t\"an inch\n2.jpg\tx\n3.jpg\ty\n")?;
    assert_eq!(found, ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]);
    assert!(said.contains("row 3 of `") && said.contains("a quote that is not closed"), "{said}");
    let (found, _classes, said) = listed("a.tsv", b"path\ttitle\n0.jpg\t\"27 inch\n1.jpg\tx\n2.jpg\t\"40 inch\n")?;
    assert_eq!((found.len(), said.contains("row 2 of `")), (3, true), "{said}");
    let (found, classes, said) = listed("a.csv", b"path,class\n\"a,\"\"b\"\".jpg\",\"two\nlines\"\nc.jpg,d\n")?;
    assert_eq!(found, ["a,\"b\".jpg", "c.jpg"]);
    assert_eq!((classes[0].as_deref(), said.as_str()), (Some("two\nlines"), ""));
    // Where quotes are needed elsewhere, or rows do not fit without them, nothing is guessed.
    let said = refused("a.csv", b"path,class\n\"a,b.jpg\",x\nc.jpg,\"open\nd.jpg,y\n");
    assert!(said.ends_with("a.csv`, row 3: a quote is opened and never closed"), "{said}");
    let said = refused("a.csv", b"path,class\n\"a.jpg\",x\nc.jpg,\"open\nd.jpg,y\ne.jpg,\"z\n");
    assert!(said.ends_with("row 3: a quote is opened that closes rows later, inside another field"), "{said}");
    Ok(())
}

#[test]
fn rows_that_do_not_fit_are_named() {
    for (text, part) in [
        ("", "has no rows"),
        ("path,class\n", "has no rows"),
        ("\n\n", "has no rows"),
        ("path,class\na.jpg,x\nb.jpg\n", "row 3: 1 fields where the header has 2"),
        ("path,class\na.jpg,x,y\n", "row 2: 3 fields where the header has 2"),
        ("path,class\ra.jpg,x\r\rb.jpg\r", "row 4: 1 fields"),
        ("path,class\na.jpg,x\n  ,x\n", "row 3: an empty path"),
        ("path\nhttps://x.org/a.jpg\nHTTPS://x.org/b.jpg\n", "are web addresses, such as `https://x.org/a.jpg`"),
    ] {
        let said = refused("a.csv", text.as_bytes());
        assert!(said.contains(part), "{text:?}: {said}");
    }
    let said = refused("a.csv", &utf16("\u{feff}path,class\na.jpg,x\n\nb.jpg\n", false));
    assert!(said.contains("row 4: 1 fields"), "{said}");
    let endless = [b"path,class\na.jpg,".as_slice(), &vec![b'x'; 17 << 20]].concat();
    assert!(refused("a.csv", &endless).contains("is not a readable CSV file"));
}

#[test]
fn rows_of_nothing_but_delimiters_are_no_rows() -> Outcome {
    let (found, _classes, said) = listed("a.csv", b"path,class\na.jpg,x\n,\n , \nb.jpg,y\n,\n")?;
    assert_eq!((found, said), (vec!["a.jpg".to_owned(), "b.jpg".to_owned()], String::new()));
    Ok(())
}

#[test]
fn paths_are_found_however_they_are_written() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("a/b c.jpg");
    write(&file, b"x")?;
    let csv = folder.path().join("list.csv");
    let file = file.display().to_string();
    let text = format!(
        "path,class\na/b c.jpg,1\n a/b c.jpg ,2\na\\b c.jpg,3\n{file},4\nfile://{},5\nhttps://x.org/a.jpg,6\na\0.jpg,7\n",
        file.replace(' ', "%20")
    );
    write(&csv, text.as_bytes())?;
    let dataset = Dataset::open(&settings(&csv))?;
    for index in 0..5 {
        assert_eq!(dataset.read(index)?, b"x", "{}", dataset.item(index).id);
    }
    assert!(dataset.read(5).is_err_and(|error| error.to_string().contains("`https://x.org/a.jpg` is a web address")));
    assert!(dataset.read(6).is_err());
    let elsewhere = tempfile::tempdir()?;
    let moved = elsewhere.path().join("list.csv");
    fs_err::copy(&csv, &moved)?;
    let rooted = DatasetSettings { root: Some(folder.path().to_owned()), ..settings(&moved) };
    assert_eq!(Dataset::open(&rooted)?.read(0)?, b"x");
    assert!(message(&settings(&elsewhere.path().join("none.csv"))).contains("none.csv"));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever paths and classes there are, what a CSV writer writes is read back.
    #[test]
    fn what_is_written_is_read(
        rows in prop::collection::btree_map("[a-z \",;\t|\u{e4}\n]{1,12}", "[a-z\",;\n]{0,5}", 1..9),
        delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|']),
        big in any::<Option<bool>>(),
    ) {
        let rows: Vec<_> = rows.into_iter().filter(|(path, _class)| !path.trim().is_empty()).collect();
        prop_assume!(!rows.is_empty());
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["path", "class"])?;
        for (path, class) in &rows {
            writer.write_record([path, class])?;
        }
        let text = String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?;
        let bytes = big.map_or_else(|| text.clone().into_bytes(), |big| utf16(&format!("\u{feff}{text}"), big));
        let (found, classes, said) = listed("a.csv", &bytes)?;
        prop_assert_eq!(&found, &rows.iter().map(|(path, _class)| path.clone()).collect::<Vec<_>>());
        let expected = rows.iter().map(|(_path, class)| Some(class.trim().to_owned()).filter(|class| !class.is_empty()));
        prop_assert_eq!(classes, expected.collect::<Vec<_>>());
        prop_assert!(!said.contains("quote"), "{}", said);
    }

    /// Whatever bytes there are, listing ends without a panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), tail in "[a-z,\"\n\r\t;]{0,99}") {
        drop(listed("a.csv", &bytes));
        drop(listed("a.csv", format!("path,class\n{tail}").as_bytes()));
    }
}
