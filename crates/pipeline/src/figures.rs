//! Figures as people read them.

use headspan_metrics::HeadPair;

/// `1 h 02 min`, `3 min 20 s`, `4.2 s`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// What a figure or a name was and is, or the one where both are the same.
pub fn changed(before: &str, after: &str) -> String {
    if before == after { before.to_owned() } else { format!("{before} → {after}") }
}

/// CKA of a pair of heads with its interval, as far as they are known.
pub fn cka(pair: &HeadPair) -> String {
    match (pair.cka, pair.cka_interval) {
        (Some(cka), Some((low, high))) => format!("{cka:.3} ({low:.3}–{high:.3})"),
        (Some(cka), None) => format!("{cka:.3}"),
        (None, _) => "n/a".to_owned(),
    }
}

/// A share in per cent with so many digits; `n/a` where it is unknown.
pub fn percent(share: Option<f64>, digits: usize) -> String {
    share.map_or_else(|| "n/a".to_owned(), |share| format!("{:.digits$} %", 100.0 * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(duration(4.21), "4.2 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(3720.0), "1 h 02 min");
    }
}
