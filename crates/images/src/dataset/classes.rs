use std::{collections::HashMap, path::Path};

use crate::{dataset::error::DatasetError, sources::read_text};

/// Most bytes of a class file; a million classes have less.
const MOST_BYTES: u64 = 64 << 20;

/// Classes and their order. Both come from a file (or from a data set that carries them), never from positions of images:
/// `i // 50` as a label once gave 0.8 % accuracy.
#[derive(Debug, Clone, Default)]
pub struct ClassList {
    source: String,
    ids: Vec<String>,
    names: Vec<String>,
    index: HashMap<String, u32>,
}

impl ClassList {
    /// From a class file, else from what the data set carries, else empty.
    pub(crate) fn new(file: Option<&Path>, carried: Option<Vec<String>>) -> Result<Self, DatasetError> {
        let mut list = Self::default();
        if let Some(path) = file {
            list.source = path.display().to_string();
            let text = read_text(path, MOST_BYTES)?;
            // Windows editors leave a byte order mark, which would be part of the first class.
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            for (line, row) in text.lines().enumerate() {
                let (id, name) = row.split_once(['\t', ',']).unwrap_or((row, row));
                list.push(path, line as u64 + 1, id.trim(), name.trim())?;
            }
        } else if let Some(carried) = carried {
            "the data set's own list".clone_into(&mut list.source);
            for (line, name) in carried.iter().enumerate() {
                list.push(Path::new("class list"), line as u64 + 1, name, name)?;
            }
        }
        Ok(list)
    }

    /// Of a class file: one `class` or `class,name` a line.
    pub fn read(file: &Path) -> Result<Self, DatasetError> {
        Self::new(Some(file), None)
    }

    fn push(&mut self, path: &Path, row: u64, id: &str, name: &str) -> Result<(), DatasetError> {
        let wrong = |message: String| Err(DatasetError::Row { path: path.to_owned(), row, message });
        if id.is_empty() {
            return wrong("an empty class".to_owned());
        }
        if let Some(first) = self.index.insert(id.to_owned(), self.ids.len() as u32) {
            return wrong(format!("class `{id}` is already listed in row {}", first + 1));
        }
        self.ids.push(id.to_owned());
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no list was given.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Identifiers in order.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Readable names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn index_of(&self, class: &str, image: &str) -> Result<Option<u32>, DatasetError> {
        if self.is_empty() {
            return Ok(None);
        }
        match self.index.get(class) {
            Some(index) => Ok(Some(*index)),
            None => Err(self.unknown(class, image)),
        }
    }

    pub(crate) fn name_of(&self, index: u32, image: &str) -> Result<String, DatasetError> {
        if self.is_empty() {
            return Ok(index.to_string());
        }
        self.ids.get(index as usize).cloned().ok_or_else(|| self.unknown(&index.to_string(), image))
    }

    /// Class of a number that is spelled otherwise than numbers are, such as `007`: the line of this very text, else the
    /// number's.
    pub(crate) fn of_spelling(&self, text: &str, number: u32, image: &str) -> Result<(String, u32), DatasetError> {
        if self.is_empty() {
            return Ok((text.to_owned(), number));
        }
        match self.index.get(text) {
            Some(index) => Ok((text.to_owned(), *index)),
            None => Ok((self.name_of(number, image)?, number)),
        }
    }

    fn unknown(&self, class: &str, image: &str) -> DatasetError {
        DatasetError::UnknownClass { id: image.to_owned(), class: class.to_owned(), path: self.source.clone() }
    }
}
