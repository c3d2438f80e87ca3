use std::path::PathBuf;

/// Why a data set cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The operating system refused; the source names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// No image was found.
    #[error(
        "`{path}` holds no image (looked for {endings} and shards){}{}",
        if warnings.is_empty() { "" } else { "; " },
        warnings.join("; ")
    )]
    Empty {
        /// The path given.
        path: PathBuf,
        /// The endings looked for.
        endings: String,
        /// What was odd.
        warnings: Vec<String>,
    },
    /// A path with braces that neither exists nor is a pattern.
    #[error(
        "`{path}` does not exist and is not a pattern: {message}; a pattern has one range of numbers in the file's name, as in \
         `train-{{000..009}}.tar` or `train-{{000..009}}.parquet`"
    )]
    Pattern {
        /// The path.
        path: PathBuf,
        /// What is not understood.
        message: &'static str,
    },
    /// A file that is not a data set.
    #[error(
        "`{path}` is not a data set: expected a folder of images, a .csv or .parquet manifest, or .tar or .parquet shards"
    )]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// Two images with one id.
    #[error("`{path}` lists `{id}` twice; ids must be unique")]
    Duplicate {
        /// The data set.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// A manifest or class file has a bad row.
    #[error("`{path}`, row {row}: {message}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Line of a text file or row of a Parquet file, from 1.
        row: u64,
        /// What is wrong.
        message: String,
    },
    /// A number in a column of classes that is not whole.
    #[error("`{path}`, row {row}: the number in column `{column}` is not whole, so it is not a class")]
    FractionalClass {
        /// The file.
        path: PathBuf,
        /// Row, from 1.
        row: u64,
        /// The column.
        column: String,
    },
    /// A number in a column of classes that no class can have.
    #[error("`{path}`, row {row}: the number in column `{column}` is too large for a class")]
    ClassTooLarge {
        /// The file.
        path: PathBuf,
        /// Row, from 1.
        row: u64,
        /// The column.
        column: String,
    },
    /// A table has no such column.
    #[error("`{path}` has no column `{column}`; it has {}", found.join(", "))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        column: String,
        /// Its columns.
        found: Vec<String>,
    },
    /// A column of a type that cannot hold what it should.
    #[error("column `{column}` of `{path}` has type {found}, expected {expected}")]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What could be read.
        expected: &'static str,
    },
    /// A CSV file that cannot be parsed.
    #[error("`{path}` is not a readable CSV file")]
    Csv {
        /// The file.
        path: PathBuf,
        /// What the CSV library said, with the line.
        source: csv::Error,
    },
    /// A Parquet file that cannot be read.
    #[error("`{path}` is not a readable Parquet file")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        source: parquet::errors::ParquetError,
    },
    /// A tar shard that ends early or is not a tar.
    #[error("shard `{path}` is damaged after {images} images, at byte {offset}")]
    Shard {
        /// The shard.
        path: PathBuf,
        /// Images listed until there.
        images: usize,
        /// Where.
        offset: u64,
        /// What the tar library said.
        source: std::io::Error,
    },
    /// A class file for images without classes.
    #[error("`{classes}` lists classes, but no image of `{path}` has one")]
    NoClasses {
        /// The data set.
        path: PathBuf,
        /// The class file.
        classes: PathBuf,
        /// What the data set is read as, which says how its images would get classes.
        format: &'static str,
    },
    /// Two shards whose class numbers mean different classes.
    #[error(
        "`{other}` and `{first}` name the classes of column `{column}` differently, so their numbers mean different classes"
    )]
    ClassNames {
        /// The first shard that names classes.
        first: PathBuf,
        /// One that names others.
        other: PathBuf,
        /// The column of class numbers.
        column: String,
    },
    /// An image's class is not in the class file.
    #[error("image `{id}` is of class `{class}`, which `{path}` does not list")]
    UnknownClass {
        /// The image.
        id: String,
        /// Its class.
        class: String,
        /// The class file.
        path: String,
    },
}

/// Why one image's bytes cannot be read; it concerns no other image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is larger than any image should be.
    #[error("the file has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A row of a Parquet shard cannot be read.
    #[error("the Parquet row cannot be read")]
    Parquet {
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row without bytes.
    #[error("the row holds no image bytes")]
    NoBytes,
}
