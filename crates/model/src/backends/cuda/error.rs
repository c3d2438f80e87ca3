use std::path::PathBuf;

/// Why CUDA cannot be used, or what failed of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaProblem {
    /// A library is on the machine nowhere that headspan looks.
    #[error("{library} is missing: {} was found neither by the loader nor in {}", .names.join(" or "), listed(.folders))]
    NoLibrary {
        /// What it is.
        library: &'static str,
        /// Names of its file.
        names: Vec<String>,
        /// Folders that were searched after the loader's own.
        folders: Vec<PathBuf>,
    },
    /// A library is newer than the driver can run.
    #[error("{library} belongs to CUDA {found}, but the driver supports CUDA {driver}")]
    TooNew {
        /// What it is.
        library: &'static str,
        /// Its major version.
        found: i32,
        /// The driver's.
        driver: i32,
    },
    /// The driver has fewer cards.
    #[error("card {wanted} does not exist: the driver lists {found} cards, counted from 0")]
    NoCard {
        /// The card asked for.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The driver failed.
    #[error("{doing}: the driver says {said}")]
    Driver {
        /// What was under way.
        doing: &'static str,
        /// Name of its error.
        said: String,
    },
    /// cuBLASLt failed.
    #[error("{doing}: cuBLASLt says {said}")]
    Products {
        /// What was under way.
        doing: &'static str,
        /// Name of its error.
        said: String,
    },
    /// NVRTC failed.
    #[error("compiling the kernels for {architecture}: {said}")]
    Kernels {
        /// What for.
        architecture: String,
        /// Its log.
        said: String,
    },
    /// A tower that the pass does not compute.
    #[error("our CUDA pass does not compute {what}")]
    Tower {
        /// What the tower has, or has not.
        what: &'static str,
    },
    /// A product or a kernel gave a wrong result.
    #[error("the card computed {found:?} instead of {expected:?}")]
    Wrong {
        /// What it gave.
        found: Vec<String>,
        /// What is right.
        expected: Vec<String>,
    },
}

fn listed(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "a folder of Python packages or of CUDA (there is none)".to_owned();
    }
    let shown: Vec<String> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
    shown.join(", ")
}
