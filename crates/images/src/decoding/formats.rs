//! What a file is, by its bytes alone, and which endings of file names are those of pictures.

/// A format that is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    WebP,
    Bmp,
    Gif,
    Tiff,
    Pnm,
    Qoi,
}

impl Format {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
            Self::Pnm => "PNM",
            Self::Qoi => "QOI",
        }
    }

    /// The format of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'B', b'M', ..] if bmp_header(bytes) => Some(Self::Bmp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            [b'P', b'1'..=b'6', space, ..] if space.is_ascii_whitespace() || *space == b'#' => Some(Self::Pnm),
            [b'q', b'o', b'i', b'f', ..] => Some(Self::Qoi),
            _ => None,
        }
    }
}

/// Whether the size of a BMP's second header is one that exists: `BM` alone begins many a text.
fn bmp_header(bytes: &[u8]) -> bool {
    bytes.get(14..18).is_some_and(|size| matches!(size, [12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

/// What other files begin with, and what they are.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\xff\xd8", "a damaged JPEG: no marker follows its first"),
    (b"\x89PNG", "a damaged PNG: its signature was changed, as by a transfer in text mode"),
    (b"II\xbc\x01", "a JPEG XR image"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"AT&TFORM", "a DjVu document"),
    (b"DDS ", "a DDS texture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"SIMPLE  =", "a FITS image"),
    (b"icns", "an Apple icon"),
    (b"\0\0\x01\0", "a Windows icon"),
    (b"\0\0\x02\0", "a Windows cursor"),
    (b"P7\n", "a PAM image"),
    (b"Pf\n", "a PFM image"),
    (b"PF\n", "a PFM image"),
    (b"FUJIFILMCCD-RAW", "a raw photo"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"OggS", "a video"),
    (b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS, not the file itself"),
    (b"{", "JSON, as a failed download gives"),
];

/// Brands of files that begin with `ftyp`.
const BRANDS: &[(&[u8], &str)] = &[
    (b"avif", "an AVIF image"),
    (b"avis", "an AVIF image"),
    (b"hei", "a HEIC image"),
    (b"hev", "a HEIC image"),
    (b"mif1", "a HEIF image"),
    (b"msf1", "a HEIF image"),
    (b"crx ", "a raw photo"),
];

/// What the bytes of an undecoded file are, where that is known.
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    if let [_, _, _, _, b'f', b't', b'y', b'p', brands @ ..] = bytes {
        // The major brand, its version, then the compatible brands: an AVIF may name itself by the general `mif1` first.
        let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let own: Vec<&[u8]> = brands[..brands.len().min(size.saturating_sub(8)).min(256)].chunks_exact(4).collect();
        let known = BRANDS.iter().find(|(name, _)| own.iter().any(|brand| brand.starts_with(name)));
        return Some(known.map_or("a video", |(_, what)| what));
    }
    if bytes.get(128..132) == Some(b"DICM") {
        return Some("a DICOM image");
    }
    let start = &bytes[..bytes.len().min(4096)];
    if start.iter().all(|byte| *byte == 0) {
        return Some("zero bytes alone, as an interrupted download leaves");
    }
    let known = FOREIGN.iter().find(|(first, _)| bytes.starts_with(first)).map(|(_, what)| *what);
    known.or_else(|| markup(start))
}

/// What a text is that begins with `<`.
fn markup(start: &[u8]) -> Option<&'static str> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start().to_ascii_lowercase();
    if !text.starts_with(b"<") {
        return None;
    }
    let has = |tag: &[u8]| text.windows(tag.len()).any(|part| part == tag);
    Some(if has(b"<html") || has(b"<!doctype html") || has(b"<head") || has(b"<body") {
        "a web page, as a failed download gives"
    } else if has(b"<svg") {
        "an SVG drawing"
    } else {
        "XML, as a failed download gives"
    })
}

/// Endings of the formats that are decoded. In shards, the earlier ending is preferred.
pub(crate) const IMAGE_ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "png", "webp", "jfif", "apng", "bmp", "dib", "tif", "tiff", "gif", "ppm", "pgm", "pbm",
    "pnm", "qoi", "mpo",
];

/// Endings of picture formats that are refused by name: coded pictures, drawings and documents, editors, cameras.
const FOREIGN_ENDINGS: &[&str] = &[
    "avif", "avifs", "heic", "heics", "heif", "heifs", "hif", "jxl", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jph",
    "jxr", "wdp", "hdp", "jls", "jbig2", "jb2", "bpg", "flif", "svg", "svgz", "pdf", "eps", "ps", "ai", "wmf", "emf",
    "djvu", "psd", "psb", "xcf", "kra", "tga", "pcx", "xbm", "xpm", "sgi", "rgb", "rgba", "bw", "dds", "icns", "ico",
    "cur", "pict", "pct", "fits", "fit", "dcm", "hdr", "exr", "pfm", "pam", "ktx", "dng", "cr2", "cr3", "crw", "nef",
    "nrw", "arw", "srf", "sr2", "raf", "orf", "rw2", "pef", "raw", "3fr", "erf", "kdc", "mrw", "x3f",
];

/// Whether an ending, without its dot and in whatever case, is that of a format that is decoded.
pub(crate) fn is_image_ending(ending: &str) -> bool {
    contains(IMAGE_ENDINGS, ending)
}

/// Whether an ending, without its dot and in whatever case, is that of a picture format that is not supported. Such a file is
/// most likely a picture that its owner expects to be read, so that it should be named when it is passed over.
pub(crate) fn foreign_image_ending(ending: &str) -> bool {
    contains(FOREIGN_ENDINGS, ending)
}

fn contains(endings: &[&str], ending: &str) -> bool {
    endings.iter().any(|own| own.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_compared_in_any_case_and_none_is_in_both_lists() {
        assert!(is_image_ending("JPG") && is_image_ending("tiff") && !is_image_ending("heic") && !is_image_ending(""));
        assert!(foreign_image_ending("HEIC") && !foreign_image_ending("jpg") && !foreign_image_ending("txt"));
        for ending in IMAGE_ENDINGS {
            assert!(!foreign_image_ending(ending), "{ending}");
        }
    }

    #[test]
    fn what_is_not_decoded_is_named() {
        let named: [(&[u8], &str); 14] = [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "HEIF"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video"),
            (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JPEG XL"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"\xef\xbb\xbf  <!DOCTYPE html><title>404</title>", "web page"),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"\">", "SVG"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "XML"),
            (b"{\"error\": 404}", "JSON"),
            (b"%PDF-1.7", "PDF"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
            (b"\x89PNG\n\x1a\n", "damaged PNG"),
            (&[0; 5000], "zero bytes"),
        ];
        for (bytes, word) in named {
            assert_eq!(Format::of(bytes), None, "{word}");
            assert!(foreign(bytes).is_some_and(|what| what.contains(word)), "{word}: {:?}", foreign(bytes));
        }
        for unknown in [&b"BMW is no bitmap, though it begins as one"[..], b"hello", b"\0\0\0\x04ftyp"] {
            assert_eq!(Format::of(unknown), None);
        }
        assert_eq!(foreign(b"hello"), None);
    }

    #[test]
    fn brands_are_read_within_their_box() {
        // The box says 16 bytes: `avif` behind it belongs to something else.
        assert_eq!(foreign(b"\0\0\0\x10ftypisom\0\0\0\0avif"), Some("a video"));
        assert_eq!(foreign(b"\xff\xff\xff\xffftypavif"), Some("an AVIF image"));
    }
}
