//! The jobs framework: batch jobs, run to their ends, and services, kept running.
//!
//! A specification (YAML, TOML or JSON, see `docs/jobs.md`) becomes a group of units; the engines
//! of `driver` do the rest and keep all state. Here are the checks at submit and the HTTP API. It
//! must never hold state of its own that a crash could lose.
#![forbid(unsafe_code)]

mod admission;
pub mod api;
mod cluster;
mod config;
mod events;
mod http;
mod metrics;
mod refusal;
mod retention;
mod server;
mod service;
mod show;
pub mod spec;
mod timestamp;
mod why;

pub use api::Problem;
pub use config::{Config, Error, State};
pub use server::{listen, run};
