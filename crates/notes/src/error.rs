use headspan_artifacts::ArtifactError;

/// Why notes could not be read or added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotesError {
    /// The table could not be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Another process held the notes for too long.
    #[error("the notes of `{run}` were held by another process for {seconds} seconds")]
    Busy {
        /// The run.
        run: String,
        /// How long this process waited.
        seconds: u64,
        /// What the last attempt said.
        source: Box<ArtifactError>,
    },
    /// A name that cannot stand in tables.
    #[error("`{name}` cannot be a person's name: {why}")]
    Author {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
}
