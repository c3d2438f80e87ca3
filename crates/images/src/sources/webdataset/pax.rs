//! Attributes of a member that its header has no room for: records `length key=value` of the pax format.

use super::sparse::{self, Piece};

/// What is used of a member's attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) sparse: Option<Sparse>,
}

/// A sparse member of one of the three pax formats.
#[derive(Debug, Clone, Default)]
pub(super) struct Sparse {
    pub(super) length: Option<u64>,
    pub(super) pieces: Vec<Piece>,
    /// The map is before the member's bytes, and not among its attributes.
    pub(super) map_in_body: bool,
}

impl Attributes {
    /// What counts of attributes that stand for all members. Names and maps are a member's own, and one for all of them would be kept
    /// as often as there are members.
    pub(super) fn of_all_members(self) -> Self {
        Self { size: self.size, ..Self::default() }
    }

    pub(super) fn parse(mut records: &[u8]) -> Result<Self, &'static str> {
        let mut attributes = Self::default();
        let mut offset = None;
        let mut sparse_name = None;
        while let Some(Record { key, value, length }) = record(records)? {
            records = &records[length..];
            match key {
                b"path" => attributes.name = Some(value.to_vec()),
                b"linkpath" => attributes.link = Some(value.to_vec()),
                b"size" => attributes.size = Some(number(value)?),
                _ => {}
            }
            let Some(key) = key.strip_prefix(b"GNU.sparse.") else { continue };
            let sparse = attributes.sparse.get_or_insert_default();
            match key {
                b"name" => sparse_name = Some(value.to_vec()),
                b"size" | b"realsize" => sparse.length = Some(number(value)?),
                b"major" => sparse.map_in_body = value == b"1",
                b"offset" => offset = Some(number(value)?),
                b"numbytes" => {
                    let at = offset.take().ok_or("a piece of a sparse member has no offset")?;
                    sparse::add(&mut sparse.pieces, Piece { at, length: number(value)? })?;
                }
                b"map" => sparse.pieces = sparse::map_of_commas(value)?,
                _ => {}
            }
        }
        // The name in `path` is one that a program without sparse members would write the map and the bytes to.
        attributes.name = sparse_name.or(attributes.name);
        Ok(attributes)
    }
}

struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// Bytes of the whole record.
    length: usize,
}

/// The first record.
fn record(records: &[u8]) -> Result<Option<Record<'_>>, &'static str> {
    const WRONG: &str = "attributes of a member are malformed";
    // Some programs fill up with zeros.
    if records.first().is_none_or(|byte| *byte == 0) {
        return Ok(None);
    }
    let space = records.iter().position(|byte| *byte == b' ').ok_or(WRONG)?;
    let length = number(&records[..space])? as usize;
    let text = records.get(space + 1..length).ok_or(WRONG)?;
    let text = text.strip_suffix(b"\n").ok_or(WRONG)?;
    let equals = text.iter().position(|byte| *byte == b'=').ok_or(WRONG)?;
    Ok(Some(Record { key: &text[..equals], value: &text[equals + 1..], length }))
}

pub(super) fn number(text: &[u8]) -> Result<u64, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_no_text| "a number of a member is malformed")?;
    text.trim().parse().map_err(|_no_number| "a number of a member is malformed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_lengths() -> Result<(), &'static str> {
        let attributes = Attributes::parse(b"14 path=a\nb.c\n10 size=7\n19 SCHILY.x=\xff\xff\xff\xff12\n")?;
        assert_eq!(attributes.name.as_deref(), Some(b"a\nb.c".as_slice()));
        assert_eq!((attributes.size, attributes.sparse.is_none()), (Some(7), true));
        for wrong in [b"9 path=a".as_slice(), b"x path=a\n", b"99 path=a\n", b"2 path=a\n", b"11 path:ab\n\n"] {
            assert!(Attributes::parse(wrong).is_err(), "{wrong:?}");
        }
        Ok(())
    }
}
