//! Members that are stored without their holes: which of a file's bytes are stored.

use serde::{Deserialize, Serialize};
use tar::GnuSparseHeader;

use super::pax::number;

/// Most pieces of a member. An image has a few; the number bounds memory.
const MOST_PIECES: usize = 1 << 16;

/// Bytes of a file that are stored. All others are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Where in the file.
    pub(super) at: u64,
    pub(super) length: u64,
}

/// Adds a piece, unless there are too many.
pub(super) fn add(pieces: &mut Vec<Piece>, piece: Piece) -> Result<(), &'static str> {
    if pieces.len() == MOST_PIECES {
        return Err("a sparse member has more pieces than are read");
    }
    pieces.push(piece);
    Ok(())
}

/// Adds the pieces of some fields of GNU's own format.
pub(super) fn add_fields(pieces: &mut Vec<Piece>, fields: &[GnuSparseHeader]) -> Result<(), &'static str> {
    const WRONG: &str = "the map of a sparse member is malformed";
    for field in fields.iter().filter(|field| !field.is_empty()) {
        let at = field.offset().map_err(|_no_number| WRONG)?;
        add(pieces, Piece { at, length: field.length().map_err(|_no_number| WRONG)? })?;
    }
    Ok(())
}

/// The map of pax 0.1: `offset,length,offset,length`.
pub(super) fn map_of_commas(text: &[u8]) -> Result<Vec<Piece>, &'static str> {
    let mut numbers = text.split(|byte| *byte == b',').filter(|text| !text.is_empty()).map(number);
    let mut pieces = Vec::new();
    while let Some(at) = numbers.next().transpose()? {
        let length = numbers.next().transpose()?.ok_or("the map of a sparse member has an odd number of fields")?;
        add(&mut pieces, Piece { at, length })?;
    }
    Ok(pieces)
}

/// The map of pax 1.0, a number a line: how many pieces there are, then offset and length of each. It fills whole blocks.
#[derive(Default)]
pub(super) struct MapInBody {
    line: Vec<u8>,
    numbers: Vec<u64>,
}

impl MapInBody {
    /// Adds a block. Gives the pieces once all are there.
    pub(super) fn add(&mut self, block: &[u8]) -> Result<Option<Vec<Piece>>, &'static str> {
        for byte in block {
            if *byte != b'\n' {
                if self.line.len() == 32 {
                    return Err("a number of a sparse member's map is too long");
                }
                self.line.push(*byte);
                continue;
            }
            self.numbers.push(number(&self.line)?);
            self.line.clear();
            let (count, pieces) = (self.numbers[0], &self.numbers[1..]);
            if count > MOST_PIECES as u64 {
                return Err("a sparse member has more pieces than are read");
            }
            if pieces.len() as u64 == 2 * count {
                let pieces = pieces.chunks_exact(2).map(|pair| Piece { at: pair[0], length: pair[1] });
                return Ok(Some(pieces.collect()));
            }
        }
        Ok(None)
    }
}

/// Whether the pieces are in order, within the file, and stored.
pub(super) fn fits(pieces: &[Piece], length: u64, stored: u64) -> bool {
    let mut end = 0_u64;
    let mut sum = 0_u64;
    for piece in pieces {
        let (Some(after), Some(more)) = (piece.at.checked_add(piece.length), sum.checked_add(piece.length)) else {
            return false;
        };
        if piece.at < end || after > length {
            return false;
        }
        (end, sum) = (after, more);
    }
    sum <= stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_in_blocks_of_any_size() -> Result<(), &'static str> {
        let expected = [Piece { at: 0, length: 5 }, Piece { at: 1024, length: 7 }];
        assert_eq!(map_of_commas(b"0,5,1024,7")?, expected);
        let mut map = MapInBody::default();
        assert_eq!(map.add(b"2\n0\n5\n10")?, None);
        assert_eq!(map.add(b"24\n7\n\0\0\0")?.as_deref(), Some(expected.as_slice()));
        assert_eq!(MapInBody::default().add(b"0\n\0")?, Some(Vec::new()));
        assert!(map_of_commas(b"0,5,7").is_err() && MapInBody::default().add(b"9999999\n").is_err());
        Ok(())
    }

    #[test]
    fn pieces_lie_in_order_within_the_file() {
        let piece = |at, length| Piece { at, length };
        assert!(fits(&[piece(0, 5), piece(5, 0), piece(9, 1)], 10, 6));
        for wrong in [vec![piece(0, 11)], vec![piece(5, 1), piece(0, 1)], vec![piece(u64::MAX, 2)], vec![piece(0, 7)]] {
            assert!(!fits(&wrong, 10, 6), "{wrong:?}");
        }
    }
}
