//! The framework author's kit: subscribe, get offers, launch tasks, and forget nothing.
//!
//! Two ways to write a framework:
//!
//! - [`Framework`]: you get offers and decide yourself what to launch where. The driver below
//!   keeps the promises that every framework needs: it stores the framework's id before its first
//!   use, connects again with back-off, follows the leading master, records each launch before it
//!   leaves, reconciles its tasks, and repeats kills until they took effect.
//! - [`Engine`]: you say what is to be done, as groups of units, and the engine does it: each unit
//!   run to one recorded end (a ledger), or kept running (replicas), with retries by whose fault
//!   it was, time limits, and placement by `fenzo`.
//!
//! ```no_run
//! use driver::{Event, Framework, command_task};
//! use proto::{Resources, TaskId};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut framework = Framework::builder("hello").master("127.0.0.1:5050").start().await?;
//! let mut wanted = Some(TaskId::new("hello-1")?);
//! while let Some(event) = framework.next_event().await? {
//!     match event {
//!         Event::Offers(offers) => {
//!             for offer in offers {
//!                 match wanted.take() {
//!                     Some(id) => {
//!                         let needs = Resources::cpus_mem(100, 32_000);
//!                         let task = command_task(&offer, id, "echo hello", needs);
//!                         framework.launch(&offer, vec![task]);
//!                     }
//!                     None => framework.decline(&offer, std::time::Duration::from_secs(5)),
//!                 }
//!             }
//!         }
//!         Event::Update(status) => {
//!             framework.acknowledge(&status);
//!             if status.state.is_terminal() {
//!                 break;
//!             }
//!         }
//!         _ => {}
//!     }
//! }
//! framework.teardown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`core`] is all of it without the outside world; the simulator runs the same.
#![forbid(unsafe_code)]

mod connection;
pub mod core;
mod engine;
mod framework;
mod state;
mod takeover;
mod turn;

pub use engine::{AskError, Engine};
pub use framework::{Builder, Event, Framework, command_task};
pub use state::{StateError, StateFence, StateStore, Versioned};
pub use turn::RunError;
