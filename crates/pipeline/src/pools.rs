use std::{path::Path, sync::OnceLock};

use headspan_extract::Pool;

use crate::{
    error::Result,
    settings::{BUILT_IN, TextsSection},
};

const DESCRIPTIONS: &str = include_str!("../../../data/descriptions/descriptions.csv");
const CATEGORIES: &str = include_str!("../../../data/descriptions/categories.csv");

/// The descriptions of a run, and the prompts of the categories.
pub struct Pools {
    /// Descriptions that heads are spanned by.
    pub descriptions: Pool,
    /// Prompts by which the category of a description is found where the pool does not name it.
    pub categories: Pool,
}

impl Pools {
    /// Reads both files of the settings, or takes those of the program.
    pub fn read(texts: &TextsSection) -> Result<Self> {
        Ok(Self {
            descriptions: read(&texts.file, DESCRIPTIONS, "data/descriptions/descriptions.csv")?,
            categories: read(&texts.categories, CATEGORIES, "data/descriptions/categories.csv")?,
        })
    }
}

fn read(path: &Path, built_in: &str, name: &str) -> Result<Pool> {
    if path == Path::new(BUILT_IN) { Ok(Pool::parse_csv(Path::new(name), built_in)?) } else { Ok(Pool::read(path)?) }
}

/// Fingerprint of the descriptions in the program.
pub(crate) fn built_in_fingerprint() -> &'static str {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    let read = || Pool::parse_csv(Path::new(BUILT_IN), DESCRIPTIONS).map(|pool| pool.fingerprint()).unwrap_or_default();
    FINGERPRINT.get_or_init(read)
}
