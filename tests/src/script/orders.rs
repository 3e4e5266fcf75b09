//! The commands of operators in a transcript.

use super::stage::{Done, Message, Stage, bad};
use super::words::{Words, number};
use master_core::{Input, Order, RequestId};
use proto::{
    AgentId, MachineId, MaintenanceWindow, QuotaConfig, ResourceName, Role, Schedule,
    Unavailability, operator,
};
use std::time::Duration;

impl Stage {
    /// `drain ID [grace=S] [gone]`, and the other orders about an agent.
    pub(super) fn order(&mut self, verb: &str, words: &Words<'_>) -> Done {
        let agent_id = AgentId::new(words.word(1)?).map_err(bad)?;
        let order = match verb {
            "deactivate" => Order::DeactivateAgent(agent_id),
            "reactivate" => Order::ReactivateAgent(agent_id),
            "gone" => Order::MarkAgentGone(agent_id),
            _ => {
                let given = words.pair("grace").is_some();
                let max_grace = given.then(|| words.seconds("grace", 0)).transpose()?;
                Order::DrainAgent { agent_id, max_grace, mark_gone: words.has("gone") }
            }
        };
        let request = RequestId(self.fresh());
        self.queue.push_back(Message::ToMaster(Input::Order { request, order }));
        Ok(())
    }

    /// `weight ROLE MILLI`.
    pub(super) fn weight(&mut self, words: &Words<'_>) -> Done {
        let role = Role::new(words.word(1)?).map_err(bad)?;
        let weight_milli = number(words.word(2)?)?;
        let request = RequestId(self.fresh());
        self.queue.push_back(Message::ToMaster(Input::SetWeight { request, role, weight_milli }));
        Ok(())
    }

    pub(super) fn ask(&mut self, call: operator::Call) -> Done {
        let request = RequestId(self.fresh());
        self.queue.push_back(Message::ToMaster(Input::Operator { request, call }));
        Ok(())
    }

    /// `quota ROLE [guarantee=cpus:N;mem:N] [limit=cpus:N;mem:N] [force]`; with neither it has none.
    pub(super) fn quota(&mut self, words: &Words<'_>) -> Done {
        let role = Role::new(words.word(1)?).map_err(bad)?;
        let (guarantees, limits) = (amounts(words, "guarantee")?, amounts(words, "limit")?);
        let mut config = QuotaConfig::none(role);
        guarantees.iter().for_each(|(name, milli)| config.guarantees.add(name, *milli));
        config.limits.extend(limits);
        self.ask(operator::Call::UpdateQuota { force: words.has("force"), configs: vec![config] })
    }

    /// `schedule [A@IN+FOR ..]`: agents' machines that will be away in so many seconds for so many;
    /// replaces what was planned.
    pub(super) fn schedule(&mut self, words: &Words<'_>) -> Done {
        let mut windows = Vec::new();
        for word in words.rest(1) {
            let (machine, rest) = word.split_once('@').ok_or("a window is A@IN+FOR")?;
            let (wait, lasts) = rest.split_once('+').ok_or("a window is A@IN+FOR")?;
            let start = self.now + Duration::from_secs(number(wait)?);
            let duration = Some(Duration::from_secs(number(lasts)?));
            let unavailability = Unavailability { start, duration };
            let machines = vec![MachineId::named(machine)];
            windows.push(MaintenanceWindow { machines, unavailability });
        }
        self.ask(operator::Call::UpdateMaintenanceSchedule(Schedule { windows }))
    }

    /// `down A ..` and `up A ..`: START_MAINTENANCE and STOP_MAINTENANCE.
    pub(super) fn maintenance(&mut self, down: bool, words: &Words<'_>) -> Done {
        let machines = words.rest(1).iter().map(|name| MachineId::named(name)).collect();
        self.ask(if down {
            operator::Call::StartMaintenance(machines)
        } else {
            operator::Call::StopMaintenance(machines)
        })
    }

    /// `status`: GET_MAINTENANCE_STATUS.
    pub(super) fn status(&mut self) -> Done {
        self.ask(operator::Call::GetMaintenanceStatus)
    }

    /// `why F`: EXPLAIN.
    pub(super) fn why(&mut self, name: &str) -> Done {
        let id = self.frameworks.get(name).and_then(|player| player.info.id.clone());
        let id = id.ok_or(format!("there is no framework {name}"))?;
        self.ask(operator::Call::Explain(id))
    }

    /// `remove F`: TEARDOWN by an operator.
    pub(super) fn remove(&mut self, name: &str) -> Done {
        let id = self.frameworks.get(name).and_then(|player| player.info.id.clone());
        let id = id.ok_or(format!("there is no framework {name}"))?;
        self.ask(operator::Call::Teardown(id))
    }
}

/// `cpus:N;mem:N`, whole numbers.
fn amounts(words: &Words<'_>, key: &str) -> Result<Vec<(ResourceName, u64)>, String> {
    let pairs = words.pair(key).unwrap_or_default();
    let pairs = pairs.split(';').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, units) = pair.split_once(':').ok_or(format!("'{pair}' is not NAME:N"))?;
            Ok((ResourceName::new(name), number(units)? * 1000))
        })
        .collect()
}
