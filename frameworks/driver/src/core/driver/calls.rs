//! What the layer above has the driver do: launch, decline, kill, acknowledge, ask, want.

use super::{Driver, Kill, Task};
use crate::core::boundary::{Effect, Write};
use crate::core::demand::{Saying, Want};
use crate::core::random::doubled;
use crate::core::record;
use proto::scheduler::{CallBody, Demand as Bundle, StateAsk};
use proto::{AgentId, Filters, OfferId, Operation, StatusUuid, TaskId, TaskInfo, Time};
use std::time::Duration;

impl Driver {
    /// Uses offers of one agent for tasks. The caller has put the record of the launch before it.
    /// What remains of the offers is refused for `refuse`.
    ///
    /// False, and nothing happens, if one of the offers is not at hand (any more).
    pub fn launch(
        &mut self,
        offer_ids: Vec<OfferId>,
        tasks: Vec<TaskInfo>,
        refuse: Duration,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !offer_ids.iter().all(|offer| self.offers.contains_key(offer)) {
            return false;
        }
        for offer in &offer_ids {
            self.offers.remove(offer);
        }
        for task in &tasks {
            let living = Task { agent: task.agent_id.clone(), kill: None };
            self.tasks.insert(task.task_id.clone(), living);
        }
        if !refuse.is_zero() {
            self.demand.refused();
        }
        self.demand.launched(tasks.len());
        let operations = vec![Operation::Launch(tasks)];
        self.send(CallBody::Accept { offer_ids, operations, filters: Filters { refuse } }, effects);
        true
    }

    /// Gives offers back. Those that are not at hand are skipped.
    pub fn decline(
        &mut self,
        offer_ids: Vec<OfferId>,
        refuse: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let held = offer_ids.into_iter().filter(|offer| self.offers.remove(offer).is_some());
        let held: Vec<OfferId> = held.collect();
        self.decline_ids(held, refuse, effects);
    }

    pub(super) fn decline_ids(
        &mut self,
        ids: Vec<OfferId>,
        refuse: Duration,
        effects: &mut Vec<Effect>,
    ) {
        if ids.is_empty() {
            return;
        }
        if !refuse.is_zero() {
            self.demand.refused();
        }
        let filters = Filters { refuse };
        self.send(CallBody::Decline { offer_ids: ids, filters }, effects);
    }

    /// How long resources that fit nothing are to be refused now.
    pub fn refuse(&self, now: Time) -> Duration {
        self.demand.refuse(now, &self.options)
    }

    /// Confirms an update; the caller has put the record of it before. Without a uuid there is
    /// nothing to confirm.
    pub fn acknowledge(
        &self,
        task_id: TaskId,
        agent_id: Option<AgentId>,
        uuid: Option<StatusUuid>,
        effects: &mut Vec<Effect>,
    ) {
        if let (Some(agent_id), Some(uuid)) = (agent_id, uuid) {
            self.send(CallBody::Acknowledge { agent_id, task_id, uuid }, effects);
        }
    }

    /// Kills a living task: now, or once there is a connection, and again until its end is
    /// reported and [`ended`](Self::ended) is called.
    pub fn kill(
        &mut self,
        now: Time,
        task_id: &TaskId,
        grace: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.tasks.get_mut(task_id) else { return };
        if task.kill.is_some() {
            return;
        }
        task.kill = Some(Kill { next: now, times: 0, grace });
        self.kills.insert((now, task_id.clone()));
        if self.link.open().is_some() {
            self.repeat_kills(now, effects);
        }
    }

    /// Kills a task that is not ours, or no longer: once for each time it shows up.
    pub fn kill_stray(
        &self,
        task_id: TaskId,
        agent_id: Option<AgentId>,
        effects: &mut Vec<Effect>,
    ) {
        self.send(CallBody::Kill { task_id, agent_id, grace: None }, effects);
    }

    /// Asks for the state of a living task.
    pub fn ask(&mut self, now: Time, task_id: &TaskId) {
        if self.link.open().is_some() && self.tasks.contains_key(task_id) {
            self.reconciler.ask(now, task_id.clone());
        }
    }

    /// The task lives no more, or counts no more: it is forgotten.
    pub fn ended(&mut self, task_id: &TaskId) {
        if let Some(task) = self.tasks.remove(task_id)
            && let Some(kill) = task.kill
        {
            self.kills.remove(&(kill.next, task_id.clone()));
        }
        self.reconciler.answered(task_id);
    }

    /// Says what is wanted from now on.
    pub fn set_want(&mut self, now: Time, want: Want, effects: &mut Vec<Effect>) {
        let open = self.link.open().is_some();
        let said = self.demand.set(now, want, open, &self.options);
        self.say(said, effects);
    }

    /// There is work of a kind that was not waiting before: what was refused is asked for again
    /// with the next [`set_want`](Self::set_want).
    pub fn renew_want(&mut self) {
        self.demand.renew();
    }

    pub(super) fn say(&mut self, said: Saying, effects: &mut Vec<Effect>) {
        let role = || vec![self.options.role.clone()];
        if said.request {
            let bundles = match self.demand.want() {
                Want::Bundles(bundles) => bundles.as_slice(),
                Want::Nothing | Want::Anything => &[],
            };
            let demands = bundles
                .iter()
                .map(|(resources, count)| Bundle {
                    role: Some(self.options.role.clone()),
                    agent_id: None,
                    resources: resources.clone(),
                    count: *count,
                    deadline: None,
                    priority: 0,
                })
                .collect();
            self.send(CallBody::Request { demands }, effects);
        }
        if said.revive {
            self.send(CallBody::Revive { roles: role() }, effects);
        }
        if said.suppress {
            // First silence, then the offers: otherwise they would come back at once.
            self.send(CallBody::Suppress { roles: role() }, effects);
            let held = std::mem::take(&mut self.offers).into_keys().collect();
            self.decline_ids(held, Duration::ZERO, effects);
        }
    }

    /// Reads or writes what the masters keep for the framework: now, or once there is a connection,
    /// and again on the next one, until [`Effect::State`] says what became of it.
    pub fn ask_state(&mut self, request: u64, ask: StateAsk, effects: &mut Vec<Effect>) {
        let open = self.link.open().is_some();
        if let Some(call) = self.state.ask(request, ask, open) {
            self.send(CallBody::State(call), effects);
        }
    }

    /// On a new connection every kill starts over.
    pub(super) fn kill_anew(&mut self, now: Time) {
        self.kills.clear();
        for (id, task) in &mut self.tasks {
            if let Some(kill) = &mut task.kill {
                *kill = Kill { next: now, times: 0, grace: kill.grace };
                self.kills.insert((now, id.clone()));
            }
        }
    }

    pub(super) fn repeat_kills(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((next, id)) = self.kills.first().cloned() {
            if next > now {
                break;
            }
            self.kills.remove(&(next, id.clone()));
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            let Some(kill) = &mut task.kill else { continue };
            let wait = doubled(self.options.kill_first, kill.times, self.options.kill_most);
            kill.times = kill.times.saturating_add(1);
            kill.next = now + self.random.jitter(wait).max(Duration::from_millis(1));
            self.kills.insert((kill.next, id.clone()));
            let body = CallBody::Kill {
                task_id: id,
                agent_id: Some(task.agent.clone()),
                grace: kill.grace,
            };
            self.send(body, effects);
        }
    }

    pub(super) fn reconcile(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let due = self.reconciler.due(now, &self.options, &mut self.random);
        for batch in due.chunks(self.options.reconcile_batch.max(1)) {
            let tasks = batch.iter().map(|id| (id.clone(), self.agent_of(id).cloned())).collect();
            self.send(CallBody::Reconcile { tasks }, effects);
        }
        if self.reconciler.all_due(now, &self.options) {
            self.send(CallBody::Reconcile { tasks: Vec::new() }, effects);
        }
    }

    /// Ends the framework at the master: its tasks are killed and its id is used up.
    pub fn teardown(&mut self, effects: &mut Vec<Effect>) -> Vec<Write> {
        self.send(CallBody::Teardown, effects);
        self.link.stop(effects);
        self.lose_connection();
        vec![record::no_framework()]
    }
}
