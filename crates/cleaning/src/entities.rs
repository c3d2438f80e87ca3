//! Entities of HTML: with care, as ftfy reads them in any text, and as Python's `html.unescape` does.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use regex::Captures;

use crate::{
    codecs::WINDOWS_1252,
    patterns::{ENTITY, REFERENCE},
};

/// Entities of HTML 5 by name, with and without semicolon, as Python has them.
static NAMED: LazyLock<HashMap<&'static str, String>> = LazyLock::new(|| {
    let lines = include_str!("../data/entities.txt").lines();
    lines.filter_map(|line| line.split_once('\t')).map(|(name, codes)| (name, characters(codes))).collect()
});

fn characters(codes: &str) -> String {
    codes.split(' ').filter_map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?)).collect()
}

/// Names in capitals that stand for the capital of the entity: `&NTILDE;`. Those that begin with another entity are not among them.
static CAPITALS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let lower = NAMED.iter().filter(|(name, _)| name.ends_with(';') && **name == name.to_lowercase());
    let capitals = lower.map(|(name, characters)| (name.to_uppercase(), characters.to_uppercase()));
    capitals.filter(|(name, _)| named(name).is_none()).collect()
});

/// Replaces entities that have their semicolon; the rest of a text may be no HTML.
pub(crate) fn unescape_whole(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    ENTITY.replace_all(text, |found: &Captures<'_>| whole(&found[0]).unwrap_or_else(|| found[0].to_owned()))
}

fn whole(entity: &str) -> Option<String> {
    let name = entity.strip_prefix('&')?;
    if name.starts_with('#') {
        // One of which a part is left, such as `&#12ab;`, is none.
        return Some(unescape(entity).into_owned()).filter(|unescaped| !unescaped.contains(';'));
    }
    NAMED.get(name).or_else(|| CAPITALS.get(name)).cloned()
}

/// As Python's `html.unescape`: numbers, and the longest known name at an ampersand, with or without semicolon.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    REFERENCE.replace_all(text, |found: &Captures<'_>| reference(&found[1]).unwrap_or_else(|| found[0].to_owned()))
}

fn reference(name: &str) -> Option<String> {
    let Some(number) = name.strip_prefix('#') else { return named(name) };
    let digits = number.trim_end_matches(';');
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    // Only a number too large fails: the pattern has nothing but digits.
    Some(numbered(code.unwrap_or(u32::MAX)))
}

fn named(name: &str) -> Option<String> {
    if let Some(characters) = NAMED.get(name) {
        return Some(characters.clone());
    }
    // The shortest name has two characters.
    let ends = name.char_indices().map(|(end, _)| end).skip(2).collect::<Vec<_>>();
    ends.into_iter().rev().find_map(|end| Some(format!("{}{}", NAMED.get(&name[..end])?, &name[end..])))
}

fn numbered(code: u32) -> String {
    match code {
        0 => "\u{fffd}".to_owned(),
        0x0d => "\r".to_owned(),
        0x80..=0x9f => WINDOWS_1252.character(code as u8).to_string(),
        1..=8 | 0x0b | 0x0e..=0x1f | 0x7f | 0xfdd0..=0xfdef => String::new(),
        _ if code <= 0x10_ffff && code & 0xfffe == 0xfffe => String::new(),
        _ => char::from_u32(code).unwrap_or('\u{fffd}').to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right values: `html.unescape` of Python 3.11.
    #[test]
    fn references_are_python_s() {
        for (text, expected) in [
            ("&amp &ampx &am; &notin; &notit;", "& &x &am; ∉ ¬it;"),
            ("&#65;&#x41;&#X41&#65a", "AAAAa"),
            ("&#0;&#xD800;&#x110000;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("&#x80;&#129;&#1;&#xFFFE;&#x1FFFF;&#13;", "€\u{81}\r"),
            ("&copysr;&copysrx;&copy2;&acE;", "℗©srx;©2;∾\u{333}"),
            ("&;&#;&#x;& a", "&;&#;&#x;& a"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    /// Right values: `unescape_html` of ftfy 6.3.1.
    #[test]
    fn whole_entities_are_ftfy_s() {
        for (text, expected) in [
            ("&lt;tag&gt; this&not that", "<tag> this&not that"),
            ("&ntilde; &Ntilde; &NTILDE; &nTILDE;", "ñ Ñ Ñ &nTILDE;"),
            ("BUNDESSTRA&SZLIG;E &COPYSR; &#59; &#12ab; &#x41;", "BUNDESSTRASSE &COPYSR; &#59; &#12ab; A"),
        ] {
            assert_eq!(unescape_whole(text), expected, "{text}");
        }
    }
}
