//! Templates: text with placeholders.
//!
//! `{list}` stands for a word of that list, `{a:list}` for the word with its indefinite article.

use std::collections::BTreeMap;

use crate::{article::indefinite, error::Fault};

/// A parsed template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Word { list: String, article: bool },
}

impl Template {
    /// Splits a template into text and placeholders.
    pub(crate) fn parse(template: &str) -> Result<Self, Fault> {
        let brace = || Fault::Brace { template: template.to_owned() };
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(brace)? + open;
            let name = &rest[open + 1..close];
            if rest[..open].contains('}') || name.contains('{') || name.is_empty() {
                return Err(brace());
            }
            if open > 0 {
                pieces.push(Piece::Text(rest[..open].to_owned()));
            }
            let (list, article) = name.strip_prefix("a:").map_or((name, false), |list| (list, true));
            pieces.push(Piece::Word { list: list.to_owned(), article });
            rest = &rest[close + 1..];
        }
        if rest.contains('}') {
            return Err(brace());
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The lists that the template uses, each once, in order of first use.
    pub(crate) fn lists(&self) -> Vec<&str> {
        let mut lists = Vec::new();
        for piece in &self.pieces {
            if let Piece::Word { list, .. } = piece
                && !lists.contains(&list.as_str())
            {
                lists.push(list.as_str());
            }
        }
        lists
    }

    /// The text with one word for every list, its first letter a capital.
    pub(crate) fn fill(&self, words: &BTreeMap<&str, &str>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Word { list, article } => {
                    let word = words.get(list.as_str()).copied().unwrap_or_default();
                    if *article {
                        text.push_str(indefinite(word));
                        text.push(' ');
                    }
                    text.push_str(word);
                }
            }
        }
        let mut letters = text.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_with_articles() {
        let template = Template::parse("{a:color} {thing} and {a:thing}").unwrap();
        assert_eq!(template.lists(), ["color", "thing"]);
        let words = BTreeMap::from([("color", "orange"), ("thing", "cup")]);
        assert_eq!(template.fill(&words), "An orange cup and a cup");
    }

    #[test]
    fn braces_must_pair() {
        for template in ["A {thing", "A thing}", "A {th{ing}", "A {}", "A } {thing}"] {
            assert_eq!(Template::parse(template), Err(Fault::Brace { template: template.to_owned() }));
        }
    }
}
