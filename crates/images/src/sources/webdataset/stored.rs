//! The bytes of images in shards.

use std::{collections::BTreeMap, io::ErrorKind, path::PathBuf, sync::Arc};

use headspan_store::{Blob, Metadata};

use super::{
    input::{Coding, Input},
    sparse::Piece,
};
use crate::{
    dataset::ReadError,
    sources::{
        forward::{Cursor, Stream},
        open::reopen,
        within_limit,
    },
};

/// Where the images of a data set are.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) shards: Vec<Shard>,
    pub(super) spans: Vec<Span>,
    /// Pieces of sparse images, by their indices.
    pub(super) pieces: BTreeMap<usize, Arc<[Piece]>>,
}

#[derive(Clone)]
pub(super) struct Shard {
    pub(super) path: PathBuf,
    pub(super) coding: Coding,
    /// What a remote shard was when it was listed.
    pub(super) known: Option<Metadata>,
}

impl Shard {
    pub(super) fn open(&self) -> std::io::Result<Blob> {
        reopen(&self.path, self.known.as_ref())
    }
}

/// Where the bytes of an image are in a shard, once it is decompressed.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) shard: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Layout {
    /// The images at `places` alone, in this order.
    pub(super) fn kept(&self, places: &[usize]) -> Self {
        let shards = self.shards.clone();
        let spans = places.iter().map(|place| self.spans[*place]).collect();
        let pieces = places.iter().enumerate();
        let pieces = pieces.filter_map(|(now, was)| Some((now, self.pieces.get(was)?.clone()))).collect();
        Self { shards, spans, pieces }
    }

    /// An image of a shard that is not compressed.
    pub(super) fn read_at(&self, index: usize, shard: &Blob) -> std::io::Result<Vec<u8>> {
        let mut offset = self.spans[index].offset;
        self.read(index, |bytes| {
            shard.read_exact_at(bytes, offset)?;
            offset += bytes.len() as u64;
            Ok(())
        })
    }

    /// An image whose stored bytes `next` gives one after the other. Its length is within the limit.
    fn read(
        &self,
        index: usize,
        mut next: impl FnMut(&mut [u8]) -> std::io::Result<()>,
    ) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.spans[index].length as usize];
        let Some(pieces) = self.pieces.get(&index) else {
            next(&mut bytes)?;
            return Ok(bytes);
        };
        for piece in pieces.iter() {
            let end = piece.at.saturating_add(piece.length) as usize;
            next(bytes.get_mut(piece.at as usize..end).ok_or(ErrorKind::InvalidData)?)?;
        }
        Ok(bytes)
    }
}

/// A place in a compressed shard.
pub(super) struct TarCursor {
    layout: Arc<Layout>,
    input: Input,
    /// Bytes that are decompressed.
    position: u64,
    shard: u32,
    next: usize,
    limit: u64,
    broken: bool,
}

impl TarCursor {
    /// A cursor whose next image is `index`.
    pub(super) fn open(layout: &Arc<Layout>, index: usize, limit: u64) -> Result<Self, ReadError> {
        let shard = layout.spans[index].shard;
        let input = input_of(layout, shard)?;
        Ok(Self { layout: Arc::clone(layout), input, position: 0, shard, next: index, limit, broken: false })
    }

    fn read(&mut self, index: usize) -> std::io::Result<Vec<u8>> {
        let span = self.layout.spans[index];
        // A link leads to a member before it.
        if span.offset < self.position {
            (self.input, self.position) = (input_of(&self.layout, self.shard)?, 0);
        }
        let gap = span.offset - self.position;
        if self.input.pass(gap)? < gap {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.position = span.offset;
        let (layout, input, position) = (&self.layout, &mut self.input, &mut self.position);
        layout.read(index, |bytes| {
            let read = input.read(bytes)?;
            *position += read as u64;
            if read < bytes.len() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
        })
    }
}

fn input_of(layout: &Layout, shard: u32) -> std::io::Result<Input> {
    let shard = &layout.shards[shard as usize];
    Input::new(&shard.open()?, shard.coding)
}

impl Cursor for TarCursor {
    type Image = Vec<u8>;

    fn stream(&self) -> Stream {
        (self.shard as usize, 0)
    }

    fn next(&self) -> usize {
        self.next
    }

    fn take(&mut self) -> Result<Vec<u8>, ReadError> {
        let index = self.next;
        self.next += 1;
        within_limit(self.layout.spans[index].length, self.limit)?;
        let image = self.read(index);
        self.broken = image.is_err();
        Ok(image?)
    }

    fn usable(&self) -> bool {
        !self.broken && self.layout.spans.get(self.next).is_some_and(|span| span.shard == self.shard)
    }
}
