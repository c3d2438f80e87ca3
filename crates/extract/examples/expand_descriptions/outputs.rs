//! The generated files: two tables and the counts in the README.

use std::fmt::Write;

use crate::{
    error::{Result, SourceError},
    expand::Category,
};

const BEGIN: &str = "<!-- counts: generated, do not edit -->";
const END: &str = "<!-- end of counts -->";

/// Everything that the program writes.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) files: Vec<Output>,
    pub(crate) descriptions: usize,
    pub(crate) categories: usize,
}

/// One file, by its name in the pool's folder.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) name: &'static str,
    pub(crate) content: String,
}

/// Renders the outputs; `readme` is the present README, of which only the table of counts changes.
pub(crate) fn render(categories: &[Category], readme: &str) -> Result<Outputs> {
    let files = vec![
        Output { name: "descriptions.csv", content: table(categories, |category| &category.texts)? },
        Output { name: "categories.csv", content: table(categories, |category| &category.prompts)? },
        Output { name: "README.md", content: with_counts(readme, categories)? },
    ];
    let descriptions = categories.iter().map(|category| category.texts.len()).sum();
    Ok(Outputs { files, descriptions, categories: categories.len() })
}

fn table(categories: &[Category], texts: impl Fn(&Category) -> &Vec<String>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["text", "category"])?;
    for category in categories {
        for text in texts(category) {
            writer.write_record([text, &category.name])?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn with_counts(readme: &str, categories: &[Category]) -> Result<String> {
    let begin = readme.find(BEGIN).ok_or(SourceError::Marker { marker: BEGIN })? + BEGIN.len();
    let end = readme[begin..].find(END).ok_or(SourceError::Marker { marker: END })? + begin;
    let mut counts = String::from("\n\n| category | descriptions | about |\n|---|---:|---|\n");
    let mut total = 0;
    for Category { name, texts, about, .. } in categories {
        total += texts.len();
        // Writing into a string does not fail.
        let _ = writeln!(counts, "| {name} | {} | {about} |", texts.len());
    }
    let _ = writeln!(counts, "| **all {}** | **{total}** | |\n", categories.len());
    Ok(format!("{}{counts}{}", &readme[..begin], &readme[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colors() -> Category {
        let texts = vec!["A red, green and blue flag".to_owned(), "A red cup".to_owned()];
        Category { name: "colors".to_owned(), about: "hues".to_owned(), prompts: vec!["a color".to_owned()], texts }
    }

    #[test]
    fn tables_are_quoted_where_needed() {
        let outputs = render(&[colors()], &format!("{BEGIN}\n{END}\n")).unwrap();
        let expected = "text,category\n\"A red, green and blue flag\",colors\nA red cup,colors\n";
        assert_eq!(outputs.files[0].content, expected);
        assert_eq!(outputs.files[1].content, "text,category\na color,colors\n");
        assert_eq!((outputs.descriptions, outputs.categories), (2, 1));
    }

    #[test]
    fn only_the_counts_of_the_readme_change_and_only_once() {
        let once = with_counts(&format!("# Pool\n{BEGIN}\nold\n{END}\nmore\n"), &[colors()]).unwrap();
        assert!(once.starts_with("# Pool\n") && once.ends_with("\nmore\n") && !once.contains("old"));
        assert!(once.contains("| colors | 2 | hues |") && once.contains("| **all 1** | **2** | |"));
        assert_eq!(with_counts(&once, &[colors()]).unwrap(), once);
        assert!(with_counts("# Pool\n", &[colors()]).unwrap_err().to_string().contains(BEGIN));
    }
}
