//! Bytes as a file of labels: CSV, or Parquet if it begins as Parquet does.
#![no_main]

use headspan_label::import::read;

fn labels(bytes: &[u8]) {
    let name = if bytes.starts_with(b"PAR1") { "labels.parquet" } else { "labels.csv" };
    let path = headspan_fuzz::file(name, bytes);
    let Ok(all) = read(&path, None) else { return };
    let wanted = all.first().map(|(model, _)| model.clone()).unwrap_or_default();
    assert!(read(&path, Some(&wanted)).is_ok_and(|some| some.len() <= all.len()));
}

headspan_fuzz::target!(labels);
