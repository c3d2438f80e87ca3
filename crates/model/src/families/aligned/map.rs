//! The linear map from a tower's representation to CLIP's.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};

use crate::{
    backends::burn::BurnVisionTower,
    checkpoint::{SavedTensor, ValueType, serialised},
    error::{ClipError, Result},
    readout::{read, row_product},
};

/// Name of the tensor in the file.
const TENSOR: &str = "map";

/// A linear map `W` of row vectors: `x W` is in CLIP's space for a representation `x` of a tower.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearMap {
    /// Length of the tower's representation.
    pub rows: usize,
    /// Length of CLIP's.
    pub columns: usize,
    /// `[rows, columns]`, row-major.
    pub values: Vec<f32>,
}

impl LinearMap {
    /// Name of the file in the folder of an aligned model.
    pub const FILE: &str = "map.safetensors";

    /// The bytes of a safetensors file with the tensor `map`, `[rows, columns]`.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let tensor = SavedTensor::new(vec![self.rows, self.columns], &self.values, &ValueType::Float32);
        serialised(&BTreeMap::from([(TENSOR.to_owned(), tensor)]))
    }

    /// Reads what [`LinearMap::to_safetensors`] gives.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs_err::read(path)?;
        let failed = |source| ClipError::AlignmentMap { path: path.to_owned(), source };
        let tensors = SafeTensors::deserialize(&bytes).map_err(failed)?;
        let view = tensors.tensor(TENSOR).map_err(failed)?;
        let (Dtype::F32, &[rows, columns]) = (view.dtype(), view.shape()) else {
            let what =
                format!("`{TENSOR}` is {:?} of shape {:?}, expected a matrix of F32", view.dtype(), view.shape());
            return Err(ClipError::Inconsistent { path: path.to_owned(), what });
        };
        let values: Vec<f32> = view.data().as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            let what = format!("`{TENSOR}` has values that are not finite");
            return Err(ClipError::Inconsistent { path: path.to_owned(), what });
        }
        Ok(Self { rows, columns, values })
    }

    /// The tower with its output projection followed by the map, `P W`, and its bias with it, `b W`. Everything that comes of the projection is in CLIP's space then:
    /// the representation, readouts, contributions. The product is rounded once.
    pub(super) fn behind(&self, mut tower: BurnVisionTower) -> Result<BurnVisionTower> {
        let projection = tower.proj.val();
        let ([width, _], device) = (projection.dims(), projection.device());
        let map: Vec<f64> = self.values.iter().map(|value| f64::from(*value)).collect();
        let rows = read(projection)?;
        let of_row = |row: &[f32]| row_product(row, &map, self.columns);
        let folded: Vec<f32> = rows.par_chunks(self.rows).flat_map_iter(of_row).map(|value| value as f32).collect();
        let folded = Tensor::from_data(TensorData::new(folded, [width, self.columns]), &device);
        tower.proj = tower.proj.clone().map(|_projection| folded);
        if let Some(bias) = tower.proj_bias.take() {
            let row: Vec<f32> =
                row_product(&read(bias.val())?, &map, self.columns).into_iter().map(|value| value as f32).collect();
            let folded = Tensor::from_data(TensorData::new(row, [self.columns]), &device);
            tower.proj_bias = Some(bias.map(|_bias| folded));
        }
        Ok(tower)
    }
}
