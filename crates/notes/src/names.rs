use crate::NotesError;

/// Most characters of a person's name.
pub const LONGEST_NAME: usize = 40;

/// Names of labellers that are programs.
const TAKEN: [&str; 3] = ["lexicon", "openai", "import"];

/// A person's name as tables have it: without blanks at its ends. An error if it is empty, too long, a labeller's, or has characters that lists of
/// names are split at.
pub fn author_name(name: &str) -> Result<String, NotesError> {
    let trimmed = name.trim();
    let refused = |why| NotesError::Author { name: trimmed.chars().take(LONGEST_NAME).collect(), why };
    if trimmed.is_empty() {
        return Err(refused("it is empty"));
    }
    if trimmed.chars().count() > LONGEST_NAME {
        return Err(refused("it has more than 40 characters"));
    }
    if trimmed.chars().any(|c| c.is_control() || matches!(c, ',' | ';' | '/' | '\\')) {
        return Err(refused("letters, digits, blanks and `.`, `_`, `-` are read, but no `,`, `;` or `/`"));
    }
    if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(trimmed)) {
        return Err(refused("a labeller has it"));
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_no_labellers() {
        assert_eq!(author_name("  Anna Ö. ").ok().as_deref(), Some("Anna Ö."));
        for wrong in ["", " ", "a,b", "a/b", "a\nb", "Lexicon", &"a".repeat(41)] {
            assert!(author_name(wrong).is_err(), "{wrong}");
        }
    }
}
