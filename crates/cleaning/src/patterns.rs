//! Regular expressions, compiled when a text first needs them.

use std::sync::LazyLock;

use regex::{Regex, bytes};

use crate::tables::SUSPICIOUS;

/// A pattern of the program itself, which compiles.
fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
}

fn compiled_bytes(pattern: &str) -> bytes::Regex {
    bytes::Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Whether text looks wrongly decoded.
pub(crate) static WRONGLY_DECODED: LazyLock<Regex> = LazyLock::new(|| compiled(SUSPICIOUS));

/// An entity with its semicolon.
pub(crate) static ENTITY: LazyLock<Regex> = LazyLock::new(|| compiled("&#?[0-9A-Za-z]{1,24};"));

/// What Python's `html.unescape` looks at: a number, or a name whose semicolon may be missing.
pub(crate) static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| compiled(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\x0c <&#;]{1,32};?)"));

/// A sequence that colours text in a terminal.
pub(crate) static TERMINAL_ESCAPE: LazyLock<Regex> = LazyLock::new(|| compiled(r"\x1b\[(?:\d|;)*[a-zA-Z]"));

/// UTF-8 in which a space stands for the byte 0xA0.
pub(crate) static SPACED: LazyLock<bytes::Regex> = LazyLock::new(|| {
    compiled_bytes(concat!(
        r"(?-u)[\xc2\xc3\xc5\xce\xd0\xd9][ ]",
        r"|[\xe2\xe3][ ][\x80-\x84\x86-\x9f\xa1-\xbf]",
        r"|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf][ ]",
        r"|\xf0[ ][\x80-\xbf][\x80-\xbf]",
        r"|\xf0[\x80-\xbf][ ][\x80-\xbf]",
        r"|\xf0[\x80-\xbf][\x80-\xbf][ ]",
    ))
});

/// UTF-8 in which bytes were lost: 0x1A stands for them, or a question mark.
pub(crate) static LOSSY: LazyLock<bytes::Regex> = LazyLock::new(|| {
    compiled_bytes(concat!(
        r"(?-u)[\xc2-\xdf]\x1a",
        r"|[\xc2-\xc3][?]",
        r"|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
        r"|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
        r"|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
        r"|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
        r"|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]",
        r"|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
        r"|[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]",
        r"|\x1a",
    ))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_compile() {
        for pattern in [&WRONGLY_DECODED, &ENTITY, &REFERENCE, &TERMINAL_ESCAPE] {
            assert!(!pattern.is_match("plain"));
        }
        assert!(!SPACED.is_match(b"plain") && !LOSSY.is_match(b"plain"));
    }
}
