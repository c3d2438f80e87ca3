//! Images as Python hands them over.

use std::path::PathBuf;

use headspan_images::RgbImage8;
use headspan_pipeline::{PipelineError, Session};
use headspan_query::ImageTrace;
use pyo3::{Borrowed, prelude::*, types::PyBytes};

use crate::failure::{OrRaise, input};

/// An image that a question is about.
pub(crate) enum Picture {
    /// Of the run, by its position in the data set.
    Index(u64),
    /// Of the run, by its id.
    Id(String),
    /// Of a file.
    File(PathBuf),
    /// Pixels in memory.
    Pixels(RgbImage8),
}

/// From what Python's side makes of an argument: its kind, and the value.
impl FromPyObject<'_, '_> for Picture {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let (kind, value): (String, Bound<'_, PyAny>) = given.extract()?;
        match kind.as_str() {
            "index" => Ok(Self::Index(value.extract()?)),
            "id" => Ok(Self::Id(value.extract()?)),
            "file" => Ok(Self::File(value.extract()?)),
            _ => {
                let (width, height, bytes): (u32, u32, Bound<'_, PyBytes>) = value.extract()?;
                let data = bytes.as_bytes().to_vec();
                if width == 0 || height == 0 || data.len() as u64 != 3 * u64::from(width) * u64::from(height) {
                    let message = format!("{} bytes are no image of {width} × {height} pixels", data.len());
                    return Err(input(value.py(), message));
                }
                Ok(Self::Pixels(RgbImage8 { width, height, data }))
            }
        }
    }
}

impl Picture {
    /// Its pixels.
    pub(crate) fn pixels(&self, session: &Session) -> Result<RgbImage8, PipelineError> {
        match self {
            Self::Index(index) => session.image(*index),
            Self::Id(id) => session.image(session.run().find_image(id)?),
            Self::File(path) => session.file(path),
            Self::Pixels(pixels) => Ok(pixels.clone()),
        }
    }

    /// Its position in the data set, if it is an image of the run.
    pub(crate) fn index(&self, session: &Session) -> Result<Option<u64>, PipelineError> {
        Ok(match self {
            Self::Index(index) => Some(session.run().image(*index)?.image_index),
            Self::Id(id) => Some(session.run().find_image(id)?),
            Self::File(_) | Self::Pixels(_) => None,
        })
    }

    /// One forward pass of it.
    pub(crate) fn trace(&self, py: Python<'_>, session: &Session) -> PyResult<ImageTrace> {
        py.detach(|| session.trace(&self.pixels(session)?)).or_raise(py)
    }
}
