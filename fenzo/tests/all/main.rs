//! All tests of the crate as its users see it, in one program: it links the library once.
//!
//! `scenarios` are those of Fenzo's own test-suite, `beyond` and `packing` are of what Fenzo lacks,
//! `properties` are laws that hold for every cluster and batch, `golden` are placements that Fenzo makes,
//! `examples` are what the examples print. What needs to see inside lies beside the sources.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod beyond;
mod examples;
mod golden;
mod packing;
mod properties;
mod scenarios;
