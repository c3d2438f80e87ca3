//! Line numbers of CSV records, for error messages that an editor's line numbers agree with.
//!
//! The `csv` crate gives a record the line on which the record before it ended: blank lines in between, and the second half
//! of `\r\n`, make that number too small. It does know the byte, and this module counts the lines up to it.
//!
//! The module is public because manifests are not the only tables that users write by hand: a pool of descriptions (crate
//! `extract`) is one too, and its errors name lines by the same rules. It stands here because this is the lowest crate that
//! reads CSV.

use std::io::{ErrorKind, Read, Result};

/// Line, from 1, of the record that starts at byte `start` of the file or, after blank lines, later.
pub fn line_of(text: &[u8], start: u64) -> usize {
    // Memory can be read.
    line_in(text, start).map_or(1, |line| line as usize)
}

/// The same for a file that is read on the way, so that none need be in memory. Lines end with `\n`, `\r\n` or `\r` alone.
pub fn line_in(mut text: impl Read, start: u64) -> Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let (mut line, mut position, mut before) = (1, 0, 0);
    loop {
        let read = match text.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for byte in &buffer[..read] {
            if position >= start && !matches!(byte, b'\r' | b'\n') {
                return Ok(line);
            }
            // The second half of `\r\n` ends the line that the first half has ended.
            let ends = *byte == b'\r' || (*byte == b'\n' && before != b'\r');
            line += u64::from(ends);
            (position, before) = (position + 1, *byte);
        }
        if read == 0 {
            return Ok(line);
        }
    }
}

/// Byte at which the record starts whose number of fields differs from the header's, and the message about it. None if the
/// error is another one.
pub fn wrong_field_count(error: &csv::Error) -> Option<(u64, String)> {
    let csv::ErrorKind::UnequalLengths { pos: Some(position), expected_len, len } = error.kind() else { return None };
    let message = format!("{len} fields where the header has {expected_len}; quote fields that contain the delimiter");
    Some((position.byte(), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_count() {
        let text = b"head\n\n\none\r\n\r\ntwo";
        assert_eq!(line_of(text, 0), 1);
        assert_eq!(line_of(text, 5), 4, "after two blank lines");
        assert_eq!(line_of(text, 11), 6, "from the middle of a line's end");
        assert_eq!(line_of(text, 99), 6);
        assert_eq!(line_of(b"head\rone\r\rtwo", 9), 4, "lines of old Macs");
    }
}
