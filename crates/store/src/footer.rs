//! The schema in the footer of a Parquet file, looked at before the library reads it. The library goes down one level of its stack for each
//! level of a schema, and makes room for as many children as a group says it has. The program ends if either fails, and neither can
//! be caught.

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result},
    file::reader::ChunkReader,
};

/// Levels of a schema. Lists of structs of images have six.
const DEEPEST: usize = 64;
/// Length of the footer and the letters at the end of a file.
const END: usize = 8;
/// Levels of values that are passed over. The footer itself has five.
const DEEPEST_VALUE: usize = 32;

/// Numbers of fields in Thrift's definition of the format.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

/// Kinds of values in Thrift's compact protocol.
const WHOLE: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Refuses a file whose footer the library must not read. Files that it refuses by itself pass.
pub fn check_footer(file: &impl ChunkReader) -> Result<()> {
    let Some(end) = file.len().checked_sub(END as u64) else { return Ok(()) };
    let last = file.get_bytes(end, END)?;
    let Some((length, b"PAR1")) = last.split_first_chunk::<4>() else { return Ok(()) };
    let length = u32::from_le_bytes(*length);
    let Some(start) = end.checked_sub(length.into()) else { return Ok(()) };
    check(&file.get_bytes(start, length as usize)?).map_err(|why| ParquetError::General(why.to_owned()))
}

fn check(footer: &Bytes) -> Result<(), &'static str> {
    let mut thrift = Thrift(footer);
    let mut last = 0;
    while let Some((number, kind)) = thrift.field(&mut last)? {
        if number == SCHEMA && kind == LIST { schema(&mut thrift)? } else { thrift.skip(kind, DEEPEST_VALUE)? }
    }
    Ok(())
}

const DAMAGED: &str = "its footer is damaged";

/// Walks over the list of a schema's elements, each of which stands before its children.
fn schema(thrift: &mut Thrift<'_>) -> Result<(), &'static str> {
    let (count, kind) = thrift.list()?;
    if kind != STRUCT {
        return Err(DAMAGED);
    }
    // Children that are still to come, of each group on the way to an element. The root is the only one at its level.
    let mut open = vec![1_u64];
    let mut promised = 1_u64;
    for _ in 0..count {
        let children = children(thrift)?;
        while open.last() == Some(&0) {
            open.pop();
        }
        *open.last_mut().ok_or("its schema has more than one root")? -= 1;
        promised = promised.saturating_add(children);
        if promised > count {
            return Err("its schema promises more columns than it has");
        }
        if children > 0 {
            open.push(children);
        }
        if open.len() > DEEPEST {
            return Err("its schema has more than 64 levels");
        }
    }
    Ok(())
}

/// Children of the element that comes next.
fn children(thrift: &mut Thrift<'_>) -> Result<u64, &'static str> {
    let (mut children, mut last) = (0, 0);
    while let Some((number, kind)) = thrift.field(&mut last)? {
        match (number, kind) {
            (CHILDREN, WHOLE) => children = u64::try_from(thrift.whole()?).map_err(|_negative| DAMAGED)?,
            (CHILDREN, _) => return Err(DAMAGED),
            _ => thrift.skip(kind, DEEPEST_VALUE)?,
        }
    }
    Ok(children)
}

/// What is left of a text in Thrift's compact protocol.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.0.split_first().ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(*first)
    }

    fn pass(&mut self, bytes: u64) -> Result<(), &'static str> {
        let bytes = usize::try_from(bytes).map_err(|_too_many| DAMAGED)?;
        self.0 = self.0.get(bytes..).ok_or(DAMAGED)?;
        Ok(())
    }

    /// A number of 7 bits a byte, the lowest first.
    fn bits(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(DAMAGED)
    }

    /// A number with its sign in the lowest bit.
    fn whole(&mut self) -> Result<i64, &'static str> {
        let bits = self.bits()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// Number and kind of the next field; none at the end of a struct.
    fn field(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>, &'static str> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        *last = match head >> 4 {
            0 => self.whole()?,
            step => last.checked_add(step.into()).ok_or(DAMAGED)?,
        };
        Ok(Some((*last, head & 15)))
    }

    /// Length of a list, and the kind of its values.
    fn list(&mut self) -> Result<(u64, u8), &'static str> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.bits()? } else { u64::from(head >> 4) };
        Ok((count, head & 15))
    }

    /// Passes over the value of a field.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        match kind {
            // The kind itself says true or false.
            1 | 2 => Ok(()),
            _ => self.skip_value(kind, depth),
        }
    }

    fn skip_value(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        let depth = depth.checked_sub(1).ok_or(DAMAGED)?;
        match kind {
            1..=3 => self.pass(1),
            4..=6 => self.bits().map(|_number| ()),
            7 => self.pass(8),
            8 => {
                let length = self.bits()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_value(kind, depth))
            }
            11 => self.skip_map(depth),
            STRUCT => {
                let mut last = 0;
                while let Some((_number, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
                Ok(())
            }
            13 => self.pass(16),
            _ => Err(DAMAGED),
        }
    }

    fn skip_map(&mut self, depth: usize) -> Result<(), &'static str> {
        let count = self.bits()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        for _ in 0..count {
            self.skip_value(kinds >> 4, depth)?;
            self.skip_value(kinds & 15, depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer with these elements: name, and number of children.
    fn footer(elements: &[(&str, u64)]) -> Bytes {
        let number = |bytes: &mut Vec<u8>, mut number: u64| {
            while number > 127 {
                bytes.push(number as u8 | 128);
                number >>= 7;
            }
            bytes.push(number as u8);
        };
        // The version, then the list of elements.
        let mut bytes = vec![0x15, 2, 0x19, 0xfc];
        number(&mut bytes, elements.len() as u64);
        for (name, children) in elements {
            // Required; the name; the children.
            bytes.extend([0x35, 0, 0x18, name.len() as u8]);
            bytes.extend(name.as_bytes());
            if *children > 0 {
                bytes.push(0x15);
                number(&mut bytes, 2 * children);
            }
            bytes.push(0);
        }
        // Rows, row groups, the end.
        bytes.extend([0x16, 0, 0x19, 0x0c, 0]);
        bytes.into()
    }

    /// One group in another, and a column in the last.
    fn nested(levels: usize) -> Bytes {
        let mut elements = vec![("group", 1); levels];
        elements.push(("column", 0));
        footer(&elements)
    }

    #[test]
    fn schemas_that_end_the_program_are_refused() {
        let two = footer(&[("root", 2), ("a", 0), ("b", 1), ("c", 0)]);
        for (footer, expected) in [
            (two, Ok(())),
            (nested(20), Ok(())),
            (nested(200_000), Err("its schema has more than 64 levels")),
            (footer(&[("root", 1 << 31), ("a", 0)]), Err("its schema promises more columns than it has")),
            (footer(&[("root", 1), ("a", 0), ("b", 0)]), Err("its schema has more than one root")),
        ] {
            assert_eq!(check(&footer), expected);
        }
        let whole = nested(3);
        assert!((0..whole.len()).all(|length| check(&whole.slice(..length)) == Err(DAMAGED)), "cut footers");
    }

    #[test]
    fn what_is_no_parquet_file_is_left_to_the_library() {
        for file in [&b""[..], b"PAR1", b"PAR1PAR1", b"\xff\xff\xff\xffPAR1", b"0123456789"] {
            assert!(check_footer(&Bytes::from_static(file)).is_ok(), "{file:?}");
        }
        let mut file = nested(100).to_vec();
        file.extend((nested(100).len() as u32).to_le_bytes());
        file.extend(b"PAR1");
        assert!(check_footer(&Bytes::from(file)).is_err());
    }
}
