//! Files as they are met in data sets against Pillow (`tools/reference/odd_images.py`): cut, padded, damaged, with markers of
//! all kinds, in every coding. What Pillow reads has Pillow's pixels to the bit, or is refused by name.

use std::{error::Error, path::PathBuf};

use headspan_images::{DecodeLimits, ImageError, Preprocess, Resize, RgbImage8, decode_rgb, probe_dimensions};
use sha2::{Digest, Sha256};

type Outcome = Result<(), Box<dyn Error>>;

/// What Pillow reads and headspan refuses: the file and a word of the message.
const REFUSED: &[(&str, &str)] = &[
    ("gif-no-colors.gif", "no colour table"),
    ("tiff-1-group4.tif", "Fax4"),
    ("tiff-rgb-jpeg.tif", "JPEG"),
    ("tiff-rgb-lzma.tif", "compression"),
    ("tiff-ycbcr.tif", "YCbCr"),
];

/// Damaged files whose pixels are others where the decoder is built without vector code, and which: Pillow's own are the same
/// with `JSIMD_FORCENONE=1`. Sums of damaged numbers overflow, and the two ways differ in what is left of them.
const WITHOUT_VECTOR_CODE: &[(&str, &str)] = &[("jpeg-bits-flipped.jpg", "245acedc9492e2fa")];

/// What Pillow refuses and headspan reads, and the file that has the same pixels.
const READ: &[(&str, &str)] = &[
    ("jpeg-adobe-short.jpg", "jpeg-bare.jpg"),
    ("png-wrong-checksum-text.png", "png-rgb.png"),
    ("png-wrong-checksum-gamma.png", "png-rgb.png"),
];

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/odd")
}

fn decode(file: &str) -> Result<RgbImage8, ImageError> {
    let bytes = fs_err::read(data().join(file))
        .map_err(|error| ImageError::Corrupt { format: "file", source: error.into() })?;
    decode_rgb(&bytes, &DecodeLimits::default())
}

/// The start of the SHA-256, as the script writes it.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A file of `pixels.txt`; width, height and digest unless Pillow refuses it.
type Case = (String, Option<(u32, u32, String)>);

fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let list = fs_err::read_to_string(data().join("pixels.txt"))?;
    let mut cases = Vec::new();
    for line in list.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        cases.push(match words.as_slice() {
            [file, "refused"] => ((*file).to_owned(), None),
            [file, width, height, digest] => {
                ((*file).to_owned(), Some((width.parse()?, height.parse()?, (*digest).to_owned())))
            }
            _ => return Err(line.into()),
        });
    }
    assert!(cases.len() > 200, "only {} cases", cases.len());
    Ok(cases)
}

#[test]
fn what_pillow_reads_has_its_pixels() -> Outcome {
    let mut wrong = Vec::new();
    for (file, pillow) in cases()? {
        let Some((width, height, pixels)) = pillow else { continue };
        if REFUSED.iter().any(|(own, _)| *own == file) {
            continue;
        }
        match decode(&file) {
            Err(error) => wrong.push(format!("{file}: {error}: {:?}", error.source())),
            Ok(image) if (image.width, image.height) != (width, height) => {
                wrong.push(format!("{file}: {} × {}", image.width, image.height));
            }
            Ok(image) => {
                let own = digest(&image.data);
                if own != pixels && !WITHOUT_VECTOR_CODE.contains(&(file.as_str(), own.as_str())) {
                    wrong.push(format!("{file}: other pixels, {own}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn what_pillow_refuses_is_refused() -> Outcome {
    let mut wrong = Vec::new();
    for (file, pillow) in cases()? {
        if pillow.is_none() && READ.iter().all(|(own, _)| *own != file) && decode(&file).is_ok() {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (file, same) in READ {
        assert_eq!(decode(file)?, decode(same)?, "{file}");
    }
    for (file, word) in REFUSED {
        let message = decode(file).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains("not supported") && message.contains(word), "{file}: {message}");
    }
    Ok(())
}

/// The page that takes uploads asks for the size before it decodes.
#[test]
fn sizes_are_known_without_decoding() -> Outcome {
    for (file, pillow) in cases()? {
        let Some((width, height, _)) = pillow else { continue };
        let found = probe_dimensions(&fs_err::read(data().join(&file))?);
        assert_eq!(found, Some((width, height)), "{file}");
    }
    Ok(())
}

/// What was cut anywhere never panics, and decodes to a whole image if it decodes at all.
#[test]
fn cut_files_are_whole_or_refused() -> Outcome {
    for (file, _) in cases()? {
        let bytes = fs_err::read(data().join(&file))?;
        for part in 1..40 {
            let cut = &bytes[..bytes.len() * part / 40];
            if let Ok(image) = decode_rgb(cut, &DecodeLimits { max_pixels: 1 << 20 }) {
                assert_eq!(
                    image.data.len(),
                    3 * image.width as usize * image.height as usize,
                    "{file} cut at {part}/40"
                );
            }
        }
    }
    Ok(())
}

/// Real photographs, decoded and through OpenCLIP's transform: Pillow's pixels to the bit.
#[test]
fn photos_have_pillows_pixels() -> Outcome {
    const PREPROCESS: Preprocess = Preprocess { size: 224, resize: Resize::Shortest, mean: [0.5; 3], std: [0.5; 3] };
    let Some(shared) = std::env::var_os("HEADSPAN_SHARED") else {
        eprintln!("skipped: HEADSPAN_SHARED is not set, so there are no photos");
        return Ok(());
    };
    let folder = PathBuf::from(shared).join("data/photos");
    let list = fs_err::read_to_string(data().join("photos.txt"))?;
    let mut photos = 0;
    for line in list.lines() {
        let [name, decoded, resized] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(line.into()) };
        let image = decode_rgb(&fs_err::read(folder.join(name))?, &DecodeLimits::default())?;
        assert_eq!(digest(&image.data), decoded, "{name}");
        assert_eq!(digest(&PREPROCESS.pixels(&image)), resized, "{name}, resized");
        photos += 1;
    }
    assert_eq!(photos, 250);
    Ok(())
}
