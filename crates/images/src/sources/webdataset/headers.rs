//! Headers of a tar, one after the other, and where the bytes of its members are.
//!
//! The `tar` crate reads the fields of a header. What it keeps to itself is walked through here: where a sparse member's pieces lie
//! (and it knows no sparse member of the pax formats), how far a damaged tar can be read, and what follows the mark of the end. A
//! length in a header is never trusted: names and attributes are bounded, and a member counts only once its bytes are passed.

use std::io::Error;

use headspan_store::StoreError;
use tar::{EntryType, Header};

use super::{
    input::Input,
    pax::Attributes,
    sparse::{self, Piece},
};

const BLOCK: u64 = 512;
/// Most bytes of a name or of a member's attributes.
const MOST_ATTRIBUTES: u64 = 1 << 20;
/// Blocks of zeros behind the mark of the end in which another tar is looked for: 64 MiB.
const MOST_ZEROS: u64 = (64 << 20) / BLOCK;

/// Bytes that may be passed over to go to the end of a block.
const fn padding(length: u64) -> u64 {
    (BLOCK - length % BLOCK) % BLOCK
}

/// A member of a tar.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    /// Where its stored bytes begin.
    pub(super) offset: u64,
    /// How many bytes are stored.
    pub(super) stored: u64,
    /// Length of the file.
    pub(super) length: u64,
    /// Where the stored bytes belong in a sparse file.
    pub(super) pieces: Option<Vec<Piece>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    File,
    /// Another name of a member.
    HardLink(Vec<u8>),
    /// A path relative to the member's own folder.
    SymbolicLink(Vec<u8>),
    /// A folder, a device and the like.
    Other,
}

/// Where and why a tar cannot be read further.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) what: String,
    /// What the store of the tar said, if that is why: then nothing is wrong with the tar.
    pub(super) of_store: Option<StoreError>,
}

/// How the readable part of a tar ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the mark that tar writes.
    Marked,
    /// With the last member: a file that was cut there looks the same.
    Unmarked,
    /// With the mark, behind which are bytes that are no tar.
    BytesBehind,
}

/// Reads the headers of a shard.
pub(super) struct Headers {
    input: Input,
    position: u64,
    /// Stored bytes of the present member that are not passed yet.
    left: u64,
    /// Attributes for all members that follow.
    global: Attributes,
    end: End,
}

/// Whether a block is a header by its checksum.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.first_chunk::<512>() else { return false };
    let header = Header::from_byte_slice(block);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let signed = |bytes: &[u8]| bytes.iter().map(|byte| i32::from(*byte as i8)).sum::<i32>();
    let (before, after) = (&block[..148], &block[156..]);
    let spaces = 8 * 32;
    // Some old programs added up signed bytes.
    header.cksum().is_ok_and(|own| {
        own == sum(before) + sum(after) + spaces || i64::from(own) == i64::from(signed(before) + signed(after) + 256)
    }) && block.iter().any(|byte| *byte != 0)
}

impl Headers {
    pub(super) fn new(input: Input) -> Self {
        Self { input, position: 0, left: 0, global: Attributes::default(), end: End::Unmarked }
    }

    /// How the shard ends, after the last member.
    pub(super) fn end(&self) -> End {
        self.end
    }

    /// The next member; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Damage> {
        let (mut long_name, mut long_link, mut attributes) = (None, None, None);
        loop {
            let Some(header) = self.header()? else {
                let announced = long_name.is_some() || long_link.is_some() || attributes.is_some();
                return if announced { Err(self.damage("it ends before a member that it announces")) } else { Ok(None) };
            };
            let size = header.entry_size().map_err(|error| self.failed(&error))?;
            match header.entry_type() {
                EntryType::GNULongName => long_name = Some(self.text(size)?),
                EntryType::GNULongLink => long_link = Some(self.text(size)?),
                EntryType::XHeader => attributes = Some(self.attributes(size)?),
                EntryType::XGlobalHeader => self.global = self.attributes(size)?.of_all_members(),
                _ => {
                    let attributes = attributes.unwrap_or_else(|| self.global.clone());
                    let size = attributes.size.unwrap_or(size);
                    self.left = size;
                    return self.member(&header, size, long_name, long_link, attributes).map(Some);
                }
            }
        }
    }

    /// Text of the present member, of at most `limit` bytes; none if it is longer.
    pub(super) fn body(&mut self, limit: u64) -> Result<Option<Vec<u8>>, Damage> {
        if self.left > limit {
            return Ok(None);
        }
        let padded = padding(self.left);
        let body = self.bytes(self.left)?;
        self.left = 0;
        self.pass_padding(padded)?;
        Ok(Some(body))
    }

    /// Passes the bytes of the present member. It is whole if there is no error.
    pub(super) fn pass(&mut self) -> Result<(), Damage> {
        if self.left == 0 {
            return Ok(());
        }
        let padded = padding(self.left);
        let passed = self.input.pass(self.left).map_err(|error| self.failed(&error))?;
        if passed < self.left {
            return Err(self.damage("it ends inside this member"));
        }
        self.position = self.checked(passed)?;
        self.left = 0;
        self.pass_padding(padded)
    }

    fn member(
        &mut self,
        header: &Header,
        size: u64,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        attributes: Attributes,
    ) -> Result<Member, Damage> {
        let name = attributes.name.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || attributes.link.or(long_link).unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse if !name.ends_with(b"/") => Kind::File,
            EntryType::Link => Kind::HardLink(link()),
            EntryType::Symlink => Kind::SymbolicLink(link()),
            _ => Kind::Other,
        };
        let mut member = Member { name, kind, offset: self.position, stored: size, length: size, pieces: None };
        if member.kind != Kind::File {
            return Ok(member);
        }
        if header.entry_type() == EntryType::GNUSparse {
            let gnu = header.as_gnu().ok_or_else(|| self.damage("a sparse member has no GNU header"))?;
            member.length = gnu.real_size().map_err(|error| self.failed(&error))?;
            member.pieces = Some(self.old_sparse_map(gnu)?);
            member.offset = self.position;
        } else if let Some(own) = attributes.sparse {
            member.length = own.length.unwrap_or(size);
            member.pieces = Some(if own.map_in_body { self.sparse_map_in_body()? } else { own.pieces });
            (member.offset, member.stored) = (self.position, self.left);
        }
        Ok(member)
    }

    /// Pieces of a sparse member in GNU's own format: some in the header, the others in blocks behind it.
    fn old_sparse_map(&mut self, gnu: &tar::GnuHeader) -> Result<Vec<Piece>, Damage> {
        let mut pieces = Vec::new();
        let mut more = gnu.is_extended();
        sparse::add_fields(&mut pieces, &gnu.sparse).map_err(|what| self.damage(what))?;
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            if self.input.read(block.as_mut_bytes()).map_err(|error| self.failed(&error))? < BLOCK as usize {
                return Err(self.damage("it ends inside the map of a sparse member"));
            }
            self.position = self.checked(BLOCK)?;
            sparse::add_fields(&mut pieces, block.sparse()).map_err(|what| self.damage(what))?;
            more = block.is_extended();
        }
        Ok(pieces)
    }

    /// Pieces of a sparse member as pax 1.0 has them: numbers in lines before its bytes.
    fn sparse_map_in_body(&mut self) -> Result<Vec<Piece>, Damage> {
        let mut map = sparse::MapInBody::default();
        loop {
            if self.left < BLOCK {
                return Err(self.damage("it ends inside the map of a sparse member"));
            }
            let block = self.bytes(BLOCK)?;
            self.left -= BLOCK;
            if let Some(pieces) = map.add(&block).map_err(|what| self.damage(what))? {
                return Ok(pieces);
            }
        }
    }

    /// The next header; none at the end. Another tar may follow the mark of the end, as after `cat a.tar b.tar`.
    fn header(&mut self) -> Result<Option<Header>, Damage> {
        self.pass()?;
        let mut header = Header::new_old();
        let mut zeros = 0;
        loop {
            let read = match self.input.read(header.as_mut_bytes()) {
                Ok(read) => read,
                // Some programs fill compressed files up.
                Err(no_stream) if self.end == End::Marked && StoreError::within(&no_stream).is_none() => {
                    self.end = End::BytesBehind;
                    return Ok(None);
                }
                Err(error) => return Err(self.failed(&error)),
            };
            let block = header.as_bytes();
            let empty = block[..read].iter().all(|byte| *byte == 0);
            let marked = self.end == End::Marked;
            if read == 0 || (read < BLOCK as usize && empty) {
                return Ok(None);
            }
            if empty {
                zeros += 1;
                self.end = if zeros < MOST_ZEROS { End::Marked } else { End::BytesBehind };
                if zeros == MOST_ZEROS {
                    return Ok(None);
                }
                self.position = self.checked(BLOCK)?;
                continue;
            }
            if read == BLOCK as usize && is_header(block) {
                self.end = End::Unmarked;
                self.position = self.checked(BLOCK)?;
                return Ok(Some(header));
            }
            if marked {
                self.end = End::BytesBehind;
                return Ok(None);
            }
            let what = if read < BLOCK as usize { "it ends inside a header" } else { "the checksum of a header is wrong" };
            return Err(self.damage(what));
        }
    }

    /// A name that does not fit into a header.
    fn text(&mut self, size: u64) -> Result<Vec<u8>, Damage> {
        let mut text = self.bounded(size)?;
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
        Ok(text)
    }

    fn attributes(&mut self, size: u64) -> Result<Attributes, Damage> {
        let bytes = self.bounded(size)?;
        Attributes::parse(&bytes).map_err(|what| self.damage(what))
    }

    fn bounded(&mut self, size: u64) -> Result<Vec<u8>, Damage> {
        if size > MOST_ATTRIBUTES {
            return Err(self.damage("a name or attributes of more than a mebibyte"));
        }
        let bytes = self.bytes(size)?;
        self.pass_padding(padding(size))?;
        Ok(bytes)
    }

    /// `count` bytes, which are few.
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Damage> {
        let mut bytes = vec![0; count as usize];
        let read = self.input.read(&mut bytes).map_err(|error| self.failed(&error))?;
        if read < bytes.len() {
            return Err(self.damage("it ends inside this member"));
        }
        self.position = self.checked(count)?;
        Ok(bytes)
    }

    /// Some programs leave out the padding of the last member.
    fn pass_padding(&mut self, count: u64) -> Result<(), Damage> {
        let passed = self.input.pass(count).map_err(|error| self.failed(&error))?;
        self.position = self.checked(passed)?;
        Ok(())
    }

    fn checked(&self, count: u64) -> Result<u64, Damage> {
        self.position.checked_add(count).ok_or_else(|| self.damage("a length is too large"))
    }

    fn failed(&self, error: &Error) -> Damage {
        Damage { of_store: StoreError::within(error).cloned(), ..self.damage(error.to_string()) }
    }

    fn damage(&self, what: impl Into<String>) -> Damage {
        Damage { offset: self.position, what: what.into(), of_store: None }
    }
}
