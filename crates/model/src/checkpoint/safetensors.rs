//! Where the tensors of a safetensors file stand. They are read from the file when a module needs them, a piece at a time.

use std::{collections::BTreeMap, io::Read, path::Path};

use ::safetensors::{Dtype, tensor::Metadata};

use super::weights::{ValueType, Weights};
use crate::error::{ClipError, Result};

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// The tensors by name, checked to lie in the file.
pub(super) fn tensors(path: &Path) -> Result<BTreeMap<String, Weights>> {
    let (begin, header) = header(path)?;
    let found = header.tensors().into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        let range = begin + start as u64..begin + end as u64;
        (name, Weights::in_file(path.to_owned(), range, info.shape.clone(), value_type(info.dtype)))
    });
    Ok(found.collect())
}

fn value_type(stored: Dtype) -> ValueType {
    match stored {
        Dtype::F64 => ValueType::Float64,
        Dtype::F32 => ValueType::Float32,
        Dtype::F16 => ValueType::Float16,
        Dtype::BF16 => ValueType::Bfloat16,
        other => ValueType::Other(format!("{other:?}")),
    }
}

/// Where the values begin, and what the header says. The library checks that tensors follow one another and have the bytes of their
/// shapes; what it cannot know is whether the file is long enough.
fn header(path: &Path) -> Result<(u64, Metadata)> {
    let mut file = fs_err::File::open(path)?;
    let size = file.metadata()?.len();
    let mut length = [0; LENGTH as usize];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let cut = |what: String| ClipError::CutOff { path: path.to_owned(), what };
    if length > size - LENGTH {
        return Err(cut(format!("its header alone is {length} bytes long, and the file has {size}")));
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text)?;
    let header: Metadata =
        serde_json::from_slice(&text).map_err(|source| ClipError::Safetensors { path: path.to_owned(), source })?;
    let described = LENGTH + length + header.data_len() as u64;
    if described > size {
        return Err(cut(format!("its header describes {described} bytes, and the file has {size}")));
    }
    Ok((LENGTH + length, header))
}
