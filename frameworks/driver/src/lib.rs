//! The framework author's kit: subscribe, get offers, launch tasks, and forget nothing.
#![forbid(unsafe_code)]

pub mod core;
