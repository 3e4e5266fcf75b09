//! The master's shell over real sockets: a listener on port 0, raw HTTP/1.1, gRPC, and a scripted
//! agent that says what an agent would.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod begin;
mod client;
mod cluster;
mod deaf;
mod flow;
mod hostile;
mod limits;
mod lists;
mod masters;
mod operators;
mod reads;
mod restart;
mod state;
mod statuses;
mod unread;
mod watch;
