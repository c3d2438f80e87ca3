//! Bytes as the answer of a language model's endpoint, and as the address of one.
#![no_main]

use headspan_label::fuzzing;

fn answer(bytes: &[u8]) {
    fuzzing::answer(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        fuzzing::address(text);
        let secret = text.contains('?') || text.contains('@');
        assert!(secret || headspan_net::shown(text).len() <= 3 * text.len() + 8, "an address that grows");
    }
}

headspan_fuzz::target!(answer);
