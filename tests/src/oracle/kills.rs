//! Who may end a task: its framework, its own time limit, and the end of its framework. Nobody
//! else.
//!
//! I9: no failure or failover of a master, an agent or a scheduler kills a task. I10: nor does an
//! outage of all masters.

use super::{TaskKey, Verdict, broken};
use master_core::RegistryOp;
use proto::FrameworkId;
use proto::scheduler::{Call, CallBody};
use std::collections::BTreeSet;

/// Everything that justifies a kill.
#[derive(Debug, Default)]
pub(super) struct Kills {
    wanted: BTreeSet<TaskKey>,
    over: BTreeSet<FrameworkId>,
}

impl Kills {
    pub(super) fn framework_calls(&mut self, call: &Call) {
        let Some(framework) = &call.framework_id else { return };
        match &call.body {
            CallBody::Kill { task_id, .. } => {
                self.wanted.insert((framework.clone(), task_id.clone()));
            }
            CallBody::Teardown => {
                self.over.insert(framework.clone());
            }
            _ => {}
        }
    }

    pub(super) fn registry_changes(&mut self, op: &RegistryOp) {
        if let RegistryOp::CompleteFramework { info, .. } = op {
            self.over.extend(info.id.clone());
        }
    }

    /// Whether the framework is over.
    pub(super) fn is_over(&self, framework: &FrameworkId) -> bool {
        self.over.contains(framework)
    }

    /// An agent orders a kill.
    pub(super) fn killed(&self, key: &TaskKey, limited: bool, master_leads: bool) -> Verdict {
        if limited || self.wanted.contains(key) || self.is_over(&key.0) {
            return Ok(());
        }
        let what = format!("task {} of {} is killed, and nobody asked for it", key.1, key.0);
        if master_leads { broken("I9", what) } else { broken("I10", what) }
    }
}
