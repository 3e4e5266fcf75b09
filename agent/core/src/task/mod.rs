//! The life of a task: one file per verb.

mod exit;
mod kill;
mod launch;
mod leave;
mod limit;
mod run;

pub(crate) use kill::Tombstones;
pub(crate) use run::task_record;
