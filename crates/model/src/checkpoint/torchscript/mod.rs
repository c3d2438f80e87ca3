//! TorchScript archives (`torch.jit.save`), as OpenAI published CLIP's weights: the module's attributes are a pickle, the tensors lie
//! beside it, and the program in the archive is left alone.

mod machine;
mod pickle;

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use zip::{CompressionMethod, ZipArchive};

use self::pickle::{Array, Pickle};
use super::{
    kind::root,
    weights::{ValueType, Weights},
};
use crate::error::{ClipError, Result};

/// Largest pickle of attributes; that of a ViT-L/14 has 100 kB.
const LARGEST_PICKLE: u64 = 64 << 20;

type Archive = ZipArchive<BufReader<fs_err::File>>;

/// The tensors by name: the attributes of the module on the way to each, joined by dots.
pub(super) fn tensors(path: &Path) -> Result<BTreeMap<String, Weights>> {
    let problem = |what: String| ClipError::TorchScript { path: path.to_owned(), what };
    let failed = |error: zip::result::ZipError| problem(error.to_string());
    let mut archive: Archive = ZipArchive::new(BufReader::new(fs_err::File::open(path)?)).map_err(failed)?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let root = root(&names).unwrap_or_default().to_owned();
    let big_endian = || problem("its values are big-endian".to_owned());
    if text(&mut archive, &format!("{root}byteorder")).is_some_and(|order| order.trim() == "big") {
        return Err(big_endian());
    }
    let mut bytes = Vec::new();
    let entry = archive.by_name(&format!("{root}data.pkl")).map_err(failed)?;
    entry.take(LARGEST_PICKLE).read_to_end(&mut bytes)?;
    let arrays = Pickle::read(&bytes).and_then(|pickle| pickle.arrays()).map_err(|what| problem(what.to_owned()))?;
    let mut found = BTreeMap::new();
    for (name, array) in arrays {
        let weights = weights(path, &mut archive, &root, array).map_err(|what| problem(format!("`{name}` {what}")))?;
        found.insert(name, weights);
    }
    Ok(found)
}

fn text(archive: &mut Archive, name: &str) -> Option<String> {
    let mut text = String::new();
    archive.by_name(name).ok()?.take(64).read_to_string(&mut text).ok()?;
    Some(text)
}

fn weights(path: &Path, archive: &mut Archive, root: &str, array: Array) -> Result<Weights, String> {
    let Array { storage, offset, shape, strides } = array;
    let stored_as = value_type(&storage.class);
    let Some(size) = stored_as.bytes() else {
        return Ok(Weights::whole(shape, stored_as, || Err(io::Error::other("holds no floats"))));
    };
    let place = place(path, archive, &format!("{root}data/{}", storage.key))?;
    let stored = (place.end - place.start) / size as u64;
    if !is_within(stored, offset, &shape, &strides) {
        return Err(format!("needs more values than its storage `{}` has", storage.key));
    }
    let start = place.start + (offset * size) as u64;
    if is_contiguous(&shape, &strides) {
        let length = (shape.iter().product::<usize>() * size) as u64;
        return Ok(Weights::in_file(path.to_owned(), start..start + length, shape, stored_as));
    }
    let view = View { path: path.to_owned(), range: start..place.end, shape: shape.clone(), strides, size };
    Ok(Weights::whole(shape, stored_as, move || view.gathered()))
}

/// Where the bytes of a storage stand in the file.
fn place(path: &Path, archive: &mut Archive, name: &str) -> Result<Range<u64>, String> {
    let index = archive.index_for_name(name).ok_or_else(|| format!("has no storage `{name}` in the archive"))?;
    let entry = archive.by_index_raw(index).map_err(|error| format!("has no readable storage: {error}"))?;
    let start = entry.data_start().filter(|_| entry.compression() == CompressionMethod::Stored);
    let start = start.ok_or_else(|| format!("has a compressed storage `{name}`"))?;
    let bytes = fs_err::metadata(path).map_err(|error| error.to_string())?.len();
    let end = start.checked_add(entry.size()).filter(|end| *end <= bytes);
    Ok(start..end.ok_or_else(|| format!("has a storage `{name}` that ends behind the file"))?)
}

fn value_type(class: &str) -> ValueType {
    match class {
        "DoubleStorage" => ValueType::Float64,
        "FloatStorage" => ValueType::Float32,
        "HalfStorage" => ValueType::Float16,
        "BFloat16Storage" => ValueType::Bfloat16,
        other => ValueType::Other(other.to_owned()),
    }
}

/// Whether a view lies within a storage of `stored` values, and has no more of them: with strides of 0, one value is a tensor of any size.
fn is_within(stored: u64, offset: usize, shape: &[usize], strides: &[usize]) -> bool {
    let end = reach(shape, strides).and_then(|reach| reach.checked_add(offset));
    let fits = |count: Option<usize>| count.is_some_and(|count| count as u64 <= stored);
    fits(end) && fits(values(shape))
}

/// Values of a tensor; none where there are more than anything can have.
fn values(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |all, size| all.checked_mul(*size))
}

/// Values from the first to the last of a view; none where the numbers are no sizes.
fn reach(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.len() != strides.len() {
        return None;
    }
    values(shape)?;
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(0_usize, |last, (size, stride)| last.checked_add((size - 1).checked_mul(*stride)?))?;
    last.checked_add(1)
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    if shape.contains(&0) {
        return true;
    }
    let mut expected = 1;
    for (size, stride) in shape.iter().zip(strides).rev() {
        if *size > 1 && *stride != expected {
            return false;
        }
        expected *= size;
    }
    true
}

/// A view of a storage whose values are not in order.
struct View {
    path: PathBuf,
    range: Range<u64>,
    shape: Vec<usize>,
    strides: Vec<usize>,
    size: usize,
}

impl View {
    fn gathered(&self) -> io::Result<Vec<u8>> {
        let Self { path, range, shape, strides, size } = self;
        let window = reach(shape, strides).unwrap_or_default() * size;
        let mut file = fs_err::File::open(path)?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = vec![0; window.min((range.end - range.start) as usize)];
        file.read_exact(&mut bytes)?;
        let values: usize = shape.iter().product();
        let mut out = Vec::with_capacity(values * size);
        for index in 0..values {
            let (mut rest, mut at) = (index, 0);
            for (length, stride) in shape.iter().zip(strides).rev() {
                at += (rest % length) * stride;
                rest /= length;
            }
            out.extend_from_slice(&bytes[at * size..][..*size]);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_reach_as_far_as_their_last_value() {
        assert_eq!(reach(&[2, 3], &[3, 1]), Some(6));
        assert_eq!(reach(&[2, 3], &[1, 2]), Some(6));
        assert_eq!(reach(&[2, 3], &[1]), None);
        assert_eq!(reach(&[0, 3], &[3, 1]), Some(0));
        assert_eq!(reach(&[usize::MAX, 2], &[1, 1]), None);
        assert!(is_contiguous(&[0, usize::MAX, 2], &[1, 1, 1]), "no product that overflows");
        assert!(is_contiguous(&[2, 1, 3], &[3, 9, 1]) && !is_contiguous(&[2, 3], &[1, 2]));
    }

    #[test]
    fn views_are_within_their_storage_and_no_larger() {
        assert!(is_within(6, 0, &[2, 3], &[3, 1]) && is_within(8, 2, &[2, 3], &[1, 2]) && is_within(0, 0, &[0], &[1]));
        for (offset, shape, strides) in
            [(1, [2, 3], [3, 1]), (0, [2, 3], [4, 1]), (0, [1 << 40, 1], [0, 0]), (usize::MAX, [1, 1], [1, 1])]
        {
            assert!(!is_within(6, offset, &shape, &strides), "{offset} {shape:?} {strides:?}");
        }
    }

    #[test]
    fn a_transposed_view_is_put_in_order() -> io::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs_err::write(file.path(), [9, 0, 1, 2, 3, 4, 5])?;
        let view = View { path: file.path().to_owned(), range: 1..7, shape: vec![3, 2], strides: vec![1, 3], size: 1 };
        assert_eq!(view.gathered()?, [0, 3, 1, 4, 2, 5]);
        Ok(())
    }
}
