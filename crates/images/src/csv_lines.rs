//! Line numbers of CSV records, for error messages that an editor's line numbers agree with.
//!
//! The `csv` crate gives a record the line on which the record before it ended: blank lines in between, and the second half
//! of `\r\n`, make that number too small. It does know the byte, and this module counts the lines up to it.
//!
//! The module is public because manifests are not the only tables that users write by hand: a pool of descriptions (crate
//! `extract`) is one too, and its errors name lines by the same rules. It stands here because this is the lowest crate that
//! reads CSV.

/// Line, from 1, of the record that starts at byte `start` of the file or, after blank lines, later.
pub fn line_of(text: &[u8], start: u64) -> usize {
    let start = (start as usize).min(text.len());
    let blank = text[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    text[..start + blank].split(|byte| *byte == b'\n').count()
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
    }
}
