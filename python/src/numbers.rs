//! Numbers that NumPy reads where they lie.

use std::sync::Arc;

use headspan_query::HeadColumn;
use pyo3::{prelude::*, types::PyDict};

/// Where numbers lie.
pub(crate) enum Values {
    /// Of one call.
    Floats(Vec<f32>),
    /// Of the run itself, shared with what it keeps.
    Column(Arc<HeadColumn>),
    /// Positions of images.
    Indices(Vec<u64>),
    /// Pixels.
    Bytes(Vec<u8>),
}

/// An array that is read-only and keeps its numbers alive: `numpy.asarray` of it copies nothing.
#[pyclass(frozen, module = "headspan._native")]
pub(crate) struct Numbers {
    values: Values,
    shape: Vec<usize>,
}

impl Numbers {
    /// An array of a shape, rows first.
    pub(crate) fn new(values: Values, shape: Vec<usize>) -> Self {
        Self { values, shape }
    }

    /// Floats of a shape.
    pub(crate) fn floats(values: Vec<f32>, shape: Vec<usize>) -> Self {
        Self::new(Values::Floats(values), shape)
    }
}

#[pymethods]
impl Numbers {
    /// NumPy's array interface, version 3.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (address, kind) = match &self.values {
            Values::Floats(values) => (values.as_ptr() as usize, "<f4"),
            Values::Column(column) => (column.values().as_ptr() as usize, "<f4"),
            Values::Indices(values) => (values.as_ptr() as usize, "<u8"),
            Values::Bytes(values) => (values.as_ptr() as usize, "|u1"),
        };
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", pyo3::types::PyTuple::new(py, &self.shape)?)?;
        interface.set_item("typestr", kind)?;
        interface.set_item("data", (address, true))?;
        Ok(interface)
    }
}
