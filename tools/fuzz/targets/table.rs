//! Bytes as each table of a run, as a part of activations, and as the record of a stage. What cannot be read is an error.
#![no_main]

use std::path::Path;

use headspan_artifacts::{
    ActivationBatch, ActivationShape, HeadId, ImageRow, ImageStatus, LabelRow, MetricRow, MomentsRow, PartReader,
    PartWriter, ReadoutRow, Row, RunDirectory, RunId, StageRecord, TextRow, TextspanRow, read_metadata, read_rows,
    write_rows,
};

fn table(bytes: &[u8]) {
    if let Some(folder) = std::env::var_os("HEADSPAN_FUZZ_SEEDS") {
        return seeds(Path::new(&folder)).expect("seeds written");
    }
    let path = headspan_fuzz::file("table.parquet", bytes);
    _ = read_metadata(&path);
    rows::<ImageRow>(&path);
    rows::<LabelRow>(&path);
    rows::<MetricRow>(&path);
    rows::<MomentsRow>(&path);
    rows::<ReadoutRow>(&path);
    rows::<TextRow>(&path);
    rows::<TextspanRow>(&path);
    if let Ok(part) = PartReader::open(&path) {
        let heads: Vec<HeadId> = part.shape().heads.iter().copied().take(2).collect();
        _ = part.read(&heads, true);
        for head in heads {
            _ = part.read_head(head, &mut vec![0.0; 64]);
        }
    }
    if let Ok(text) = str::from_utf8(bytes) {
        if let Ok(head) = text.parse::<HeadId>() {
            assert_eq!(head.to_string().parse(), Ok(head));
        }
        _ = RunId::new(text, "model");
        record(bytes);
    }
}

fn rows<R: Row>(path: &Path) {
    _ = read_rows::<R>(path);
}

/// A record stands in a file of its own.
fn record(bytes: &[u8]) {
    let path = headspan_fuzz::file("fuzz.json", bytes);
    let (Some(folder), Ok(id)) = (path.parent(), RunId::new("data", "model")) else { return };
    let run = RunDirectory::at(folder, &id);
    let stages = run.path().join("stages");
    if fs_err::create_dir_all(&stages).is_ok() && fs_err::rename(&path, stages.join("fuzz.json")).is_ok() {
        _ = run.record("fuzz");
    }
}

/// A small file of each kind.
fn seeds(folder: &Path) -> headspan_artifacts::Result<()> {
    let run = RunId::new("d", "m")?;
    let write = |name: &str| folder.join(name);
    let image = ImageRow {
        image_index: 0,
        image_id: "a.jpg".to_owned(),
        class_id: Some("cat".to_owned()),
        class_index: None,
        width: 3,
        height: 2,
        status: ImageStatus::Ok,
        error: None,
    };
    let skipped =
        ImageRow { image_index: 1, status: ImageStatus::Skipped, error: Some("cut".to_owned()), ..image.clone() };
    write_rows(&write("images"), &run, "f", &[image, skipped])?;
    let label = LabelRow {
        layer: 1,
        head: 2,
        labeller: "lexicon".to_owned(),
        property: Some("colors".to_owned()),
        description: None,
        consistent: vec![Some(true), None],
        agreement: Some(0.5),
        prompt_sha256: None,
        llm_model: None,
        tokens_in: 1,
        tokens_out: 2,
    };
    write_rows(&write("labels"), &run, "f", &[label])?;
    let metric = MetricRow {
        labeller: "lexicon".to_owned(),
        metric: "entanglement".to_owned(),
        scope: "model".to_owned(),
        layer: None,
        head: None,
        property: None,
        value: Some(0.5),
        ci_low: None,
        ci_high: None,
        n: 2,
    };
    write_rows(&write("metrics"), &run, "f", &[metric])?;
    let moments = MomentsRow { layer: 1, head: 2, n: 3, mean: vec![1.0, 2.0], second_moment: vec![0.0; 4] };
    write_rows(&write("moments"), &run, "f", &[moments])?;
    let readout = ReadoutRow { layer: 1, head: 2, readout: vec![0.5; 8], d: 2, head_dim: 1 };
    write_rows(&write("readout"), &run, "f", &[readout])?;
    let text = TextRow { text_index: 0, text: "a red door".to_owned(), category: None, embedding: vec![0.5; 2] };
    write_rows(&write("texts"), &run, "f", &[text])?;
    let text = TextspanRow {
        layer: 1,
        head: 2,
        pick: 0,
        text_index: 0,
        text: "a red door".to_owned(),
        category: None,
        std: 0.5,
        variance_share: 0.25,
        cumulative_share: 0.25,
        effective_rank: Some(64),
    };
    write_rows(&write("textspan"), &run, "f", &[text])?;
    let heads = vec![HeadId { layer: 1, head: 0 }, HeadId { layer: 1, head: 1 }];
    let shape = ActivationShape { heads, head_dim: 2, d: 2 };
    let mut part = PartWriter::create(&write("part"), &run, "f", &shape)?;
    part.write(ActivationBatch {
        image_index: vec![0, 1],
        inv_scale: vec![1.0; 2],
        mean_scale: vec![0.0; 2],
        inv_norm: vec![1.0; 2],
        representation: vec![0.5; 4],
        heads: vec![vec![0.5; 4]; 2],
    })?;
    part.commit()?;
    let record = StageRecord {
        stage: "fuzz".to_owned(),
        headspan: "0.1.0".to_owned(),
        fingerprint: "f".to_owned(),
        config: serde_json::json!({"k": 60}),
        inputs: [("images".to_owned(), "f".to_owned())].into(),
        rows: 1,
        bytes: 2,
        seconds: 0.5,
        finished_at: 1,
        figures: [("identity".to_owned(), serde_json::json!(1e-6))].into(),
        provenance: None,
    };
    fs_err::write(write("record"), serde_json::to_vec(&record).unwrap_or_default())?;
    Ok(fs_err::write(write("head"), "L23.H7")?)
}

headspan_fuzz::target!(table);
