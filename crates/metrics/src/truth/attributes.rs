use std::{collections::HashMap, path::Path};

use headspan_artifacts::read_text_columns;

use crate::truth::TruthError;

/// What is true of every image: a value, or nothing, in each category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeTable {
    categories: Vec<String>,
    /// Values by category and row.
    values: Vec<Vec<Option<String>>>,
    rows: HashMap<String, usize>,
}

impl AttributeTable {
    /// Reads the columns named after `categories` of a Parquet table with the column `image_id`. Null is unknown.
    pub fn read(path: &Path, categories: &[&str]) -> Result<Self, TruthError> {
        let names: Vec<&str> = std::iter::once("image_id").chain(categories.iter().copied()).collect();
        let columns = read_text_columns(path, &names);
        let mut columns = columns.map_err(|source| TruthError::Table { path: path.to_owned(), source })?.into_iter();
        let (ids, values) = (columns.next().unwrap_or_default(), columns.collect());
        let rows = ids.into_iter().enumerate().filter_map(|(row, id)| Some((id?, row))).collect();
        Ok(Self { categories: categories.iter().map(|name| (*name).to_owned()).collect(), values, rows })
    }

    /// The categories, in the order asked for.
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// The values of a category, by position, of the images in the order of their ids. None where nothing is known.
    pub fn column(&self, category: usize, image_ids: &[String]) -> Vec<Option<&str>> {
        let value = |id: &String| self.values[category][*self.rows.get(id)?].as_deref();
        image_ids.iter().map(value).collect()
    }

    /// Number of images that the table knows of these.
    pub fn known(&self, image_ids: &[String]) -> usize {
        image_ids.iter().filter(|id| self.rows.contains_key(*id)).count()
    }
}
