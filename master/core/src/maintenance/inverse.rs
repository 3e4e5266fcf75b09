//! Inverse offers: frameworks with work on a machine that will be away are asked to leave.
//!
//! There is one to a framework and an agent at a time. An answer is kept and shown, and asks for
//! nothing; after its filter the framework is asked again, until it has no work there.

use crate::deadlines::Deadline;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::scheduler::Event;
use proto::{
    DrainingMachine, Filters, InverseOffer, InverseOfferAnswer, InverseOfferStatus, MachineId,
    MaintenanceStatus, OfferId, Resources, Time, Unavailability,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An answer stands for so long at the least, whatever its filter says.
const SHORTEST: Duration = Duration::from_secs(1);

/// How one framework stands to the absence of one agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The number of the inverse offer that is not answered.
    pub(crate) number: Option<u64>,
    /// The newest answer, and when it came.
    pub(crate) answer: Option<(InverseOfferAnswer, Time)>,
    /// Before it the framework is not asked again.
    pub(crate) until: Option<Time>,
}

impl Master {
    /// Asks the frameworks that have work on agents that will be away, each that was not asked.
    pub(crate) fn ask_to_leave(&mut self, out: &mut Vec<Effect>) {
        let mut all: BTreeMap<FrameworkOrd, Vec<InverseOffer>> = BTreeMap::new();
        for agent in std::mem::take(&mut self.maybe_ask) {
            let Some(record) = self.agents.get(agent) else { continue };
            let Some(unavailability) = record.unavailability else { continue };
            for framework in self.frameworks_on(agent) {
                let asked = self.agents[agent].asked.get(&framework);
                let waits = asked.is_some_and(|a| a.number.is_some() || a.until.is_some());
                if self.frameworks[framework].is_connected() && !waits {
                    let offer = self.inverse_offer(framework, agent, unavailability);
                    all.entry(framework).or_default().push(offer);
                }
            }
        }
        for (framework, offers) in all {
            self.tell(framework, Event::InverseOffers(offers), out);
        }
    }

    /// The frameworks with living tasks on an agent.
    fn frameworks_on(&self, agent: AgentOrd) -> BTreeSet<FrameworkOrd> {
        let living = |(framework, task_id): &&(FrameworkOrd, proto::TaskId)| {
            let task = self.frameworks[*framework].tasks.get(task_id);
            task.is_some_and(|task| !task.state.is_terminal())
        };
        self.agents[agent].tasks.iter().filter(living).map(|(framework, _)| *framework).collect()
    }

    fn inverse_offer(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        unavailability: Unavailability,
    ) -> InverseOffer {
        let number = self.next_offer;
        self.next_offer += 1;
        self.inverse_offers.insert(number, (agent, framework));
        self.agents[agent].asked.entry(framework).or_default().number = Some(number);
        self.frameworks[framework].asked.insert(agent);
        self.publisher.load(agent, self.now);
        self.inverse_view(number, framework, agent, unavailability)
    }

    pub(crate) fn inverse_view(
        &self,
        number: u64,
        framework: FrameworkOrd,
        agent: AgentOrd,
        unavailability: Unavailability,
    ) -> InverseOffer {
        let record = &self.agents[agent];
        InverseOffer {
            id: self.offer_id(number),
            framework_id: self.frameworks[framework].id.clone(),
            agent_id: Some(record.id.clone()),
            address: Some((record.info.hostname.clone(), record.info.port)),
            unavailability,
            resources: Resources::new(),
        }
    }

    /// The framework answers. What is not, or no longer, asked of it is passed over.
    pub(crate) fn answer_inverse(
        &mut self,
        framework: FrameworkOrd,
        ids: &[OfferId],
        answer: InverseOfferAnswer,
        filters: Filters,
    ) {
        for id in ids {
            let number = self.number_of(id);
            let asked = number.and_then(|number| self.inverse_offers.get(&number)).copied();
            let (Some(number), Some((agent, asked))) = (number, asked) else { continue };
            if asked != framework {
                continue;
            }
            self.inverse_offers.remove(&number);
            let until = self.now + filters.refuse.max(SHORTEST);
            let record = self.agents[agent].asked.entry(framework).or_default();
            *record = Asked { number: None, answer: Some((answer, self.now)), until: Some(until) };
            self.deadlines.set(until, Deadline::Inverse { agent, framework });
            self.publisher.load(agent, self.now);
        }
    }

    /// An answer has stood long enough: the framework may be asked again.
    pub(crate) fn inverse_filter_ended(&mut self, agent: AgentOrd, framework: FrameworkOrd) {
        if let Some(asked) = self.agents[agent].asked.get_mut(&framework) {
            asked.until = None;
        }
        self.maybe_ask.insert(agent);
    }

    /// REVIVE: whatever it answered, the framework may be asked again.
    pub(crate) fn clear_inverse_filters(&mut self, framework: FrameworkOrd) {
        for agent in self.frameworks[framework].asked.clone() {
            if let Some(asked) = self.agents[agent].asked.get_mut(&framework)
                && let Some(until) = asked.until.take()
            {
                self.deadlines.clear(until, Deadline::Inverse { agent, framework });
                self.maybe_ask.insert(agent);
            }
        }
    }

    /// What was asked for an agent's sake is void: it leaves, or its absence is planned anew.
    pub(crate) fn rescind_inverse(&mut self, agent: AgentOrd, out: &mut Vec<Effect>) {
        for (framework, asked) in std::mem::take(&mut self.agents[agent].asked) {
            self.frameworks[framework].asked.remove(&agent);
            self.forget_asked(agent, framework, &asked);
            if let Some(number) = asked.number {
                let id = self.offer_id(number);
                self.tell(framework, Event::RescindInverseOffer(id), out);
            }
        }
    }

    /// The framework is away: what it was asked, it has not seen.
    pub(crate) fn drop_inverse(&mut self, framework: FrameworkOrd) {
        for agent in std::mem::take(&mut self.frameworks[framework].asked) {
            if let Some(asked) = self.agents[agent].asked.remove(&framework) {
                self.forget_asked(agent, framework, &asked);
            }
        }
    }

    fn forget_asked(&mut self, agent: AgentOrd, framework: FrameworkOrd, asked: &Asked) {
        if let Some(number) = asked.number {
            self.inverse_offers.remove(&number);
        }
        if let Some(until) = asked.until {
            self.deadlines.clear(until, Deadline::Inverse { agent, framework });
        }
        self.publisher.load(agent, self.now);
    }

    /// A framework that came, or got a task: it may have to be asked.
    pub(crate) fn may_ask(&mut self, agent: AgentOrd) {
        if self.agents[agent].unavailability.is_some() {
            self.maybe_ask.insert(agent);
        }
    }

    /// How the scheduled machines stand, with the frameworks' answers.
    pub(crate) fn maintenance_status(&self) -> MaintenanceStatus {
        let plan = self.registry.maintenance();
        let draining = plan.draining().map(|machine| DrainingMachine {
            machine: machine.clone(),
            statuses: self.answers_on(machine),
        });
        MaintenanceStatus {
            draining: draining.collect(),
            down: plan.down.iter().cloned().collect(),
        }
    }

    fn answers_on(&self, machine: &MachineId) -> Vec<InverseOfferStatus> {
        let here = self.agents.iter().filter(|(_, a)| machine.is_called(&a.info.hostname));
        let answers = here.flat_map(|(_, agent)| &agent.asked).filter_map(|(framework, asked)| {
            let (answer, timestamp) = asked.answer?;
            let framework_id = self.frameworks[*framework].id.clone();
            Some(InverseOfferStatus { answer, framework_id, timestamp })
        });
        answers.collect()
    }
}
