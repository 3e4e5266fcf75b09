//! Members over loopback, each with its own disk: agreement, failover, restart, members that come
//! and go, damage, and the disk they take.
#![allow(clippy::unwrap_used, reason = "what is not as the test made it fails the test")]

mod agreement;
mod damage;
mod host;
mod large;
mod lease;
mod membership;
