use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::weights::{ValueType, widen};

/// A matrix that stays in its file, read by rows. The file stays open: what replaces it under its name is not read.
pub(crate) struct StoredRows {
    file: Mutex<File>,
    /// Where the first row begins.
    start: u64,
    rows: usize,
    columns: usize,
    stored_as: ValueType,
}

impl StoredRows {
    pub(super) fn open(
        path: &Path,
        start: u64,
        [rows, columns]: [usize; 2],
        stored_as: ValueType,
    ) -> std::io::Result<Self> {
        Ok(Self { file: Mutex::new(fs_err::File::open(path)?.into_parts().0), start, rows, columns, stored_as })
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Rows by number, as float32, `[numbers, columns]`.
    pub(crate) fn read(&self, numbers: &[u32]) -> std::io::Result<Vec<f32>> {
        let mut bytes = vec![0; self.columns * self.stored_as.bytes().unwrap_or(1)];
        let mut values = Vec::with_capacity(numbers.len() * self.columns);
        // Every reader moves to its row first, so one that panicked leaves nothing behind.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for &number in numbers {
            if number as usize >= self.rows {
                return Err(std::io::Error::other(format!("no row {number} in a matrix of {}", self.rows)));
            }
            file.seek(SeekFrom::Start(self.start + u64::from(number) * bytes.len() as u64))?;
            file.read_exact(&mut bytes)?;
            widen(&bytes, &self.stored_as, &mut values)?;
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_in_any_order_and_no_others() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("matrix");
        let values = [9.0_f32, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        fs_err::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())?;
        let rows = StoredRows::open(&path, 4, [3, 2], ValueType::Float32)?;
        fs_err::remove_file(&path)?;
        assert_eq!(rows.read(&[2, 0, 2])?, [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        assert!(rows.read(&[3]).is_err_and(|error| error.to_string().contains("no row 3 in a matrix of 3")));
        Ok(())
    }
}
