//! Files by path or by address: local disks, object stores, web servers and data sets of Hugging Face.
//!
//! A path is an address if it begins with a known scheme: `s3://`, `gs://`, `az://`, `http(s)://`, `hf://`
//! ([`is_address`]). Everything else is a path of the operating system, and is handled as `fs_err` handles it. So a caller
//! writes one code for both:
//!
//! - [`Blob`] is a file that is open for reading, at any place and by any number of threads. Remote ones are read by ranges, in
//!   blocks, with read-ahead where they are read forwards; memory for blocks is bounded for the whole process.
//! - [`metadata`], [`read`], [`read_dir`], [`walk`] and [`remove`] are what `fs` calls so.
//! - [`put`] writes a remote file at once: all of it or nothing, and on a condition ([`When`]).
//! - [`at_once`] asks about many files at the same time.
//! - [`Lease`] is a lock among machines.
//! - [`check_footer`] refuses Parquet files that would end the program.
//!
//! Failures are `std::io::Error`s around a [`StoreError`], which names the address without its secrets. Requests that fail in
//! passing are tried again, and a body that breaks off goes on at its byte.
//!
//! It uses `net` (the client, retries of web servers) and `hub` (settings of Hugging Face). `images` and `artifacts` use it, and
//! through them nobody else has to know where bytes lie.

mod address;
mod at_once;
mod blob;
mod blocks;
mod disk;
mod error;
mod files;
mod footer;
mod lease;
#[cfg(test)]
mod loopback;
mod provider;
mod queries;
mod runtime;
mod schemes;

pub use address::{Address, is_address, set_query_aside, shown};
pub use at_once::at_once;
pub use blob::{Blob, BlobReader};
pub use disk::cache_folder;
pub use error::{Cause, StoreError, is_of_the_store};
pub use files::{Entry, Kind, Metadata, metadata, metadata_of, put, read, read_dir, read_within, remove, walk};
pub use footer::check_footer;
pub use lease::{Lease, LeaseError};
pub use provider::When;
