//! The one durable store: what it says is committed survives a power loss.
//!
//! It wraps sled 0.34.7, whose `flush()` alone is not durable on Linux: it never calls fsync, so
//! a machine that dies seconds after a database was made loses acknowledged writes, or cannot
//! open the database at all. Here every open ends with an fsync of all files and directories, and
//! every commit ends with an fdatasync of the log. Nothing else of ours may name sled.
//!
//! One tree, keys with prefixes, one [`Batch`] is one atomic change. Every record carries a
//! version and a checksum, so that a damaged record is reported as itself and its neighbours are
//! still read. A failed write or sync poisons the store: what the disk holds is then unknown, so
//! the process must end and open it anew; a write is never tried twice.
//!
//! It must never know what the records mean, and never report a commit before it is durable.
#![forbid(unsafe_code)]

mod batch;
mod durable;
mod engine;
mod error;
mod group_commit;
mod home;
mod identity;
mod pace;
mod record;
mod room;
mod shadow;
mod storage;
mod store;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Edit};
pub use error::StoreError;
pub use group_commit::{CommitResult, GroupCommit, MAX_COMMIT_BYTES};
pub use home::{Home, set_aside};
pub use identity::{Identity, refuse_owned};
pub use pace::Pace;
pub use record::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
pub use storage::{Damaged, Record, Scan, Storage};
pub use store::{Options, Space, Store};
