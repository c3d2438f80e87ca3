use strsim::normalized_damerau_levenshtein;

/// Likeness from which a name may have been meant: `color` and `colors` have 0.83, `scenes` and `images` 0.33.
const LIKE: f64 = 0.6;

/// The known name that a misspelt one most likely stands for; none if none is like it. Names that differ in case or punctuation
/// alone come first, then names that begin with the wanted one.
pub fn similar_name<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(wanted);
    if wanted.is_empty() {
        return None;
    }
    let likeness = |name: &str| {
        let name = plain(name);
        if name == wanted {
            return 2.0;
        }
        let begins = wanted.chars().count() >= 3 && name.starts_with(&wanted);
        normalized_damerau_levenshtein(&wanted, &name) + if begins { 1.0 } else { 0.0 }
    };
    let scored = known.into_iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness >= LIKE);
    // Of equal ones the first.
    scored
        .fold(None, |best: Option<(f64, &str)>, next| best.filter(|best| best.0 >= next.0).or(Some(next)))
        .map(|(_, name)| name)
}

/// Letters and digits in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised() {
        let known = ["colors", "counting", "backgrounds", "ViT-B-32", "ViT-B-32_openai", "ViT-L-14", "textspan.rank"];
        for (wanted, expected) in [
            ("color", Some("colors")),
            ("Colour", Some("colors")),
            ("couting", Some("counting")),
            ("background", Some("backgrounds")),
            ("vit-b-32", Some("ViT-B-32")),
            ("vitl14", Some("ViT-L-14")),
            ("ViT-B/32-openai", Some("ViT-B-32_openai")),
            ("textspan.rnak", Some("textspan.rank")),
            ("tastes", None),
            ("", None),
            ("--", None),
        ] {
            assert_eq!(similar_name(wanted, known), expected, "{wanted}");
        }
        assert_eq!(similar_name("x", []), None);
    }
}
