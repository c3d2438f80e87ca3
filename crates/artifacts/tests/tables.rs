//! Tables: their schemas as they are promised to readers, round trips, and files that do not fit.

use headspan_artifacts::{
    ActivationBatch, ActivationShape, HeadId, ImageRow, ImageStatus, LabelRow, MetricRow, MomentsRow, NoteRow,
    PartReader, PartWriter, ReadoutRow, Row, RowsWriter, RunDirectory, RunId, Table, TextRow, TextspanRow,
    activation_schema, read_metadata, read_rows, table_schema, write_rows,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn run() -> Result<(tempfile::TempDir, RunDirectory), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let run = RunDirectory::create(folder.path(), &RunId::new("photos", "ViT-B-32_openai")?)?;
    Ok((folder, run))
}

#[test]
fn schemas_are_what_readers_were_promised() {
    let mut text = String::new();
    let mut add = |name: &str, schema: &arrow_schema::Schema| {
        text.push_str(&format!("{name}\n"));
        for field in schema.fields() {
            let null = if field.is_nullable() { " nullable" } else { "" };
            text.push_str(&format!("  {}: {}{null}\n", field.name(), field.data_type()));
        }
    };
    let lengths = [6, 36];
    let schemas = [
        (ImageRow::TABLE, table_schema::<ImageRow>(&lengths)),
        (ReadoutRow::TABLE, table_schema::<ReadoutRow>(&lengths)),
        (MomentsRow::TABLE, table_schema::<MomentsRow>(&lengths)),
        (TextRow::TABLE, table_schema::<TextRow>(&lengths)),
        (TextspanRow::TABLE, table_schema::<TextspanRow>(&lengths)),
        (LabelRow::TABLE, table_schema::<LabelRow>(&lengths)),
        (MetricRow::TABLE, table_schema::<MetricRow>(&lengths)),
        (NoteRow::TABLE, table_schema::<NoteRow>(&lengths)),
    ];
    for (table, schema) in &schemas {
        let version = if table.version() == 1 { String::new() } else { format!(", version {}", table.version()) };
        add(&format!("{table}{version}"), schema);
    }
    let heads = vec![HeadId { layer: 11, head: 0 }, HeadId { layer: 11, head: 1 }];
    add("activations", &activation_schema(&ActivationShape { heads, head_dim: 64, d: 512 }));
    insta::assert_snapshot!(text);
}

#[test]
fn rows_come_back_as_they_went() -> Outcome {
    let (_folder, run) = run()?;
    let images = [ImageStatus::Ok, ImageStatus::Skipped].map(|status| ImageRow {
        image_index: 7,
        image_id: "n01/a.jpg".to_owned(),
        class_id: Some("n01".to_owned()),
        class_index: None,
        width: 500,
        height: 375,
        status,
        error: (status == ImageStatus::Skipped).then(|| "truncated JPEG".to_owned()),
    });
    write_rows(&run.table(Table::Images), run.id(), "f00d", &images)?;
    assert_eq!(read_rows::<ImageRow>(&run.table(Table::Images))?, images);
    let path = run.path().join("pieces.parquet");
    let mut writer = RowsWriter::create(&path, run.id(), "f00d");
    for image in &images {
        writer.write(std::slice::from_ref(image))?;
        assert!(!path.exists(), "a table is there only when it is whole");
    }
    writer.commit()?;
    assert_eq!(read_rows::<ImageRow>(&path)?, images);
    let labels = [LabelRow {
        layer: 11,
        head: 3,
        labeller: "openai".to_owned(),
        property: None,
        description: Some("why".to_owned()),
        consistent: vec![Some(true), None, Some(false)],
        agreement: Some(0.75),
        prompt_sha256: None,
        llm_model: None,
        tokens_in: 12,
        tokens_out: 3,
    }];
    write_rows(&run.table(Table::Labels), run.id(), "f00d", &labels)?;
    assert_eq!(read_rows::<LabelRow>(&run.table(Table::Labels))?, labels);
    let moments =
        [MomentsRow { layer: 0, head: 1, n: 3, mean: vec![0.1, 0.2], second_moment: vec![1.0, 2.0, 2.0, 5.0] }];
    write_rows(&run.table(Table::Moments), run.id(), "f00d", &moments)?;
    assert_eq!(read_rows::<MomentsRow>(&run.table(Table::Moments))?, moments);
    let metadata = read_metadata(&run.table(Table::Moments))?;
    assert_eq!((metadata.fingerprint.as_str(), metadata.rows), ("f00d", 1));
    assert_eq!((metadata.model.as_str(), metadata.dataset.as_str()), ("ViT-B-32_openai", "photos"));
    Ok(())
}

#[test]
fn the_same_rows_give_the_same_bytes() -> Outcome {
    let (_folder, run) = run()?;
    let rows = [TextRow { text_index: 0, text: "A red door".to_owned(), category: None, embedding: vec![0.6, 0.8] }];
    write_rows(&run.path().join("one.parquet"), run.id(), "f00d", &rows)?;
    write_rows(&run.path().join("two.parquet"), run.id(), "f00d", &rows)?;
    assert_eq!(fs_err::read(run.path().join("one.parquet"))?, fs_err::read(run.path().join("two.parquet"))?);
    Ok(())
}

#[test]
fn one_head_is_read_alone() -> Outcome {
    let (_folder, run) = run()?;
    let heads = vec![HeadId { layer: 10, head: 1 }, HeadId { layer: 11, head: 0 }];
    let shape = ActivationShape { heads: heads.clone(), head_dim: 2, d: 3 };
    let batch = ActivationBatch {
        image_index: vec![4, 5],
        inv_scale: vec![0.1, 0.2],
        mean_scale: vec![0.3, 0.4],
        inv_norm: vec![0.5, 0.6],
        representation: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        heads: vec![vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0, 7.0, 8.0]],
    };
    let mut writer = PartWriter::create(&run.part(0), run.id(), "f00d", &shape)?;
    assert!(!run.part(0).exists(), "a part is not there before it is committed");
    writer.write(batch.clone())?;
    writer.write(batch.clone())?;
    writer.commit()?;
    let part = PartReader::open(&run.part(0))?;
    assert_eq!((part.shape(), part.metadata().rows), (&shape, 4));
    let one = part.read(&heads[1..], false)?;
    assert_eq!(one.heads, [[batch.heads[1].clone(), batch.heads[1].clone()].concat()]);
    assert_eq!((one.image_index, one.representation.len()), (vec![4, 5, 4, 5], 0));
    let missing = part.read(&[HeadId { layer: 3, head: 3 }], false).err().map(|error| error.to_string());
    assert!(missing.is_some_and(|message| message.contains("no column `L3.H3`")));

    // A file of the same length in its place, first of the same inputs, then of others.
    let mut column = vec![0.0; 8];
    for (fingerprint, fits) in [("f00d", true), ("beef", false)] {
        let mut writer = PartWriter::create(&run.part(0), run.id(), fingerprint, &shape)?;
        writer.write(batch.clone())?;
        writer.write(batch.clone())?;
        writer.commit()?;
        match part.read_head(heads[1], &mut column) {
            Ok(whole) => assert!(fits && whole, "{fingerprint}"),
            Err(error) => assert!(!fits && error.to_string().contains("extracted anew"), "{error}"),
        }
    }
    Ok(())
}

#[test]
fn files_that_do_not_fit_say_how() -> Outcome {
    let (_folder, run) = run()?;
    let path = run.table(Table::Texts);
    fs_err::write(&path, b"PAR1 not really")?;
    let message =
        |path: &std::path::Path| read_rows::<TextRow>(path).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message(&path).contains("not a readable headspan table"));
    let rows: [TextRow; 0] = [];
    let empty = write_rows(&path, run.id(), "f00d", &rows).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(empty.contains("cannot be empty"), "{empty}");
    let images: [ImageRow; 0] = [];
    write_rows(&path, run.id(), "f00d", &images)?;
    assert!(message(&path).contains("no column `text_index`"), "{}", message(&path));
    Ok(())
}

/// A table that headspan wrote before `rank` became `pick`: the first two texts of the eight heads of one layer.
#[test]
fn tables_of_an_older_schema_are_read() -> Outcome {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schema-1/textspan.parquet");
    assert_eq!(read_metadata(&path)?.schema_version, 1);
    let rows: Vec<TextspanRow> = read_rows(&path)?;
    let places: Vec<(u32, u32)> = rows.iter().map(|row| (row.head, row.pick)).collect();
    assert_eq!(places, (0..8).flat_map(|head| [(head, 0), (head, 1)]).collect::<Vec<_>>());
    assert!(rows.iter().all(|row| row.layer == 3 && row.effective_rank.is_none()));
    let first = &rows[0];
    assert_eq!((first.category.as_deref(), first.cumulative_share), (Some("colors"), first.variance_share));
    Ok(())
}

/// Whatever byte of a table is damaged: an error, or other rows, and never a panic.
#[test]
fn damaged_tables_are_errors() -> Outcome {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schema-1/textspan.parquet");
    let whole = fs_err::read(&path)?;
    let folder = tempfile::tempdir()?;
    let damaged = folder.path().join("damaged.parquet");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs_err::write(&damaged, &bytes)?;
        let read = read_rows::<TextspanRow>(&damaged);
        let part = PartReader::open(&damaged).and_then(|part| part.read(&[], false));
        refused += usize::from(read.is_err() && part.is_err());
    }
    assert!(refused > whole.len() / 20, "{refused}");
    Ok(())
}

#[test]
fn the_schema_of_today_is_written_and_held_to() -> Outcome {
    let (_folder, run) = run()?;
    let path = run.table(Table::Textspan);
    let row = TextspanRow {
        layer: 3,
        head: 0,
        pick: 0,
        text_index: 7,
        text: "A red door".to_owned(),
        category: None,
        std: 0.5,
        variance_share: 0.25,
        cumulative_share: 0.25,
        effective_rank: Some(16),
    };
    write_rows(&path, run.id(), "f00d", std::slice::from_ref(&row))?;
    assert_eq!(read_metadata(&path)?.schema_version, 2);
    assert_eq!(read_rows::<TextspanRow>(&path)?, [row]);
    // Another table in its place is refused.
    let images: [ImageRow; 0] = [];
    write_rows(&path, run.id(), "f00d", &images)?;
    let message = read_rows::<TextspanRow>(&path).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("has no column"), "{message}");
    Ok(())
}
