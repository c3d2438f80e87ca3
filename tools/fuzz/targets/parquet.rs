//! Bytes as a Parquet file of images, and as a Parquet manifest.
#![no_main]

use headspan_images::{Dataset, DatasetKind, DatasetSettings};

/// Rows that are read.
const READ: u64 = 32;

fn parquet(bytes: &[u8]) {
    let path = headspan_fuzz::file("table.parquet", bytes);
    for kind in [DatasetKind::Auto, DatasetKind::Parquet, DatasetKind::Manifest] {
        let settings =
            DatasetSettings { path: path.clone(), kind, max_file_bytes: 1 << 20, ..DatasetSettings::default() };
        let Ok(dataset) = Dataset::open(&settings) else { continue };
        _ = (dataset.fingerprint(), dataset.warnings());
        let rows = dataset.len().min(READ);
        for row in (0..rows).chain((0..rows).rev()) {
            _ = (dataset.item(row), dataset.read(row));
        }
    }
}

headspan_fuzz::target!(parquet);
