//! Where quotes in a CSV file begin and end.
//!
//! The `csv` crate takes everything up to the next quote, or to the end of the file, for one field. If a title begins with an inch
//! mark, rows are lost without a word. So the bytes are followed here as well, on their way to the crate. The length of a row is
//! bounded here too: a file need not have lines.

use std::io::{Error, ErrorKind, Read, Result};

/// Most bytes of one row.
const MOST_ROW: u64 = 16 << 20;

/// A quote that is not closed where fields end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenQuote {
    /// Byte at which it is.
    pub(super) at: u64,
    /// Whether a later quote closes it, inside another field.
    pub(super) closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Field,
    /// In quotes, since this byte; `lines` if they go over the end of a line.
    Quoted { at: u64, lines: bool },
    /// Behind a quote that may be the closing one.
    Closing { at: u64, lines: bool },
}

/// Passes bytes on and follows the quotes in them.
pub(super) struct Quotes<R> {
    inner: R,
    delimiter: u8,
    /// Whether quotes mean anything.
    quoting: bool,
    place: Place,
    position: u64,
    row: u64,
    /// The first quote that is wrong.
    wrong: Option<OpenQuote>,
}

impl<R: Read> Quotes<R> {
    pub(super) fn new(inner: R, delimiter: u8, quoting: bool) -> Self {
        Self { inner, delimiter, quoting, place: Place::FieldStart, position: 0, row: 0, wrong: None }
    }

    /// A quote that is wrong in what was read so far.
    pub(super) fn wrong(&self) -> Option<OpenQuote> {
        self.wrong
    }

    fn follow(&mut self, byte: u8) {
        let ends_line = matches!(byte, b'\r' | b'\n');
        let ends_field = ends_line || byte == self.delimiter;
        self.place = match self.place {
            Place::FieldStart if byte == b'"' => Place::Quoted { at: self.position, lines: false },
            Place::FieldStart | Place::Field if ends_field => Place::FieldStart,
            Place::FieldStart | Place::Field => Place::Field,
            Place::Quoted { at, lines } if byte == b'"' => Place::Closing { at, lines },
            Place::Quoted { at, lines } => Place::Quoted { at, lines: lines || ends_line },
            Place::Closing { at, lines } if byte == b'"' => Place::Quoted { at, lines },
            Place::Closing { .. } if ends_field => Place::FieldStart,
            Place::Closing { at, lines } => {
                // Within a line, text behind a closing quote is part of the field. Over lines, rows are in the field.
                if lines {
                    self.wrong.get_or_insert(OpenQuote { at, closed: true });
                }
                Place::Field
            }
        };
    }

    fn check_row(&mut self, bytes: &[u8]) -> Result<()> {
        let line = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if self.quoting && matches!(self.place, Place::Quoted { .. }) {
            self.row += bytes.len() as u64;
        } else {
            let behind = bytes.iter().rev().position(line);
            self.row = behind.map_or(self.row + bytes.len() as u64, |behind| behind as u64);
        }
        if self.row <= MOST_ROW {
            return Ok(());
        }
        if let Place::Quoted { at, .. } = self.place {
            self.wrong.get_or_insert(OpenQuote { at, closed: false });
        }
        Err(Error::new(ErrorKind::InvalidData, "a row has more than 16 MiB"))
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(buffer)?;
        if self.quoting {
            for byte in &buffer[..read] {
                self.follow(*byte);
                self.position += 1;
            }
            if let (0, false, Place::Quoted { at, .. }) = (read, buffer.is_empty(), self.place) {
                self.wrong.get_or_insert(OpenQuote { at, closed: false });
            }
        }
        self.check_row(&buffer[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Option<OpenQuote> {
        let mut quotes = Quotes::new(text.as_bytes(), b',', true);
        let mut all = Vec::new();
        quotes.read_to_end(&mut all).ok()?;
        assert_eq!(all, text.as_bytes());
        quotes.wrong()
    }

    #[test]
    fn quotes_that_are_closed_are_right() {
        for text in ["a,\"b\"\n", "\"a\nb\",c\n", "\"a \"\"b\"\"\",c", "a\"b,c\"\n", "\"a\" b,c\n", "", "\"\"", "\"a\"\r\n"] {
            assert_eq!(wrong(text), None, "{text:?}");
        }
    }

    #[test]
    fn quotes_that_take_rows_with_them_are_found() {
        assert_eq!(wrong("a,\"b\nc,d\n"), Some(OpenQuote { at: 2, closed: false }));
        assert_eq!(wrong("a,b\na,\"27 inch\nc,d\ne,\"40 inch\nf"), Some(OpenQuote { at: 6, closed: true }));
    }

    #[test]
    fn rows_are_bounded() {
        let endless = std::io::repeat(b'x');
        let mut quotes = Quotes::new(endless, b',', true);
        let failed = std::io::copy(&mut quotes, &mut std::io::sink());
        assert!(failed.is_err_and(|error| error.to_string().contains("16 MiB")));
        let lines = std::io::Cursor::new(b"0123456789abcde\n".repeat(2 << 20));
        let mut quotes = Quotes::new(lines, b',', true);
        assert!(std::io::copy(&mut quotes, &mut std::io::sink()).is_ok_and(|bytes| bytes == 32 << 20));
    }
}
