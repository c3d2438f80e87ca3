//! What can be wrong in the source of the pool.

use std::path::PathBuf;

/// A result of this program.
pub(crate) type Result<T> = std::result::Result<T, SourceError>;

/// A fault in the source. Groups are counted from 1 in file order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("`{}` is not a category file", file.display())]
    Toml { file: PathBuf, source: Box<toml::de::Error> },
    #[error("`{}` holds no `.toml` file; expected one per category", folder.display())]
    Empty { folder: PathBuf },
    #[error("`{file}`: category `{category}` belongs into `{expected}`; rename the file or the category")]
    FileName { file: String, category: String, expected: String },
    #[error("`{file}`: `prompts` has {found} entries; give 3 to 5 short names of the category")]
    PromptCount { file: String, found: usize },
    #[error("`{file}`: the list `{list}` in the file's `words` is used by no group; remove it or use it")]
    UnusedFileList { file: String, list: String },
    #[error("`{file}`, group {group}")]
    Group {
        file: String,
        group: usize,
        #[source]
        fault: Fault,
    },
    #[error("`{text}` stands in `{first}` and in `{second}`; keep one of them")]
    Duplicate { text: String, first: String, second: String },
    #[error("README.md lacks the line `{marker}`, which the table of counts needs")]
    Marker { marker: &'static str },
    #[error("cannot write CSV")]
    Csv(#[from] csv::Error),
}

/// A fault inside one group.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no templates")]
    NoTemplates,
    #[error("template `{template}` has an unclosed or stray brace")]
    Brace { template: String },
    #[error("template `{template}` names `{{{name}}}`, for which there is no list in `words`")]
    UnknownPlaceholder { template: String, name: String },
    #[error("template `{template}` does not use the same lists as the first template of its group; split the group")]
    UnequalTemplates { template: String },
    #[error("the list `{list}` is used by no template; remove it or use it")]
    UnusedList { list: String },
    #[error("the list `{list}` is empty or holds an empty word")]
    EmptyWord { list: String },
    #[error("`skip` entry `{skip}` is part of no text of this group; remove it")]
    UnusedSkip { skip: String },
    #[error("`limit` is {limit}, but the group has only {available} texts; remove it or make it 1 to {available}")]
    Limit { limit: usize, available: usize },
    #[error("`{text}` is empty, has doubled, leading or trailing spaces, or ends with a full stop")]
    Untidy { text: String },
    #[error("`{text}` has {words} words; the most is {most}")]
    TooLong { text: String, words: usize, most: usize },
}
