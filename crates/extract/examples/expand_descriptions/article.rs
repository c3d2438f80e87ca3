//! The English indefinite article, by sound as far as spelling tells it.

/// Beginnings that are spelt with a vowel and spoken with a consonant ("a uniform", "a one-way street").
const CONSONANT_SOUND: [&str; 11] = ["uni", "usb", "use", "usu", "uti", "ura", "ukulele", "eu", "ewe", "one", "once"];
/// Beginnings with "uni" that are nevertheless spoken with a vowel ("an uninhabited island").
const VOWEL_SOUND_OF_UN: [&str; 4] = ["unid", "unim", "unin", "unil"];
/// Beginnings that are spelt with a consonant and spoken with a vowel ("an hourglass", "an 8").
const VOWEL_SOUND: [&str; 8] = ["hour", "honest", "honor", "heir", "x-ray", "8", "11", "18"];
/// Letters whose names start with a vowel sound ("an F", "an S-shaped curve").
const VOWEL_LETTERS: &str = "aefhilmnorsx";

/// `a` or `an`, as the word that follows wants it.
pub(crate) fn indefinite(next: &str) -> &'static str {
    let word = next.to_lowercase();
    let starts = |list: &[&str]| list.iter().any(|beginning| word.starts_with(beginning));
    let mut letters = word.chars();
    let first = letters.next().unwrap_or_default();
    let letter_name = letters.next().is_none_or(|second| !second.is_alphanumeric());
    let vowel = if first.is_ascii_alphabetic() && letter_name {
        VOWEL_LETTERS.contains(first)
    } else if starts(&VOWEL_SOUND) || starts(&VOWEL_SOUND_OF_UN) {
        true
    } else {
        "aeiou".contains(first) && !starts(&CONSONANT_SOUND)
    };
    if vowel { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_follow_the_sound() {
        for word in
            ["orange", "umbrella", "hourglass", "X-ray", "F", "S-shaped curve", "8", "uninhabited island", "eight"]
        {
            assert_eq!(indefinite(word), "an", "{word}");
        }
        for word in [
            "red",
            "uniform",
            "ukulele",
            "European city",
            "one-way street",
            "used car",
            "USB stick",
            "B",
            "U-turn",
            "horse",
        ] {
            assert_eq!(indefinite(word), "a", "{word}");
        }
    }
}
