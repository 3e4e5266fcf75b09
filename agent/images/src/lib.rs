//! Images of containers: what an operator puts into a store by name becomes a root file system,
//! unpacked once, with its digests checked.
//!
//! A name leads to a directory that is a root file system already, to an OCI image layout (a
//! directory or an archive), to an archive that `docker save` made, or to a plain archive of a root
//! file system. Archives may be packed with gzip or zstd. Nothing is fetched, and nothing in the
//! operator's store is ever changed: what is unpacked goes to a directory of the agent's own, under
//! the digest of the image's configuration, and the least recently used goes when there is too much.
//! Other archives, which tasks have fetched, are unpacked by the same hands.
//!
//! An image is a stranger's work. Whatever it says, nothing outside of its own directory is
//! touched: every path is resolved by the kernel as if that directory were the root, devices and
//! setuid bits are left out, and bytes, entries and depths are counted before they are written.
#![forbid(unsafe_code)]

mod archive;
mod blobs;
mod compression;
mod digest;
mod error;
mod layer;
mod manifest;
mod settings;
mod store;
mod tree;

pub use archive::{ArchiveError, Form, unpack};
pub use digest::Digest;
pub use error::ImageError;
pub use settings::Settings;
pub use store::{Collected, Image, Limits, Store};

#[cfg(test)]
mod tests;
