//! Numbers as a reader sees them, and as a program does.

use crate::publication::document::Unit;

/// A number for people. Percent lacks the sign, which stands in the heading.
pub(crate) fn shown(value: f64, unit: Unit) -> String {
    let (value, places) = match unit {
        Unit::Count => (value, 0),
        Unit::Plain(places) => (value, places),
        Unit::Percent => (100.0 * value, 1),
    };
    let text = format!("{value:.places$}");
    // No minus before what rounds to zero.
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|sign| matches!(sign, '0' | '.')) => rest.to_owned(),
        _ => text,
    }
}

/// A number for programs: the shortest text that gives the same number again.
pub(crate) fn plain(value: f64) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_for_people_alone() {
        assert_eq!(shown(0.12345, Unit::Percent), "12.3");
        assert_eq!(shown(-0.0001, Unit::Percent), "0.0");
        assert_eq!(shown(-0.012, Unit::Percent), "-1.2");
        assert_eq!(shown(1234.0, Unit::Count), "1234");
        assert_eq!(shown(2.0 / 3.0, Unit::Plain(3)), "0.667");
        assert_eq!(plain(0.1), "0.1");
        assert_eq!(plain(5.0), "5");
    }
}
