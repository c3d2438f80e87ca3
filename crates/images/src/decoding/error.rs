use crate::decoding::formats::Format;

/// Why an image cannot be used. None of these stops a run that is not strict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// Nothing that is known.
    #[error("not an image in a known format (it begins with {start})")]
    UnknownFormat {
        /// The first bytes, hexadecimal.
        start: String,
    },
    /// Known, but not decoded: a picture in another format, or no picture.
    #[error("not an image that headspan reads: {what}")]
    Foreign {
        /// What it is, with an article, such as *an AVIF image*.
        what: &'static str,
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
    /// A valid image of a kind that is not decoded.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// Colour space, coding or the like.
        what: String,
    },
}

impl ImageError {
    /// An image whose bytes make no sense.
    pub(super) fn corrupt(format: Format, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Corrupt { format: format.name(), source: source.into() }
    }

    /// An image that goes on beyond the end of its file.
    pub(super) fn truncated(format: Format) -> Self {
        Self::Truncated { format: format.name(), message: "the file ends before the image does".to_owned() }
    }

    /// A feature of a format that is not decoded.
    pub(super) fn unsupported(format: Format, what: impl Into<String>) -> Self {
        Self::Unsupported { format: format.name(), what: what.into() }
    }
}
