//! Encodings in which text is decoded by mistake, and the two odd forms of UTF-8.

use std::{collections::HashMap, sync::LazyLock};

use crate::tables;

/// An encoding of one byte a character; the lower half is ASCII.
pub(crate) struct Encoding {
    upper: Vec<char>,
    bytes: HashMap<char, u8>,
    /// Whether it has holes, which stand for the characters of the same numbers. The byte 0x1A stands for a lost character then.
    pub(crate) sloppy: bool,
    /// Whether a space may stand for a lost 0xA0. In Mac Roman that would find dashes before spaces.
    pub(crate) spaced: bool,
}

const LOST: u8 = 0x1a;

impl Encoding {
    fn new(upper: &str, sloppy: bool, spaced: bool) -> Self {
        let upper: Vec<char> = upper.chars().collect();
        let bytes = (0x80..=u8::MAX).zip(&upper).map(|(byte, character)| (*character, byte)).collect();
        Self { upper, bytes, sloppy, spaced }
    }

    /// The bytes that give the text; none if it has a character that the encoding lacks.
    pub(crate) fn encoded(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|character| self.byte(character)).collect()
    }

    fn byte(&self, character: char) -> Option<u8> {
        match character {
            '\u{1a}' if self.sloppy => None,
            '\0'..='\u{7f}' => Some(character as u8),
            '\u{fffd}' if self.sloppy => Some(LOST),
            other => self.bytes.get(&other).copied(),
        }
    }

    /// The character of a byte; of 0x1A, the control.
    pub(crate) fn character(&self, byte: u8) -> char {
        byte.checked_sub(0x80).and_then(|upper| self.upper.get(usize::from(upper)).copied()).unwrap_or(char::from(byte))
    }
}

/// In the order in which they are tried.
pub(crate) static ENCODINGS: LazyLock<[Encoding; 10]> = LazyLock::new(|| {
    [
        Encoding::new(tables::LATIN_1, false, true),
        Encoding::new(tables::WINDOWS_1252, true, true),
        Encoding::new(tables::WINDOWS_1251, true, true),
        Encoding::new(tables::WINDOWS_1250, true, true),
        Encoding::new(tables::WINDOWS_1253, true, true),
        Encoding::new(tables::WINDOWS_1254, true, true),
        Encoding::new(tables::WINDOWS_1257, true, true),
        Encoding::new(tables::ISO_8859_2, false, true),
        Encoding::new(tables::MACINTOSH, false, false),
        Encoding::new(tables::CP437, false, true),
    ]
});

/// What web browsers take Latin-1 for.
pub(crate) static WINDOWS_1252: LazyLock<Encoding> = LazyLock::new(|| Encoding::new(tables::WINDOWS_1252, true, true));

/// Text of Latin-1 as Windows-1252; none where that has a hole.
pub(crate) fn latin_1_as_windows(text: &str) -> Option<String> {
    text.chars()
        .map(|character| {
            let byte = u8::try_from(character).ok()?;
            let found = WINDOWS_1252.character(byte);
            let hole = ('\u{80}'..='\u{9f}').contains(&found);
            (!hole).then_some(found)
        })
        .collect()
}

/// UTF-8 in which a character above U+FFFF may be a pair of surrogates, and U+0000 may be two bytes; none if it is not that.
pub(crate) fn decoded_variant(bytes: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(bytes.len());
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (special, length) = match &bytes[at..] {
            [0xc0, 0x80, ..] => ('\0', 2),
            [0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d @ 0x80..=0xbf, ..] => {
                let bits = |byte: &u8, mask: u8| u32::from(byte & mask);
                let number = (bits(a, 0x0f) << 16) + (bits(b, 0x3f) << 10) + (bits(c, 0x0f) << 6) + bits(d, 0x3f);
                (char::from_u32(number + 0x1_0000)?, 6)
            }
            _ => {
                at += 1;
                continue;
            }
        };
        out.push_str(str::from_utf8(&bytes[start..at]).ok()?);
        out.push(special);
        at += length;
        start = at;
    }
    out.push_str(str::from_utf8(&bytes[start..]).ok()?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_gives_its_upper_bytes_back() {
        for (number, encoding) in ENCODINGS.iter().enumerate() {
            for byte in 0x80..=u8::MAX {
                let text = encoding.character(byte).to_string();
                assert_eq!(encoding.encoded(&text), Some(vec![byte]), "encoding {number}, byte {byte:#x}");
            }
        }
        assert_eq!(WINDOWS_1252.encoded("\u{fffd}"), Some(vec![LOST]));
        assert_eq!(WINDOWS_1252.encoded("\u{1a}"), None);
    }

    #[test]
    fn holes_of_windows_are_no_characters() {
        assert_eq!(latin_1_as_windows("a\u{85}").as_deref(), Some("a…"));
        assert_eq!(latin_1_as_windows("a\u{81}"), None);
    }

    #[test]
    fn surrogates_and_long_nulls_are_decoded() {
        assert_eq!(decoded_variant(b"a\xc0\x80\xed\xa0\xbd\xed\xb2\xa9b").as_deref(), Some("a\0💩b"));
        assert_eq!(decoded_variant(b"\xed\x95\x9c").as_deref(), Some("한"));
        assert_eq!(decoded_variant(b"\xed\xa0\xbd"), None);
        assert_eq!(decoded_variant(b"\xc0\x81"), None);
    }
}
