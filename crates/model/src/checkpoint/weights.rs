//! Tensors of a checkpoint, read some values at a time into what a module keeps.
//!
//! Whatever is freed while weights are loaded stays in the process for a while, so nothing of a tensor's size is made beside the
//! tensor: neither its bytes, nor its values in half precision, nor the layout of the file.

use std::{
    fmt, io,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::{DType, Shape, TensorData};
use burn_store::{
    bridge,
    burn_pack::{Error as PackError, Tensor as StoredTensor},
};
use half::{bf16, f16};
use rayon::prelude::*;

use super::stored_rows::StoredRows;

/// Values that are read at once.
const PIECE: usize = 1 << 18;

/// Rows and columns that are transposed at once: 256 bytes of each row, which fit the first-level cache together.
const TILE: usize = 64;

type Taker<'a> = &'a mut dyn FnMut(&[f32]);
/// Passes all values in order, as many at once as the number says (the last fewer).
type Pass = dyn Fn(usize, Taker<'_>) -> Result<(), PackError> + Send + Sync;

/// Type of stored values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueType {
    Float64,
    Float32,
    Float16,
    Bfloat16,
    /// Its name in the file's format.
    Other(String),
}

impl ValueType {
    pub(crate) fn is_float(&self) -> bool {
        self.bytes().is_some()
    }

    /// Bytes of a value; none for a type that holds no weights.
    pub(crate) fn bytes(&self) -> Option<usize> {
        match self {
            Self::Float64 => Some(8),
            Self::Float32 => Some(4),
            Self::Float16 | Self::Bfloat16 => Some(2),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float64 => "F64",
            Self::Float32 => "F32",
            Self::Float16 => "F16",
            Self::Bfloat16 => "BF16",
            Self::Other(name) => name,
        })
    }
}

/// A tensor in the file's shape, as float32.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) shape: Vec<usize>,
    /// The type that the file holds.
    pub(crate) stored_as: ValueType,
    /// Where the values stand, if they are a part of a file in this order.
    place: Option<(PathBuf, u64)>,
    pass: Arc<Pass>,
}

impl Weights {
    /// Of `range` in a file.
    pub(crate) fn in_file(path: PathBuf, range: Range<u64>, shape: Vec<usize>, stored_as: ValueType) -> Self {
        let place = Some((path.clone(), range.start));
        let own = stored_as.clone();
        let pass = move |piece: usize, take: Taker<'_>| {
            read(&path, &range, &own, piece, take).map_err(|error| PackError::IoError(error.to_string()))
        };
        Self { shape, stored_as, place, pass: Arc::new(pass) }
    }

    /// Of another reader, which gives a tensor's bytes whole, little-endian and in order.
    pub(crate) fn whole(
        shape: Vec<usize>,
        stored_as: ValueType,
        bytes: impl Fn() -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let own = stored_as.clone();
        let pass = move |piece: usize, take: Taker<'_>| {
            let failed = |error: io::Error| PackError::IoError(error.to_string());
            let bytes = bytes().map_err(failed)?;
            let mut values = Vec::with_capacity(piece.min(bytes.len()));
            for part in bytes.chunks(piece * own.bytes().unwrap_or(1)) {
                values.clear();
                widen(part, &own, &mut values).map_err(failed)?;
                take(&values);
            }
            Ok(())
        };
        Self { shape, stored_as, place: None, pass: Arc::new(pass) }
    }

    /// Values that were computed from others when they are asked for.
    pub(crate) fn computed(
        shape: Vec<usize>,
        values: impl Fn() -> Result<Vec<f32>, PackError> + Send + Sync + 'static,
    ) -> Self {
        let pass = move |piece: usize, take: Taker<'_>| {
            values()?.chunks(piece).for_each(take);
            Ok(())
        };
        Self { shape, stored_as: ValueType::Float32, place: None, pass: Arc::new(pass) }
    }

    /// As if the values had been stored in another type.
    pub(crate) fn of_type(self, stored_as: ValueType) -> Self {
        Self { stored_as, ..self }
    }

    /// Nothing but zeros.
    pub(crate) fn zeros(shape: Vec<usize>) -> Self {
        let elements = shape.iter().product();
        Self::computed(shape, move || Ok(vec![0.0; elements]))
    }

    /// The same values under another shape of as many.
    pub(crate) fn of_shape(self, shape: Vec<usize>) -> Self {
        Self { shape, ..self }
    }

    /// All values, as float32.
    pub(crate) fn values(&self) -> Result<Vec<f32>, PackError> {
        let mut values = Vec::with_capacity(self.elements());
        (self.pass)(PIECE, &mut |piece| values.extend_from_slice(piece))?;
        Ok(values)
    }

    /// One below the other, of any numbers of rows.
    pub(crate) fn below(first: Self, second: Self) -> Self {
        let mut shape = first.shape.clone();
        if let (Some(rows), Some(more)) = (shape.first_mut(), second.shape.first()) {
            *rows += more;
        }
        Self::computed(shape, move || Ok([first.values()?, second.values()?].concat()))
    }

    /// One below the other; all of one shape.
    pub(crate) fn stacked(parts: [Self; 3]) -> Self {
        let [first, ..] = &parts;
        let mut shape = first.shape.clone();
        // Of different types, the one that holds no floats is what has to be told.
        let stored_as = parts.iter().map(|part| &part.stored_as).find(|stored| !stored.is_float());
        let stored_as = stored_as.unwrap_or(&first.stored_as).clone();
        if let Some(rows) = shape.first_mut() {
            *rows *= parts.len();
        }
        let pass = move |piece: usize, take: Taker<'_>| {
            let mut rest = Vec::new();
            for part in &parts {
                (part.pass)(piece, &mut |values| {
                    rest.extend_from_slice(values);
                    let whole = rest.len() - rest.len() % piece;
                    rest.drain(..whole).as_slice().chunks(piece).for_each(&mut *take);
                })?;
            }
            rest.chunks(piece).for_each(take);
            Ok(())
        };
        Self { shape, stored_as, place: None, pass: Arc::new(pass) }
    }

    /// A matrix with rows for columns; another tensor stays as it is.
    pub(crate) fn transposed(self) -> Self {
        let [rows, columns] = self.shape[..] else { return self };
        let stored_as = self.stored_as.clone();
        let pass = move |piece: usize, take: Taker<'_>| {
            self.turned(rows, columns)?.chunks(piece).for_each(take);
            Ok(())
        };
        Self { shape: vec![columns, rows], stored_as, place: None, pass: Arc::new(pass) }
    }

    /// For a module that keeps the values in this order, under its own `shape`.
    pub(crate) fn into_tensor(self, name: String, shape: Vec<usize>) -> StoredTensor {
        bridge::deferred(name, DType::F32, Shape::from(shape.clone()), None, move || {
            Ok::<_, PackError>(TensorData::new(self.values()?, shape.clone()))
        })
    }

    /// For a linear layer: PyTorch keeps its weight as `[outputs, inputs]`, Burn as `[inputs, outputs]`.
    pub(crate) fn into_transposed_tensor(self, name: String) -> StoredTensor {
        let [rows, columns] = self.shape[..] else {
            let shape = self.shape.clone();
            return self.into_tensor(name, shape);
        };
        bridge::deferred(name, DType::F32, Shape::from([columns, rows]), None, move || {
            Ok(TensorData::new(self.turned(rows, columns)?, [columns, rows]))
        })
    }

    /// Whether its rows can be left in the file: it is a matrix that stands there as it is.
    pub(crate) fn has_stored_rows(&self) -> bool {
        self.shape.len() == 2 && self.place.is_some()
    }

    /// Its rows, left in the file; none if they cannot be.
    pub(crate) fn stored_rows(&self) -> Option<std::io::Result<StoredRows>> {
        let (shape, (path, start)) = (self.shape[..].try_into().ok()?, self.place.as_ref()?);
        Some(StoredRows::open(path, *start, shape, self.stored_as.clone()))
    }

    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn turned(&self, rows: usize, columns: usize) -> Result<Vec<f32>, PackError> {
        let mut out = vec![0.0; rows * columns];
        if out.is_empty() {
            return Ok(out);
        }
        let rows_of_piece = (PIECE / columns).max(1).next_multiple_of(TILE);
        let mut first_row = 0;
        (self.pass)(rows_of_piece * columns, &mut |piece| {
            turn(piece, columns, &mut out, rows, first_row);
            first_row += piece.len() / columns;
        })?;
        Ok(out)
    }
}

/// Rows from `first_row` on, `[.., columns]`, to columns of `out`, `[columns, rows]`. Tile by tile: element by element across the
/// whole matrix, as Burn's adapter does it, takes as long as reading it from disk.
fn turn(piece: &[f32], columns: usize, out: &mut [f32], rows: usize, first_row: usize) {
    out.par_chunks_mut(TILE * rows).enumerate().for_each(|(tile, out)| {
        for (index, rows_of_tile) in piece.chunks(TILE * columns).enumerate() {
            let begin = first_row + index * TILE;
            for (column, out) in out.chunks_exact_mut(rows).enumerate() {
                let values = rows_of_tile.iter().skip(tile * TILE + column).step_by(columns);
                out[begin..].iter_mut().zip(values).for_each(|(out, value)| *out = *value);
            }
        }
    });
}

fn read(path: &Path, range: &Range<u64>, stored_as: &ValueType, piece: usize, take: Taker<'_>) -> io::Result<()> {
    let size = stored_as.bytes().unwrap_or(1);
    let mut file = fs_err::File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut left = (range.end - range.start) as usize;
    let mut bytes = vec![0; left.min(piece * size)];
    let mut values = Vec::with_capacity(bytes.len() / size);
    while left > 0 {
        let bytes = &mut bytes[..left.min(piece * size)];
        file.read_exact(bytes)?;
        left -= bytes.len();
        values.clear();
        widen(bytes, stored_as, &mut values)?;
        take(&values);
    }
    Ok(())
}

/// Appends little-endian floats of a type as float32.
pub(crate) fn widen(bytes: &[u8], stored_as: &ValueType, values: &mut Vec<f32>) -> io::Result<()> {
    match stored_as {
        ValueType::Float32 => values.extend(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value))),
        ValueType::Float16 => {
            values.extend(bytes.as_chunks().0.iter().map(|value| f16::from_le_bytes(*value).to_f32()));
        }
        ValueType::Bfloat16 => {
            values.extend(bytes.as_chunks().0.iter().map(|value| bf16::from_le_bytes(*value).to_f32()));
        }
        ValueType::Float64 => values.extend(bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value) as f32)),
        ValueType::Other(name) => return Err(io::Error::other(format!("holds {name}, not floats"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(shape: [usize; 2], first: usize) -> Weights {
        let values = (first..first + shape[0] * shape[1]).map(|index| index as f32);
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        Weights::whole(shape.to_vec(), ValueType::Float32, move || Ok(bytes.clone()))
    }

    fn values(tensor: &StoredTensor) -> Vec<f32> {
        bridge::to_data(tensor).expect("values").try_into_vec().expect("floats")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn rows_become_columns(rows in 0_usize..300, columns in 1_usize..300) {
            let turned = values(&counted([rows, columns], 0).into_transposed_tensor("turned".to_owned()));
            let expected = (0..columns).flat_map(|column| (0..rows).map(move |row| (row * columns + column) as f32));
            prop_assert_eq!(turned, expected.collect::<Vec<_>>());
        }

        #[test]
        fn parts_are_stacked_whatever_the_piece(piece in 1_usize..50, rows in 1_usize..9, columns in 1_usize..9) {
            let size = rows * columns;
            let stacked = Weights::stacked([0, size, 2 * size].map(|first| counted([rows, columns], first)));
            prop_assert_eq!(&stacked.shape, &[3 * rows, columns]);
            let mut pieces: Vec<Vec<f32>> = Vec::new();
            (stacked.pass)(piece, &mut |values| pieces.push(values.to_vec())).expect("values");
            let (_last, full) = pieces.split_last().expect("one piece at least");
            prop_assert!(full.iter().all(|values| values.len() == piece));
            prop_assert_eq!(pieces.concat(), (0..3 * size).map(|index| index as f32).collect::<Vec<_>>());
        }
    }

    /// Larger than a piece, so that rows of several pieces come together.
    #[test]
    fn a_matrix_of_several_pieces_is_transposed_twice_to_itself() {
        let [rows, columns] = [700, 1_000];
        assert!(rows * columns > 2 * PIECE);
        let twice = counted([rows, columns], 0).transposed().into_transposed_tensor("twice".to_owned());
        assert!(values(&twice) == (0..rows * columns).map(|index| index as f32).collect::<Vec<_>>());
    }
}
