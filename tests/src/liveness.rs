//! Looking at the world as a whole: the audit every few seconds, and convergence after the faults.

use crate::group::Group;
use crate::node::FrameworkNode;
use crate::oracle::{Hosts, Living, Violation, restless};
use crate::world::{Event, Plant, World};
use agent_core::Volume;
use proto::operator::{self, Response, State};
use proto::{AgentId, FrameworkId, TaskId, Time};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long after the last fault everything must have come to rest.
const BOUND: Duration = Duration::from_secs(300);
/// How often the state is compared during the fault phase, and after it.
const AUDIT: Duration = Duration::from_secs(5);
const AUDIT_HEALED: Duration = Duration::from_secs(1);

impl World {
    /// Compares what the master says with the books; after the faults, also asks whether all has
    /// come to rest.
    pub(crate) fn audit(&mut self) {
        let healed = self.healed_at;
        self.schedule_in(if healed.is_some() { AUDIT_HEALED } else { AUDIT }, Event::Audit);
        self.ask_all();
        let leading = self.leading();
        let state = leading.and_then(|host| self.state_of_master(host));
        if let (Some(state), Some(epoch)) = (&state, leading.and_then(|h| self.masters[h].epoch()))
        {
            self.oracle.audit(epoch, state);
        }
        for host in 0..self.masters.len() {
            self.audit_sums(host);
            self.audit_copy(host);
        }
        if let Some(group) = &mut self.group {
            group.compare();
            self.listen();
        }
        let Some(since) = healed else { return };
        match self.settled(state.as_ref()) {
            Ok(()) => self.converged = true,
            Err(what) if self.now.since(since) > BOUND => {
                let why = leading.map_or_else(String::new, |host| self.why_not_served(host));
                let what = format!("{} s after the last fault: {what}{why}", BOUND.as_secs());
                self.violated(restless(what));
            }
            Err(_) => {}
        }
    }

    /// The master with the newest epoch of those that believe that they lead.
    pub(crate) fn leading(&self) -> Option<usize> {
        self.believers().max_by_key(|host| self.masters[*host].epoch())
    }

    /// Masters that believe that they lead, and are not stopped.
    pub(crate) fn believers(&self) -> impl Iterator<Item = usize> {
        let stopped =
            |host: usize| self.group.as_ref().is_some_and(|group| group.ground.hosts[host].paused);
        let believes = move |host: &usize| self.masters[*host].core.is_some() && !stopped(*host);
        (0..self.masters.len()).filter(believes)
    }

    /// Every master that believes that it leads is asked something: it must know that what it says
    /// is not old before it answers.
    fn ask_all(&mut self) {
        let Some(group) = &mut self.group else { return };
        if self.setup.plant == Some(Plant::DeafAgents) {
            // Its masters would be noticed first.
            return;
        }
        let newest = self.oracle.newest_epoch();
        for (host, node) in self.masters.iter_mut().enumerate() {
            if node.core.is_some() && !group.ground.hosts[host].paused {
                let id = group.read(self.now, host);
                node.questions.insert(id, newest);
            }
        }
        if self.setup.plant == Some(Plant::StaleAnswers) {
            let believers: Vec<usize> = self.believers().collect();
            believers.into_iter().for_each(|host| self.answers(host, newest));
        }
        self.listen();
    }

    /// A master answers a question that was asked when the newest epoch was this one.
    pub(crate) fn answers(&mut self, host: usize, newest: u64) {
        let Some(epoch) = self.masters[host].epoch() else { return };
        self.measures.measured.answers += 1;
        if epoch < newest {
            let what = format!("master {host} of epoch {epoch} answers, {newest} had begun");
            self.violated(Violation { id: "I12", what });
        }
    }

    /// What the master says to drivers that wait.
    fn why_not_served(&mut self, host: usize) -> String {
        let drivers = self.frameworks.iter().filter_map(FrameworkNode::driver);
        let ids = drivers.filter_map(|node| node.core.as_ref()?.framework_id().cloned());
        let ids: Vec<FrameworkId> = ids.collect();
        let mut words = String::new();
        for id in ids {
            let call = operator::Call::Explain(id.clone());
            for response in self.asked_of_master(host, call) {
                if let Response::Explanation(sentences) = response {
                    words.push_str(&format!("; {id}: {}", sentences.join(" ")));
                }
            }
        }
        words
    }

    fn settled(&self, state: Option<&State>) -> Result<(), String> {
        let state = state.ok_or_else(|| match &self.group {
            Some(group) => format!("no master leads: {}", group.standing()),
            None => "no master leads".to_owned(),
        })?;
        if let Some(what) = self.group.as_ref().and_then(Group::unsettled) {
            return Err(what);
        }
        if self.masters.iter().filter(|master| master.core.is_some()).count() != 1 {
            return Err("several masters believe that they lead".to_owned());
        }
        let mut agents: Vec<AgentId> = Vec::new();
        let mut volumes: Vec<(AgentId, BTreeSet<Volume>)> = Vec::new();
        let mut living: Vec<Living> = Vec::new();
        let mut known: BTreeSet<(FrameworkId, TaskId)> = BTreeSet::new();
        for node in &self.agents {
            let name = &node.name;
            let core = node.core.as_ref().ok_or_else(|| format!("{name} is down"))?;
            let id = core.agent_id().filter(|_| core.is_registered());
            let id = id.ok_or_else(|| format!("{name} is not registered"))?.clone();
            for task in core.tasks() {
                if task.pending_updates > 0 {
                    return Err(format!("{name} has updates of {} to deliver", task.task_id));
                }
                known.insert((task.framework_id.clone(), task.task_id.clone()));
            }
            for process in node.supervisor.living() {
                let launch = &process.launch;
                living.push(Living {
                    agent: id.clone(),
                    task: (launch.framework_id.clone(), launch.task.task_id.clone()),
                    resources: launch.task.resources.clone(),
                });
            }
            volumes.push((id.clone(), node.disk.volumes_of(&id).cloned().collect()));
            agents.push(id);
        }
        for node in &self.frameworks {
            let name = node.name();
            let open = match node {
                FrameworkNode::Driver(node) => match &node.core {
                    None => Some("is down".to_owned()),
                    Some(core) if !core.is_subscribed() => Some("is not subscribed".to_owned()),
                    Some(core) => node.plan.unfulfilled(core),
                },
                FrameworkNode::Raw(node) => node.unfinished(),
            };
            if let Some(what) = open {
                return Err(format!("{name}: {what}"));
            }
        }
        let schedulers = self.frameworks.iter().filter_map(FrameworkNode::framework_id).collect();
        let hosts = Hosts {
            agents: &agents,
            living: &living,
            known: &known,
            volumes: &volumes,
            schedulers: &schedulers,
        };
        self.oracle.settled(state, &hosts)
    }

    /// The fault phase is over.
    pub(crate) fn begin_rest(&mut self, now: Time) {
        self.healed_at = Some(now);
    }
}
