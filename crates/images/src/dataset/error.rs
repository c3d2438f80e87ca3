use std::{
    error::Error,
    io::{self, ErrorKind},
    path::PathBuf,
};

use headspan_store::is_of_the_store;

/// Why a data set cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Images in the memory of a program that has ended, or that took them back.
    #[error("the images `{}` were handed over by a program, and are not there any more", path.display())]
    NotHandedOver {
        /// The address.
        path: PathBuf,
    },
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
    /// A pattern that no file fits.
    #[error("no file matches `{path}`")]
    NoMatch {
        /// The pattern.
        path: PathBuf,
    },
    /// An address of a scheme that is not read.
    #[error("`{path}`: addresses that begin with `{scheme}://` are not supported")]
    UnknownScheme {
        /// The address.
        path: PathBuf,
        /// Its scheme.
        scheme: String,
    },
    /// A file that is not a data set.
    #[error(
        "`{path}` is {}: expected a folder of images, a .csv or .parquet manifest, or .tar or .parquet shards",
        what.map_or_else(|| "not a data set".to_owned(), |what| format!("{what}, not a data set"))
    )]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// What it is, if that is known.
        what: Option<&'static str>,
    },
    /// A folder with files of several kinds.
    #[error("`{path}` holds files of several kinds, such as `{one}` and `{other}`; only one kind can be the data set")]
    Mixed {
        /// The folder.
        path: PathBuf,
        /// A shard in it.
        one: PathBuf,
        /// A shard of another kind in it, or an image below it.
        other: PathBuf,
    },
    /// A shard that is something else than its name says.
    #[error("`{path}` is {what}, which cannot be read as a {expected} file")]
    NotAShard {
        /// The file.
        path: PathBuf,
        /// What it is by its first bytes.
        what: &'static str,
        /// `tar` or `Parquet`.
        expected: &'static str,
    },
    /// A manifest without rows.
    #[error("`{path}` has no rows")]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A manifest that names no local file.
    #[error("all rows of `{path}` are web addresses, such as `{address}`; images are read from files alone")]
    Addresses {
        /// The file.
        path: PathBuf,
        /// The first.
        address: String,
    },
    /// Parts of the data set cannot be read, which a strict run does not accept.
    #[error("`{path}` is damaged: {}", damage.join("; "))]
    Damaged {
        /// The data set.
        path: PathBuf,
        /// What is lost.
        damage: Vec<String>,
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
    #[error("`{path}` has no column `{column}`; it has {}", shown(found))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        column: String,
        /// The column that is most likely meant.
        similar: Option<String>,
        /// Its columns.
        found: Vec<String>,
    },
    /// A table has several columns of images.
    #[error("`{path}` has several columns of images: {}", shown(found))]
    SeveralColumns {
        /// The file.
        path: PathBuf,
        /// The columns.
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

/// Columns that a message names.
const NAMED: usize = 20;
/// Characters of a column's name.
const SHOWN: usize = 60;

/// Names of columns, which may be whatever a file that is no table begins with.
fn shown(names: &[String]) -> String {
    let cut = |name: &String| name.chars().take(SHOWN).collect::<String>().escape_debug().to_string();
    let mut shown: Vec<String> = names.iter().take(NAMED).map(cut).collect();
    if names.len() > NAMED {
        shown.push(format!("and {} more", names.len() - NAMED));
    }
    shown.join(", ")
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
    /// The program that handed the images over failed to give one.
    #[error("the program that handed the images over could not give this one")]
    Program {
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row without bytes.
    #[error("the row holds no image bytes")]
    NoBytes,
    /// A URL where a path should be.
    #[error("`{address}` is a web address; images are read from files alone")]
    Address {
        /// The URL.
        address: String,
    },
}

impl ReadError {
    /// Whether the reason may be gone tomorrow, such as a disk that fails, a server that does not answer, or too many open files.
    /// Such an image must not be written down as a bad one: a run would stay without it for good.
    pub fn is_of_the_machine(&self) -> bool {
        let source: Option<&(dyn Error + 'static)> = match self {
            Self::Io(error) => Some(error),
            Self::Parquet { source } => Some(&**source),
            _ => None,
        };
        if source.is_some_and(is_of_the_store) {
            return true;
        }
        let io = match self {
            Self::Io(error) => Some(error),
            Self::Parquet { source } => io_error_in(&**source),
            _ => None,
        };
        io.is_some_and(|error| !is_of_the_file(error.kind()))
    }
}

/// What the operating system said, below what a library made of it.
fn io_error_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
        .find_map(|error| error.downcast_ref())
}

fn is_of_the_file(kind: ErrorKind) -> bool {
    use ErrorKind as Kind;
    let named = matches!(
        kind,
        Kind::NotFound
            | Kind::PermissionDenied
            | Kind::NotADirectory
            | Kind::IsADirectory
            | Kind::InvalidFilename
            | Kind::InvalidInput
            | Kind::InvalidData
            | Kind::UnexpectedEof
            | Kind::Other
            | Kind::Unsupported
    );
    named || is_circle_of_links(kind)
}

/// This kind has no stable name.
#[cfg(unix)]
fn is_circle_of_links(kind: ErrorKind) -> bool {
    kind == io::Error::from_raw_os_error(libc::ELOOP).kind()
}

#[cfg(not(unix))]
fn is_circle_of_links(_kind: ErrorKind) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use parquet::errors::ParquetError;

    use super::*;

    #[test]
    fn a_machine_at_fault_is_told_from_an_image_at_fault() {
        let of_the_machine = |code: i32| {
            let plain = ReadError::Io(io::Error::from_raw_os_error(code));
            let below = ParquetError::External(Box::new(io::Error::from_raw_os_error(code)));
            let below = ReadError::Parquet { source: below.into() };
            assert_eq!(plain.is_of_the_machine(), below.is_of_the_machine(), "{code}");
            plain.is_of_the_machine()
        };
        for code in [libc::EIO, libc::ENOMEM, libc::EMFILE, libc::ETIMEDOUT, libc::ESTALE] {
            assert!(of_the_machine(code), "{code}");
        }
        for code in [libc::ENOENT, libc::EACCES, libc::ENOTDIR, libc::EISDIR, libc::ENAMETOOLONG, libc::ELOOP] {
            assert!(!of_the_machine(code), "{code}");
        }
        assert!(!ReadError::NoBytes.is_of_the_machine());
    }

    #[test]
    fn a_store_at_fault_is_no_fault_of_the_image() {
        use headspan_store::StoreError;
        let address = || "s3://bucket/a.tar".to_owned();
        let refused =
            || StoreError::NoCredentials { address: address(), source: std::sync::Arc::new(io::Error::other("x")) };
        for error in [refused(), StoreError::ChangedWhileRead { address: address() }] {
            let below = ParquetError::External(Box::new(io::Error::from(error.clone())));
            assert!(ReadError::Parquet { source: below.into() }.is_of_the_machine(), "{error}");
            assert!(ReadError::Io(error.into()).is_of_the_machine());
        }
        assert!(!ReadError::Io(StoreError::NotFound { address: address() }.into()).is_of_the_machine());
    }

    /// fs-err wraps what the operating system said, and keeps its kind alone.
    #[test]
    fn a_circle_of_links_is_no_fault_of_the_machine() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let link = folder.path().join("a.png");
        std::os::unix::fs::symlink(&link, &link)?;
        let error = fs_err::File::open(&link).err().map(ReadError::Io);
        assert!(error.is_some_and(|error| !error.is_of_the_machine()));
        Ok(())
    }
}
