//! Fetching the files of tasks (`CommandInfo.uris`): what runs in a process of its own, so that
//! neither a server's answer nor an archive is read by the agent.
//!
//! One process does one piece of work (an [`Order`]) and ends. It is told on its standard input, a
//! socket, and answers there; the end of that socket ends it, so that none outlives its agent. Its
//! standard output is what it may write: a file of the cache that has no name for it, or the
//! directory of the task; its standard error is what it may read of the cache. Before it reads
//! anything of a stranger it becomes the user of the order, gives up all rights that programs can
//! gain, and the kernel holds it to that one directory and to the system calls of tasks.

mod child;
mod confine;
mod failure;
mod http;
mod order;
mod put;
mod tls;
mod uri;

pub use child::main;
pub use confine::has_landlock;
pub use failure::{Failure, Kind};
pub use order::{
    Answer, Fetched, Finish, Job, Limits, MESSAGE_BYTES, Marks, Order, Packing, Source, User,
};
pub use uri::{Place, Uri, file_name, packing};
