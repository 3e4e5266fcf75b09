//! HTTP/2 for connections that are many and mostly silent: those of agents.
//!
//! A master has ten thousand of them, each with one stream that carries a ping every few seconds.
//! What the general server keeps for each while nothing happens (buffers of 16, 8 and 4 KB, slabs
//! of streams and frames) is more than all that the master knows. Here a silent connection keeps no
//! buffer: bytes are read into one that all share, and frames are written into one that is dropped
//! once it is sent. gRPC itself is above, and is the same.
//!
//! Each file has one job: `frame` (nine bytes and what is behind them), `huffman` and `hpack`
//! (RFC 7541), `head` (lists of headers to requests and back), `machine` (RFC 9113: a pure state,
//! bytes in, bytes out), `intake` (what a request's body has waiting), `serving` (the machine on a
//! socket) and `sniff` (whose connection is it).
//!
//! What a peer sends can end its connection and nothing else: it never panics, and what it may make
//! us keep is bounded, by the windows and by the limits in `machine`.

mod frame;
mod head;
mod hpack;
mod huffman;
mod intake;
mod machine;
#[cfg(any(test, feature = "testing"))]
pub mod probe;
mod serving;
mod sniff;
#[cfg(test)]
mod tests;

pub use intake::RequestBody;
pub use machine::{Fault, Reason};
pub use serving::{Ended, Serving};
pub use sniff::{Begun, begin};
