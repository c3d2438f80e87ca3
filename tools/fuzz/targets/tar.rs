//! Bytes as a tar shard: what is listed can be read, whole and in any order.
//!
//! The first byte says how the rest is written: as it is, with the checksums of its headers made right (without which hardly a
//! change would get behind a header), and these compressed by gzip or Zstandard.
#![no_main]

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use headspan_images::{Dataset, DatasetSettings, ReadError};

const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Images that are read.
const READ: u64 = 32;

fn tar(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let shard = match how % 4 {
        0 => bytes.to_vec(),
        1 => with_checksums(bytes),
        2 => gzip(&with_checksums(bytes)),
        _ => zstd::encode_all(with_checksums(bytes).as_slice(), 1).expect("compressed in memory"),
    };
    let path = headspan_fuzz::file("shard.tar", &shard);
    let settings = DatasetSettings { path, max_file_bytes: 1 << 20, ..DatasetSettings::default() };
    let Ok(dataset) = Dataset::open(&settings) else { return };
    _ = (dataset.fingerprint(), dataset.warnings(), dataset.refuse_damage(&settings));
    let images = dataset.len().min(READ);
    for index in (0..images).chain((0..images).rev()) {
        match dataset.read(index) {
            Ok(_) | Err(ReadError::TooLarge { .. }) => _ = dataset.item(index),
            Err(error) => panic!("image {index} is listed, and cannot be read: {error}"),
        }
    }
}

/// Blocks that say they are headers, with the right checksum.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("compressed in memory")
}

headspan_fuzz::target!(tar);
