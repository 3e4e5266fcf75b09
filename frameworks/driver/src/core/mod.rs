//! The core of every framework: pure, synchronous, the same in production and in the simulator.
//!
//! [`Scheduler`] is a whole framework as one state machine: told the time and an input, it answers
//! with effects in order. [`Driver`] below it keeps the promises of a connection to the master and
//! can stand alone under a framework that decides everything by itself. Nothing here reads a
//! clock, draws entropy, does I/O or logs.
#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::wildcard_enum_match_arm,
        reason = "tests may; the library is checked without them"
    )
)]

mod agents;
mod bare;
mod blame;
mod boundary;
mod demand;
mod driver;
mod group;
mod invariants;
mod journal;
#[cfg(test)]
mod laws;
mod ledger;
mod link;
mod options;
mod outcome;
mod random;
mod reconcile;
mod record;
mod replica;
mod rule;
mod scheduler;
mod state;
mod tally;
mod task;
#[cfg(test)]
mod testing;
mod unit;
mod units;

pub use bare::{Bare, Order};
pub use boundary::{Answer, ConnectionId, Effect, Input, Notice, Refusal, UnitChange, Write};
pub use demand::Want;
pub(crate) use driver::TAKEN_OVER;
pub use driver::{Driver, Signal};
pub use group::{Command, ExitRule, GroupId, GroupSpec, Kind, Retry, SpecError, Template};
pub use invariants::Violation;
pub(crate) use journal::record_bytes;
pub use journal::{Fenced, Journal, JournalError, Records, head_key, taken_over};
pub use options::Options;
pub use outcome::{Budget, KillCause, Outcome, Verdict, classify};
pub use record::{
    Attempt, RecordError, Spent, Stop, attempts_prefix, framework_record, read_attempt,
    read_last_attempt, unit_record_key,
};
pub use rule::{Rule, RuleTest};
pub use scheduler::{FreeAgent, GroupView, Prospect, Room, Scheduler, UnitView};
pub use tally::Tally;
pub use task::{parse as parse_task_id, task_id};
pub use unit::{Counts, UnitState};
