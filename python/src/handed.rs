//! Images that Python hands over: read from its objects, one at a time, while the pipeline wants them.

use std::{error::Error, sync::Arc};

use headspan_images::{HandedImages, hand_over as to_images, take_back as from_images};
use pyo3::{prelude::*, types::PyBytes};

/// Images of Python's side, under `memory://NAME` until they are taken back.
///
/// `read` is called with the position of an image, from several threads in turn, and returns its bytes: those of a file, or
/// `(width, height, rgb)`.
#[pyfunction]
pub(crate) fn hand_over(name: &str, items: Vec<(String, Option<String>)>, identity: String, read: Py<PyAny>) {
    to_images(name, Arc::new(Objects { items, identity, read }));
}

/// Forgets the images of a name.
#[pyfunction]
pub(crate) fn take_back(name: &str) {
    from_images(name);
}

struct Objects {
    items: Vec<(String, Option<String>)>,
    identity: String,
    read: Py<PyAny>,
}

impl HandedImages for Objects {
    fn items(&self) -> Vec<(String, Option<String>)> {
        self.items.clone()
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn read(&self, index: usize) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let read = |py: Python<'_>| -> PyResult<Vec<u8>> {
            let found = self.read.bind(py).call1((index,))?;
            if let Ok(bytes) = found.cast::<PyBytes>() {
                return Ok(bytes.as_bytes().to_vec());
            }
            let (width, height, rgb): (u32, u32, Bound<'_, PyBytes>) = found.extract()?;
            Ok(portable_pixmap(width, height, rgb.as_bytes()))
        };
        // An interpreter that ends takes no more calls.
        Python::try_attach(read).ok_or("Python is ending")?.map_err(Into::into)
    }
}

/// Pixels as a file of the simplest format that there is: a header, and the bytes as they are.
fn portable_pixmap(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    let mut file = format!("P6 {width} {height} 255\n").into_bytes();
    file.extend_from_slice(rgb);
    file
}
