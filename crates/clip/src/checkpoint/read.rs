//! Tensors of a safetensors file, read from it one at a time.
//!
//! The store maps the file into memory, and while weights are loaded every page of the map stays beside its copy: twice the
//! weights. Reading a tensor where it stands costs one tensor.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use burn::tensor::TensorData;
use burn_store::{
    ModuleStore, SafetensorsStore, bridge,
    burn_pack::{Error as PackError, Tensor as StoredTensor},
};
use safetensors::tensor::Metadata;

use crate::error::{ClipError, Result};

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// Names, types and shapes as the store reads and checks them; values by [`read_at`].
pub(super) fn safetensors(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    let mut store = SafetensorsStore::from_file(path);
    let mapped = store.get_all_tensors().map_err(|source| ClipError::Safetensors { path: path.to_owned(), source })?;
    let (begin, header) = header(path)?;
    let place = |name: &str, tensor: &StoredTensor| {
        let (start, end) = header.info(name)?.data_offsets;
        let range = begin + start as u64..begin + end as u64;
        Some(in_file(path, name, tensor, range))
    };
    // A tensor without a place cannot be: the store has read the same header. It would be left to the map.
    let placed =
        mapped.iter().map(|(name, tensor)| (name.clone(), place(name, tensor).unwrap_or_else(|| tensor.clone())));
    Ok(placed.collect())
}

/// Where the values begin, and what the header says; the store has checked both.
fn header(path: &Path) -> Result<(u64, Metadata)> {
    let mut file = fs_err::File::open(path)?;
    let mut length = [0; LENGTH as usize];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text)?;
    let header = serde_json::from_slice(&text).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    Ok((LENGTH + length, header))
}

fn in_file(path: &Path, name: &str, tensor: &StoredTensor, range: Range<u64>) -> StoredTensor {
    let (path, dtype, shape) = (path.to_owned(), tensor.dtype, tensor.shape.clone());
    bridge::deferred(name.to_owned(), dtype, shape.clone(), None, move || {
        let bytes = read_at(&path, range.clone()).map_err(|error| PackError::ValidationError(error.to_string()))?;
        Ok(TensorData::from_bytes_vec(bytes, shape.clone(), dtype))
    })
}

fn read_at(path: &Path, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut file = fs_err::File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
