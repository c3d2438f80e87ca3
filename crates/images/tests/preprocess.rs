//! Decoding and resampling against Pillow (`tools/reference/preprocess_reference.py`).
//!
//! All files must match to the bit. [`odd_images`](odd_images.rs) has more kinds of them.

use std::{error::Error, io::Write, path::PathBuf};

use headspan_images::{DecodeLimits, ImageError, Preprocess, Resize, decode_rgb};

type Outcome = Result<(), Box<dyn Error>>;

const PREPROCESS: Preprocess = Preprocess { size: 32, resize: Resize::Shortest, mean: [0.5; 3], std: [0.5; 3] };

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/preprocess")
}

/// Name, file and expected pixels.
type Case = (String, Vec<u8>, Vec<u8>);

fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let mut cases = Vec::new();
    for entry in fs_err::read_dir(data())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.ends_with(".expected.png") {
            continue;
        }
        let expected = fs_err::read(path.with_extension("expected.png"))?;
        let expected = decode_rgb(&expected, &DecodeLimits::default())?;
        assert_eq!((expected.width, expected.height), (32, 32));
        cases.push((name, fs_err::read(&path)?, expected.data));
    }
    assert!(cases.len() > 20, "only {} cases", cases.len());
    Ok(cases)
}

#[test]
fn pixels_are_pillows() -> Outcome {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in cases()? {
        let image = decode_rgb(&bytes, &DecodeLimits::default()).map_err(|error| format!("{name}: {error}"))?;
        let found = PREPROCESS.pixels(&image);
        let worst = found.iter().zip(&expected).map(|(x, y)| x.abs_diff(*y)).max().unwrap_or(0);
        if worst > 0 || found.len() != expected.len() {
            wrong.push(format!("{name}: off by {worst}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn other_resizes_are_those_of_open_clip_and_timm() -> Outcome {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/resize");
    let read = |name: &str| -> Result<_, Box<dyn Error>> {
        Ok(decode_rgb(&fs_err::read(folder.join(name))?, &DecodeLimits::default())?)
    };
    let image = read("image.png")?;
    // timm: 32 pixels are 0.9 of the shortest side.
    for (name, resize) in [("squash.png", Resize::Squash), ("margin.png", Resize::ShortestTo(35))] {
        let found = Preprocess { resize, ..PREPROCESS }.pixels(&image);
        assert!(found == read(name)?.data, "{name}");
    }
    Ok(())
}

#[test]
fn damaged_files_are_errors_and_never_panics() -> Outcome {
    let limits = DecodeLimits { max_pixels: 1 << 20 };
    for (name, bytes, _) in cases()? {
        for part in 0..25 {
            let cut = &bytes[..bytes.len() * part / 25];
            if let Ok(image) = decode_rgb(cut, &limits) {
                // Some formats end before their file does; what was decoded must then be whole.
                assert_eq!(image.data.len(), 3 * image.width as usize * image.height as usize, "{name} cut at {part}");
                assert!(!name.starts_with("jpeg"), "{name} cut to {part}/25 was taken for a whole image");
            }
        }
        let mut state = 1_u32;
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = state as usize % damaged.len();
                damaged[at] ^= (state >> 24) as u8;
            }
            // Any outcome but a panic or a hang; bit flips may leave a valid image.
            drop(decode_rgb(&damaged, &limits));
        }
    }
    Ok(())
}

#[test]
fn what_is_no_image_says_what_it_is() {
    let limits = DecodeLimits::default();
    assert!(matches!(decode_rgb(b"", &limits), Err(ImageError::Empty)));
    let said = |bytes: &[u8]| decode_rgb(bytes, &limits).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(said(b"plain text").contains("70 6c 61 69 6e"), "{}", said(b"plain text"));
    assert!(said(b"<html>").contains("web page"), "{}", said(b"<html>"));
    assert!(said(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").contains("HEIC"));
}

/// A profile that inflates to a thousand times its size takes no memory, as pixels do not need it.
#[test]
fn a_profile_is_not_inflated() -> Outcome {
    const INFLATED: usize = 512 << 20;
    let mut profile = flate2::write::ZlibEncoder::new(b"profile\0\0".to_vec(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..INFLATED / zeros.len() {
        profile.write_all(&zeros)?;
    }
    let profile = profile.finish()?;
    let mut chunk = (profile.len() as u32).to_be_bytes().to_vec();
    chunk.extend_from_slice(b"iCCP");
    chunk.extend_from_slice(&profile);
    let mut crc = flate2::Crc::new();
    crc.update(&chunk[4..]);
    chunk.extend_from_slice(&crc.sum().to_be_bytes());
    let plain = fs_err::read(data().join("rgb.png"))?;
    // Behind the signature and the header.
    let bomb = [&plain[..33], &chunk, &plain[33..]].concat();
    let before = peak_memory();
    let image = decode_rgb(&bomb, &DecodeLimits::default())?;
    let after = peak_memory();
    assert_eq!(image, decode_rgb(&plain, &DecodeLimits::default())?);
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after - before < INFLATED / 4, "{} bytes more", after - before);
    }
    Ok(())
}

/// The most memory that this process had, in bytes, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}
