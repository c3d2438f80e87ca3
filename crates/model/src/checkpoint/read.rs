//! Where the tensors of a safetensors file stand.
//!
//! The store maps the file into memory, and while weights are loaded every page of the map stays beside its copy: twice the
//! weights. Here it checks the file, and the values are read from it.

use std::{collections::BTreeMap, io::Read, path::Path};

use burn_store::{ModuleStore, SafetensorsStore};
use safetensors::tensor::Metadata;

use super::weights::Weights;
use crate::error::{ClipError, Result};

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// Names, types and shapes as the store reads and checks them.
pub(super) fn safetensors(path: &Path) -> Result<BTreeMap<String, Weights>> {
    let mut store = SafetensorsStore::from_file(path);
    let mapped = store.get_all_tensors().map_err(|source| ClipError::Safetensors { path: path.to_owned(), source })?;
    let (begin, header) = header(path)?;
    let weights = mapped.iter().map(|(name, tensor)| {
        let weights = match header.info(name) {
            Some(info) => {
                let (start, end) = info.data_offsets;
                let range = begin + start as u64..begin + end as u64;
                Weights::in_file(path.to_owned(), range, tensor.shape.to_vec(), tensor.dtype)
            }
            // Cannot be: the store has read the same header. It would be left to the map.
            None => Weights::whole(tensor.clone()),
        };
        (name.clone(), weights)
    });
    Ok(weights.collect())
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
