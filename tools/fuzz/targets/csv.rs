//! Bytes as a CSV manifest, and as the class file of one. Its images are not read: any path may stand there.
#![no_main]

use headspan_images::{Dataset, DatasetSettings};

fn csv(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let name = if how & 1 == 0 { "manifest.csv" } else { "manifest.tsv" };
    open(DatasetSettings { path: headspan_fuzz::file(name, bytes), ..DatasetSettings::default() });
    let path = headspan_fuzz::file("images.csv", b"path,class\na.jpg,a\nb.jpg,1\n");
    open(DatasetSettings {
        path,
        classes: Some(headspan_fuzz::file("classes.txt", bytes)),
        ..DatasetSettings::default()
    });
}

fn open(settings: DatasetSettings) {
    let Ok(dataset) = Dataset::open(&settings) else { return };
    _ = (dataset.fingerprint(), dataset.warnings(), dataset.classes().names().len());
    for row in 0..dataset.len() {
        assert!(!dataset.item(row).id.trim().is_empty(), "a row without a path");
    }
}

headspan_fuzz::target!(csv);
