//! An operator who changes things while the cluster runs: now and then, one request at a time,
//! asked again until it is answered.
//!
//! What it may do to whom follows from the invariants: it ends only frameworks that are away, and
//! none of the drivers, whose owners still want their work.

use crate::prng::Prng;
use crate::world::{Event, World};
use master_core::Input;
use proto::{FrameworkId, Role, operator};
use std::collections::BTreeSet;
use std::time::Duration;

/// The operator.
#[derive(Debug)]
pub(crate) struct OperatorNode {
    random: Prng,
    /// The mean time between two requests; none when nobody operates this cluster.
    pace: Option<Duration>,
}

impl OperatorNode {
    /// Draws whether there is one, and how busy.
    pub(crate) fn draw(mut random: Prng) -> Self {
        let paces = [None, Some(2), Some(10), Some(40)];
        let pace = paces[random.index(paces.len())].map(Duration::from_secs);
        Self { random, pace }
    }
}

/// The roles of a run.
pub(crate) const ROLES: [&str; 4] = ["*", "batch", "batch/night", "services"];

/// One of them.
pub(crate) fn some_role(random: &mut Prng) -> Role {
    Role::new(ROLES[random.index(ROLES.len())]).expect("each of them is a role")
}

impl World {
    /// The operator's next request, if it is time for one.
    pub(crate) fn operator_acts(&mut self) {
        let Some(pace) = self.operator.pace else { return };
        let pause = self.operator.random.wait(pace);
        self.schedule_in(pause, Event::OperatorActs);
        if self.faults.healed() || self.master.core.is_none() {
            return;
        }
        let request = self.operator_request();
        let input = match self.operator.random.index(4) {
            0 => self.one_that_is_away().map(|id| {
                let call = operator::Call::Teardown(id);
                Input::Operator { request, call }
            }),
            _ => {
                let random = &mut self.operator.random;
                let role = some_role(random);
                let weight_milli = [0, 500, 1000, 3000][random.index(4)];
                Some(Input::SetWeight { request, role, weight_milli })
            }
        };
        if let Some(input) = input {
            self.step_master(input);
        }
    }

    /// A framework whose scheduler is away, and that nobody minds.
    fn one_that_is_away(&mut self) -> Option<FrameworkId> {
        let drivers: BTreeSet<&FrameworkId> = self
            .frameworks
            .iter()
            .filter_map(|node| node.driver()?.core.as_ref()?.framework_id())
            .collect();
        let all_up = self.frameworks.iter().filter_map(|node| node.driver());
        if all_up.clone().count() != drivers.len() {
            // Nobody knows what the others are called.
            return None;
        }
        let registry = self.master.core.as_ref()?.registry();
        let away: Vec<FrameworkId> =
            registry.frameworks().keys().filter(|id| !drivers.contains(id)).cloned().collect();
        away.get(self.operator.random.index(away.len())).cloned()
    }
}
