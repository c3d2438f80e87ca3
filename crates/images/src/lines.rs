//! Lines of CSV records, for messages.

/// Line, from 1, of the record that starts at byte `start` or after it. The csv crate's own line is where the record before
/// ended, so that blank lines in between, and the second half of `\r\n`, put it off.
pub fn line_of(text: &[u8], start: u64) -> usize {
    let start = (start as usize).min(text.len());
    let blank = text[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    text[..start + blank].split(|byte| *byte == b'\n').count()
}

/// Where a record starts that has another number of fields than the header, and what to say of it.
pub fn uneven(error: &csv::Error) -> Option<(u64, String)> {
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
