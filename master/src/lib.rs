//! The master's shell: it turns sockets into inputs of the core, and the core's effects into
//! events, commits and answers.
//!
//! One task owns the core. Connections talk to it through one bounded channel and each has one
//! bounded outbox. Facts become durable through the [`registrar`]; nothing that stands behind a
//! fact leaves the process before that. It must never decide anything about the cluster: an `if`
//! about the cluster's state belongs in the core.
#![forbid(unsafe_code)]

mod config;
mod connections;
mod error;
mod front;
mod http;
mod link;
mod listen;
mod logging;
mod membership;
mod metrics;
mod origin;
mod perform;
mod reads;
pub mod registrar;
mod registry_record;
mod rewound;
mod server;
mod standing;
mod terms;
mod watch_link;

pub use config::{Config, MESOS_VERSION};
pub use error::Error;
pub use http::SessionsFrom;
pub use listen::listen;
pub use logging::LogControl;
pub use terms::run;
