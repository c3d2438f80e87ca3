/// Why an image cannot be used. None of these stops a run that is not strict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Not one of the formats.
    #[error("not a JPEG, PNG or WebP image (it begins with {start})")]
    UnknownFormat {
        /// The first bytes, hexadecimal.
        start: String,
    },
    /// The file ends before the image does.
    #[error("truncated {format}: {message}")]
    Truncated {
        /// The format.
        format: &'static str,
        /// What is missing.
        message: String,
    },
    /// The bytes are not a valid image.
    #[error("corrupt {format}")]
    Corrupt {
        /// The format.
        format: &'static str,
        /// What the decoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More pixels than allowed; found before anything is decoded.
    #[error("{width}×{height} pixels are more than the limit of {limit} (a decompression bomb?)")]
    TooLarge {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// The limit.
        limit: u64,
    },
    /// A valid image of a kind that cannot be converted to RGB.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// Colour space or the like.
        what: String,
    },
}
