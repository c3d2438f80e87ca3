//! Tars that are compressed, whatever they are called, and members without their holes.

use std::io::{Read, Write};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use fs_err as fs;
use headspan_images::{Dataset, DatasetSettings, Sample};
use sha2::{Digest, Sha256};

use crate::{Outcome, assert_bytes, data, ids, message, said, settings, tar_bytes, write};

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Bytes of a shard, and of the images in it.
type Shard = (Vec<u8>, Vec<Vec<u8>>);

/// A shard of numbered images.
fn numbered(count: usize) -> std::io::Result<Shard> {
    let images: Vec<Vec<u8>> = (0..count).map(|number| vec![number as u8; 100 + 37 * number]).collect();
    let names: Vec<String> = (0..count).map(|number| format!("{number:03}.jpg")).collect();
    let members: Vec<_> = names.iter().zip(&images).map(|(name, image)| (name.as_str(), image.as_slice())).collect();
    Ok((tar_bytes(&members)?, images))
}

#[test]
fn compressed_shards_are_read_by_their_bytes() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (tar, images) = numbered(60)?;
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let (front, back) = tar.split_at(5000);
    for (name, bytes) in [
        ("s.tar.gz", gzip(&tar)?),
        ("s.tgz", [gzip(front)?, gzip(back)?].concat()),
        ("gzip.tar", gzip(&tar)?),
        ("s.tar.zst", zstd::encode_all(tar.as_slice(), 1)?),
        ("s.tzst", [zstd::encode_all(front, 1)?, zstd::encode_all(back, 1)?].concat()),
        ("zstd.tar", zstd::encode_all(tar.as_slice(), 1)?),
        ("plain.tar.gz", tar.clone()),
    ] {
        let shard = folder.path().join(name);
        write(&shard, &bytes)?;
        let dataset = Dataset::open(&settings(&shard))?;
        assert_eq!(said(&dataset), "", "{name}");
        assert_eq!(ids(&dataset)[7], format!("{name}/007.jpg"));
        assert_bytes(&dataset, &images)?;
        fs::remove_file(&shard)?;
    }
    Ok(())
}

#[test]
fn a_sample_of_a_compressed_shard_is_read() -> Outcome {
    let folder = tempfile::tempdir()?;
    let shard = folder.path().join("s.tar.gz");
    let (tar, images) = numbered(60)?;
    write(&shard, &gzip(&tar)?)?;
    let sample = Some(Sample { count: 9, seed: 3 });
    let dataset = Dataset::open(&DatasetSettings { sample, ..settings(&shard) })?;
    let chosen: Vec<usize> = ids(&dataset).iter().map(|id| id[9..12].parse()).collect::<Result<_, _>>()?;
    assert_bytes(&dataset, &chosen.iter().map(|number| images[*number].as_slice()).collect::<Vec<_>>())
}

#[test]
fn what_precedes_the_cut_of_a_compressed_shard_counts() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (tar, images) = numbered(200)?;
    for (name, bytes) in [("s.tar.gz", gzip(&tar)?), ("s.tar.zst", zstd::encode_all(tar.as_slice(), 1)?)] {
        let shard = folder.path().join(name);
        write(&shard, &bytes[..bytes.len() - 40])?;
        let dataset = Dataset::open(&settings(&shard))?;
        assert!(dataset.len() <= 200 && said(&dataset).contains("1 shards are damaged"), "{}", said(&dataset));
        assert_bytes(&dataset, &images.iter().map(Vec::as_slice).take(dataset.len() as usize).collect::<Vec<_>>())?;
    }
    Ok(())
}

#[test]
fn compressed_tars_beside_images_are_archives_and_other_codings_are_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (tar, _images) = numbered(2)?;
    write(&folder.path().join("photos.tar.gz"), &gzip(&tar)?)?;
    assert_eq!(Dataset::open(&settings(folder.path()))?.len(), 2);
    write(&folder.path().join("cats/1.jpg"), b"1")?;
    let dataset = Dataset::open(&settings(folder.path()))?;
    assert_eq!(ids(&dataset), ["cats/1.jpg"]);
    assert_eq!(said(&dataset), "passed over 1 files that are not images: 1 .tar.gz");
    let shard = folder.path().join("s.tar.xz");
    write(&shard, b"\xfd7zXZ\0\0\x04")?;
    assert!(message(&settings(&shard)).contains("s.tar.xz` is compressed with xz"), "{}", message(&settings(&shard)));
    Ok(())
}

/// Python's tarfile is the judge of sparse members.
#[test]
fn sparse_members_have_the_bytes_that_tarfile_reads() -> Outcome {
    let expected: serde_json::Value = serde_json::from_str(&fs::read_to_string(data("expected.json"))?)?;
    let folder = tempfile::tempdir()?;
    for format in ["gnu", "pax-0.0", "pax-0.1", "pax-1.0"] {
        let packed = data(&format!("sparse-{format}.tar.gz"));
        let mut tar = Vec::new();
        GzDecoder::new(fs::File::open(&packed)?).read_to_end(&mut tar)?;
        let plain = folder.path().join("s.tar");
        write(&plain, &tar)?;
        for shard in [packed, plain] {
            let dataset = Dataset::open(&settings(&shard))?;
            assert_eq!((dataset.len(), said(&dataset)), (3, String::new()), "{format}");
            for index in [2, 0, 1, 0] {
                let id = dataset.item(index).id.into_owned();
                let (_shard, name) = id.rsplit_once('/').unwrap_or_default();
                let hash: String =
                    Sha256::digest(dataset.read(index)?).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(expected["sparse"][format][name], hash, "{format}: {id}");
            }
            let small = Dataset::open(&DatasetSettings { max_file_bytes: 9, ..settings(&shard) })?;
            assert!(small.read(0).is_err_and(|error| error.to_string().contains("65536 bytes, more than")));
        }
    }
    Ok(())
}
