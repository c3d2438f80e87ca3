use std::path::PathBuf;

/// What can go wrong with a file of a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The operating system refused; the source names the path and the call.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A Parquet file could not be read or written.
    #[error("`{path}` is not a readable headspan table")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Columns could not be built or read.
    #[error("the columns of `{path}` do not fit its schema")]
    Arrow {
        /// The file.
        path: PathBuf,
        /// What Arrow said.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// Rows could not be converted to or from columns.
    #[error("the rows of `{path}` do not fit the schema of table `{table}`")]
    Rows {
        /// The file.
        path: PathBuf,
        /// The table's name.
        table: &'static str,
        /// What the conversion said.
        #[source]
        source: Box<serde_arrow::Error>,
    },
    /// A table was written by another schema version.
    #[error("`{path}` has schema version {found}; this headspan reads versions up to {newest}")]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// The version in the file, `none` if it carries none.
        found: String,
        /// The highest version that this program reads.
        newest: u32,
    },
    /// A column is not there.
    #[error("`{path}` has no column `{column}`")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
    },
    /// A column has another type than the schema says.
    #[error("column `{column}` of `{path}` has type {found}, expected {expected}")]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The type in the file.
        found: String,
        /// The type of the schema.
        expected: String,
    },
    /// A table with vectors was to be written without a row, so the vectors' length is unknown.
    #[error("no rows for `{path}`: a table of vectors cannot be empty")]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A JSON record of a run could not be read or written.
    #[error("`{path}` is not a valid record")]
    Record {
        /// The file.
        path: PathBuf,
        /// What the JSON library said.
        #[source]
        source: serde_json::Error,
    },
    /// A part was written anew, of other settings or inputs, while its run was being read.
    #[error("`{path}` was extracted anew since it was opened")]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Parts that are missing, or that do not belong to the run's tables: an extraction was stopped, or files were lost.
    #[error("extraction of `{run}` is incomplete: {why}")]
    Unfinished {
        /// The run's folder.
        run: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A run that was told to keep no activations.
    #[error("`{run}` keeps moments alone: the activations of its {images} images were not stored")]
    MomentsAlone {
        /// The run's folder.
        run: PathBuf,
        /// Images of the data set.
        images: u64,
    },
    /// A name that would leave the run directory or break a file system.
    #[error("{what} name `{name}` cannot name a folder: expected letters, digits, `.`, `_` and `-`")]
    Name {
        /// `model` or `dataset`.
        what: &'static str,
        /// The name given.
        name: String,
    },
    /// Another process works on the same run.
    #[error("another headspan (process {owner}) is working on `{path}`")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Process id of the holder as it wrote it, with its machine where that may be another; `unknown` where it could not be read.
        owner: String,
    },
}

/// Why a file was not put into a store, where the store itself is not at fault.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Two processes work on one run with different settings or inputs, and the other was first.
    #[error("`{file}` was written meanwhile by a process with other settings or inputs")]
    OtherWork {
        /// The file.
        file: String,
    },
    /// This process held a lock on the run, and did not renew it in time: another process may have taken the run.
    #[error("`{file}` was not written: this process did not renew its lock in time and lost it")]
    LostLock {
        /// The file.
        file: String,
    },
}

impl ArtifactError {
    /// Whether a store is at fault, and not the file: what was asked may succeed another time.
    pub fn is_of_the_store(&self) -> bool {
        match self {
            // It stands for the error in it, which its own causes pass over.
            Self::Io(error) => headspan_store::is_of_the_store(error),
            other => headspan_store::is_of_the_store(other),
        }
    }

    /// What the store of a file said, where it failed: libraries make another error of it.
    pub(crate) fn or_of_store(self, file: &headspan_store::Blob) -> Self {
        file.failure().map_or(self, |failure| Self::Io(failure.clone().into()))
    }
}

/// An error and its causes in one line, a cause left out where the line already has it: for table cells, JSON and logs.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Result with [`ArtifactError`].
pub type Result<T, E = ArtifactError> = std::result::Result<T, E>;
