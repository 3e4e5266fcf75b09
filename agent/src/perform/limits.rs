//! New limits of running tasks: ordered, and answered when they are in force.

use super::Performer;
use crate::containerizer::{ContainerEvent, ContainerId, Containerizer};
use crate::containers;
use crate::http::{LimitsError, NewLimits};
use agent_core::{Agent, Input};

/// Orders that wait for an answer. More are refused.
const WAITING: usize = 1_000;

/// Limits that were ordered, in order.
#[derive(Default)]
pub(super) struct Ordered(Vec<(ContainerId, NewLimits)>);

impl Performer {
    /// Orders new limits of a task, or says why they cannot be.
    pub(crate) fn update_limits(&mut self, core: &Agent, order: NewLimits) {
        if self.ordered.0.len() >= WAITING {
            // Those whose askers have given up are in nobody's way.
            self.ordered.0.retain(|(_, order)| !order.reply.is_closed());
        }
        let changed = core.with_limits(&order.container, &order.limits);
        let ordered = changed.map_err(LimitsError::Refused).and_then(|launch| {
            if self.ordered.0.len() >= WAITING {
                let text = format!("{WAITING} orders wait for their answers already");
                return Err(LimitsError::Failed(text));
            }
            let id = containers::native_id(&order.container).map_err(LimitsError::Failed)?;
            self.native.update(&id, containers::allocation(&launch.task, self.policy.disk_limits));
            Ok(id)
        });
        match ordered {
            Ok(id) => self.ordered.0.push((id, order)),
            // Who asked may be gone.
            Err(error) => drop(order.reply.send(Err(error))),
        }
    }

    /// Takes what an event says of limits that were ordered: what is in force is for the core to
    /// know, before who asked is told.
    pub(crate) fn note_limits(&mut self, event: &ContainerEvent) -> Option<Input> {
        match event {
            ContainerEvent::Updated { id, problem } => {
                let at = self.ordered.0.iter().position(|(of, _)| of == id)?;
                let (_, NewLimits { container, limits, reply }) = self.ordered.0.remove(at);
                if let Some(problem) = problem {
                    // Who asked may be gone, here and below.
                    let _ = reply.send(Err(LimitsError::Failed(problem.clone())));
                    return None;
                }
                let _ = reply.send(Ok(()));
                Some(Input::LimitsChanged { container_id: container, limits })
            }
            ContainerEvent::Ended { id, .. } => {
                self.give_up_limits(|of| of == id, "the task has ended");
                None
            }
            ContainerEvent::Lost { .. } => {
                self.give_up_limits(|_| true, "the supervisor was lost, and its tasks with it");
                None
            }
            _ => None,
        }
    }

    fn give_up_limits(&mut self, which: impl Fn(&ContainerId) -> bool, why: &str) {
        let all = std::mem::take(&mut self.ordered.0);
        let (over, waiting) = all.into_iter().partition(|(id, _)| which(id));
        self.ordered.0 = waiting;
        let over: Vec<(ContainerId, NewLimits)> = over;
        for (_, order) in over {
            let _ = order.reply.send(Err(LimitsError::Failed(why.to_owned())));
        }
    }
}
