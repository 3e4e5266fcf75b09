//! The life of a task: one file per verb.

mod check;
mod exit;
mod kill;
mod launch;
mod leave;
mod limit;
mod limits;
mod run;

pub use check::Subject;
pub(crate) use check::Watch;
pub(crate) use exit::{exit_message, limit_message, limit_reason, supervisor_lost};
pub(crate) use kill::{Tombstones, UNKILLABLE};
pub(crate) use limits::keep_limits;
pub use limits::{Limits, LimitsRefused};
pub(crate) use run::{Refusal, task_record};
