//! Which endings of files are those of pictures. How a picture is decoded never depends on its ending, only on its bytes.

/// Endings of the formats that are decoded. In shards, the earlier ending is preferred.
pub(crate) const IMAGE_ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "png", "webp", "jfif", "apng", "bmp", "dib", "tif", "tiff", "gif", "ppm", "pgm", "pbm",
    "pnm", "qoi", "ico", "mpo",
];

/// Endings of picture formats that are refused by name: coded pictures, drawings and documents, editors, cameras.
const FOREIGN_ENDINGS: &[&str] = &[
    "avif", "avifs", "heic", "heics", "heif", "heifs", "hif", "jxl", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jph",
    "jxr", "wdp", "hdp", "jls", "jbig2", "jb2", "bpg", "flif", "svg", "svgz", "pdf", "eps", "ps", "ai", "wmf", "emf",
    "djvu", "psd", "psb", "xcf", "kra", "tga", "pcx", "xbm", "xpm", "sgi", "rgb", "rgba", "bw", "dds", "icns", "cur",
    "pict", "pct", "fits", "fit", "dcm", "hdr", "exr", "pfm", "pam", "ktx", "dng", "cr2", "cr3", "crw", "nef", "nrw",
    "arw", "srf", "sr2", "raf", "orf", "rw2", "pef", "raw", "3fr", "erf", "kdc", "mrw", "x3f",
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
}
