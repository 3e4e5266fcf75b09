//! A framework is over: by its own wish, an operator's, or because its scheduler did not come back.
//!
//! Its id is never used again, durably, before any task is killed. What its tasks held is free at
//! once, as in Mesos; their agents are told to kill them.

use super::PastFramework;
use crate::effect::Effect;
use crate::publish::Change;
use crate::registry::{CompletedFramework, Registry, RegistryOp};
use crate::state::Master;
use crate::table::FrameworkOrd;
use crate::task::Step;
use proto::agent_link::AgentEvent;
use proto::scheduler::Event;
use proto::{FrameworkInfo, Reason, Source, TaskId, TaskState};
use std::sync::Arc;

impl Master {
    /// Ends the framework, and its stream with `last_word`, should it have both: no word of it
    /// leaves before it is durable.
    pub(crate) fn teardown(
        &mut self,
        ord: FrameworkOrd,
        last_word: Option<&str>,
        out: &mut Vec<Effect>,
    ) {
        let connection = self.frameworks[ord].connection;
        self.deactivate(ord);
        let facts = CompletedFramework {
            info: FrameworkInfo::clone(&self.frameworks[ord].info),
            registered: self.frameworks[ord].registered,
            unregistered: self.now,
        };
        let complete = RegistryOp::CompleteFramework {
            info: facts.info.clone(),
            registered: facts.registered,
            unregistered: facts.unregistered,
        };
        self.forget_state(ord, out);
        self.persist(complete, out);
        let framework_id = self.frameworks[ord].id.clone();
        for agent in self.agents_of(ord) {
            let framework_id = framework_id.clone();
            self.send(agent, AgentEvent::ShutdownFramework { framework_id }, out);
        }
        self.end_tasks(ord);
        self.end_executors(ord);
        self.disown_operations(&framework_id, out);
        self.set_failover_deadline(ord, None);
        self.set_minimum(ord, false);
        let sorter = &mut self.allocator.sorter;
        for seat in sorter.seats_of(ord) {
            sorter.unsubscribe(seat);
        }
        self.framework_ids.remove(&framework_id);
        let framework = self.frameworks.remove(ord);
        self.publisher.forget_framework(ord);
        let unregistered = facts.unregistered;
        self.publisher.tell(|| Change::FrameworkEnded { framework_id, unregistered });
        self.past.push_back(PastFramework { facts, tasks: framework.completed });
        while self.past.len() > Registry::COMPLETED_KEPT {
            self.past.pop_front();
        }
        if let Some(connection) = connection {
            if let Some(last_word) = last_word {
                let event = Event::Error(Arc::from(last_word));
                out.push(Effect::ToFramework { connection, event });
            }
            out.push(Effect::CloseFramework { connection });
        }
    }

    /// Every task of the framework that was not over is killed now, as far as the master knows.
    fn end_tasks(&mut self, ord: FrameworkOrd) {
        let step = Step {
            state: TaskState::Killed,
            at: self.now,
            source: Source::Master,
            reason: Some(Reason::FrameworkRemoved),
        };
        let framework = &self.frameworks[ord];
        let living: Vec<TaskId> = framework.tasks.keys().cloned().collect();
        let shelved: Vec<TaskId> = framework.unreachable.keys().cloned().collect();
        for task_id in living {
            let mut task = self.remove_task(ord, &task_id);
            if !task.state.is_terminal() {
                task.state = step.state;
                task.record(step);
            }
            self.complete_task(ord, task_id, task);
        }
        for task_id in shelved {
            if let Some(mut task) = self.unshelve_task(ord, &task_id) {
                task.state = step.state;
                task.record(step);
                self.complete_task(ord, task_id, task);
            }
        }
    }
}
