//! Parts of remote files, each fetched by one request before it is read: the Parquet library reads some bytes here and there, and
//! each reading would be a request.

use std::{io, ops::Range};

use bytes::{Buf, Bytes, buf::Reader};
use headspan_store::Blob;
use parquet::{
    errors::{ParquetError, Result},
    file::{
        metadata::ParquetMetaData,
        reader::{ChunkReader, Length},
    },
};

/// Bytes at the end of a file that are fetched at once for its footer; that of a part of 48 heads has 20 KB.
const TAIL: u64 = 64 << 10;
/// Bytes between two columns that are fetched with both rather than asking twice.
const GAP: u64 = 64 << 10;

/// What was fetched of a file, ascending.
pub(crate) struct Ranges {
    length: u64,
    fetched: Vec<(u64, Bytes)>,
}

impl Ranges {
    /// The end of a file, with its whole footer. It is kept on disk.
    pub(crate) fn of_footer(blob: &Blob) -> io::Result<Self> {
        let length = blob.length()?;
        let mut first = length.saturating_sub(TAIL);
        let mut end = blob.exact(first..length, true)?;
        // The last bytes are the footer's length and the format's name; without the name, the library says what is wrong.
        if let Some((rest, _name)) = end.split_last_chunk::<4>()
            && let Some((_rest, footer)) = rest.split_last_chunk::<4>()
        {
            let whole = u64::from(u32::from_le_bytes(*footer)) + 8;
            if whole > end.len() as u64 && whole <= length {
                first = length - whole;
                end = blob.exact(first..length, true)?;
            }
        }
        Ok(Self { length, fetched: vec![(first, end)] })
    }

    /// Columns of a file by their places in its schema; kept on disk if wanted.
    pub(crate) fn of_columns(blob: &Blob, footer: &ParquetMetaData, columns: &[usize], keep: bool) -> io::Result<Self> {
        let length = blob.length()?;
        let schema = footer.file_metadata().schema_descr();
        // A vector is one column with values of its own below it.
        let is_wanted = |leaf: &usize| columns.contains(&schema.get_column_root_idx(*leaf));
        let leaves: Vec<usize> = (0..schema.num_columns()).filter(is_wanted).collect();
        let groups = footer.row_groups().iter();
        let chunks = groups.flat_map(|group| leaves.iter().filter_map(|leaf| group.columns().get(*leaf)));
        // A damaged footer has any numbers.
        let range = |(start, bytes): (u64, u64)| start.min(length)..start.saturating_add(bytes).min(length);
        let mut wanted: Vec<Range<u64>> = chunks.map(|chunk| range(chunk.byte_range())).collect();
        wanted.retain(|range| !range.is_empty());
        wanted.sort_unstable_by_key(|range| range.start);
        let mut fetched = Vec::new();
        for range in joined(wanted) {
            fetched.push((range.start, blob.exact(range, keep)?));
        }
        Ok(Self { length, fetched })
    }

    /// What was fetched from a byte on.
    fn from(&self, start: u64) -> Result<Bytes> {
        let before = self.fetched.partition_point(|(first, _)| *first <= start);
        let found = before.checked_sub(1).and_then(|place| self.fetched.get(place));
        let within = found.and_then(|(first, bytes)| {
            let skipped = usize::try_from(start - first).ok().filter(|skipped| *skipped <= bytes.len())?;
            Some(bytes.slice(skipped..))
        });
        within.ok_or_else(|| ParquetError::EOF(format!("byte {start} belongs to no column that was asked for")))
    }
}

/// Ranges, those near each other as one.
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

impl Length for Ranges {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Ranges {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let found = self.from(start)?;
        if length > found.len() {
            return Err(ParquetError::EOF(format!("the file ends before byte {start} + {length}")));
        }
        Ok(found.slice(..length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_near_each_other_are_one_request() {
        let far = 10 + GAP + 1;
        assert_eq!(joined(vec![0..5, 5..10, far..far + 2]), [0..10, far..far + 2]);
        assert_eq!(joined(vec![0..8, 2..4]), std::slice::from_ref(&(0..8)));
    }

    #[test]
    fn only_what_was_fetched_can_be_read() {
        let ranges =
            Ranges { length: 100, fetched: vec![(10, Bytes::from_static(b"abc")), (50, Bytes::from_static(b"de"))] };
        assert_eq!(ranges.get_bytes(11, 2).ok().as_deref(), Some(&b"bc"[..]));
        assert_eq!(ranges.get_bytes(50, 2).ok().as_deref(), Some(&b"de"[..]));
        for (start, length) in [(9, 1), (11, 3), (20, 1), (52, 1), (99, 1)] {
            assert!(ranges.get_bytes(start, length).is_err(), "{start} {length}");
        }
    }
}
