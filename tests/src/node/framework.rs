//! A framework of the driver: the core, its store, its stream, and an owner that hands it work.

use crate::network::{Conn, Direction, Peer};
use crate::oracle::Violation;
use crate::storage::{Facts, Outbox};
use crate::streams::Dialled;
use crate::workload::Plan;
use crate::world::{Event, Node, Packet, World};
use driver::core::{Effect, Input, Notice, Options, Scheduler, UnitChange, Write};
use std::collections::BTreeMap;

/// A driver's store.
#[derive(Debug, Default)]
pub(crate) struct Store(BTreeMap<Vec<u8>, Vec<u8>>);

impl Facts for Store {
    type Op = Vec<Write>;

    fn apply(&mut self, op: Vec<Write>) {
        for Write { key, value } in op {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

/// One framework's scheduler and its owner.
#[derive(Debug)]
pub(crate) struct DriverNode {
    pub(crate) name: String,
    options: Options,
    pub(crate) core: Option<Scheduler>,
    pub(crate) outbox: Outbox<Store, Effect>,
    pub(crate) incarnation: u64,
    /// The core's number of the stream, and the stream.
    link: Option<(u64, Conn)>,
    pub(crate) crash_in: Option<u32>,
    /// So many of its next starts do not end well.
    pub(crate) doomed: u32,
    pub(crate) plan: Plan,
}

impl DriverNode {
    /// A scheduler that is not started yet.
    pub(crate) fn new(name: String, options: Options, plan: Plan) -> Self {
        Self {
            name,
            options,
            core: None,
            outbox: Outbox::default(),
            incarnation: 0,
            link: None,
            crash_in: None,
            doomed: 0,
            plan,
        }
    }
}

impl World {
    /// Starts the scheduler from its store.
    pub(crate) fn start_driver(&mut self, i: usize) {
        let seed = self.random.number();
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        if node.core.is_some() {
            return;
        }
        self.clocks.start(Node::Framework(i));
        node.incarnation += 1;
        if node.doomed > 0 {
            node.doomed -= 1;
            node.crash_in = Some(self.random.between(1, 5) as u32);
        }
        let stored = node.outbox.durable().0.iter().map(|(k, v)| (k.clone(), v.clone()));
        match Scheduler::recover(node.options.clone(), seed, stored) {
            Ok(core) => {
                self.oracle.driver_started(i, &core);
                node.core = Some(core);
            }
            Err(error) => {
                let what = format!("{} cannot read what it wrote: {error}", node.name);
                self.violated(Violation { id: "I2", what });
                return;
            }
        }
        self.trace.happened(self.now, &node.name, &"scheduler starts");
        self.step_driver(i, Input::Tick);
        self.work(i);
    }

    /// Kills the scheduler's process.
    pub(crate) fn crash_driver(&mut self, i: usize) {
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        if node.core.take().is_none() {
            return;
        }
        node.incarnation += 1;
        node.crash_in = None;
        node.outbox.crash(&mut self.random);
        node.plan.lose_requests();
        let link = node.link.take();
        self.trace.happened(self.now, &node.name, &"scheduler is killed");
        self.clear_wake(Node::Framework(i));
        if let Some((_, conn)) = link {
            self.abandon(conn, Direction::Up);
        }
    }

    /// Feeds the core and performs what may be performed.
    pub(crate) fn step_driver(&mut self, i: usize, input: Input) {
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        let Some(core) = &mut node.core else { return };
        self.trace.input(self.now, &node.name, &input);
        let mut effects = Vec::new();
        core.step(self.clocks.local(Node::Framework(i), self.now), input, &mut effects);
        self.trace.effects(&effects, |effect| format!("{effect:?}"));
        if let Err(broken) = core.check() {
            let what = format!("{}: {}", node.name, broken.what);
            self.violated(Violation { id: broken.id, what });
            return;
        }
        let crashes = node.crash_in.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        let kept = if crashes { self.random.index(effects.len() + 1) } else { effects.len() };
        for effect in effects.into_iter().take(kept) {
            match effect {
                Effect::Persist(writes) => node.outbox.persist(writes),
                effect => node.outbox.push(effect),
            }
        }
        self.pump_driver(i);
        if crashes {
            self.crash_driver(i);
            let down = self.random.millis(100, 5000);
            self.schedule_in(down, Event::StartDriver(i));
            return;
        }
        let core = self.frameworks[i].driver().and_then(|node| node.core.as_ref());
        let deadline = core.and_then(Scheduler::deadline);
        self.arrange_wake(Node::Framework(i), deadline);
    }

    /// Performs what waits no longer, and flushes what is written.
    pub(crate) fn pump_driver(&mut self, i: usize) {
        while let Some(effect) = self.frameworks[i].driver_mut().and_then(|n| n.outbox.ready()) {
            self.oracle.driver_says(i, &effect);
            self.perform_of_driver(i, effect);
        }
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        if node.outbox.begin_flush() {
            let incarnation = node.incarnation;
            self.flush_later(Node::Framework(i), incarnation);
        }
    }

    fn perform_of_driver(&mut self, i: usize, effect: Effect) {
        match effect {
            Effect::Connect { connection, master } => {
                let host = master.parse().expect("masters are named by their numbers");
                let conn = self.dial(Peer::Framework(i), host);
                if let Some(node) = self.frameworks[i].driver_mut() {
                    node.link = Some((connection, conn));
                }
            }
            Effect::Disconnect { connection } => {
                let Some(node) = self.frameworks[i].driver_mut() else { return };
                if let Some((_, conn)) = node.link.take_if(|(number, _)| *number == connection) {
                    self.hang_up(conn, Direction::Up);
                }
            }
            Effect::Send { connection, call } => {
                let Some(node) = self.frameworks[i].driver_mut() else { return };
                self.oracle.framework_calls(&call);
                if let Some((_, conn)) = node.link.filter(|(number, _)| *number == connection) {
                    self.send(conn, Direction::Up, Packet::Call(*call));
                }
            }
            Effect::Answer { request, answer } => {
                if let Some(node) = self.frameworks[i].driver_mut()
                    && let Err(what) = node.plan.answered(request, answer)
                {
                    self.violated(Violation { id: "I17", what });
                }
            }
            Effect::Notice(notice) => self.note(i, notice),
            Effect::State { .. } => {}
            Effect::Persist(_) => unreachable!("writes are taken out before they are queued"),
        }
    }

    fn note(&mut self, i: usize, notice: Notice) {
        let name = self.frameworks[i].name();
        match notice {
            Notice::Stopped(why) => {
                let what = format!("{name} was ended by the master: {why}");
                self.violated(Violation { id: "I9", what });
            }
            Notice::Unit { group, index, change: UnitChange::Ended(outcome), .. } => {
                // Units that are kept running end as often as they are scaled away.
                if group.as_str().starts_with("long-kept") {
                    return;
                }
                let said = format!("{outcome:?}");
                self.oracle.unit_ended(i, &group, index, &said);
            }
            Notice::Subscribed(_)
            | Notice::Disconnected
            | Notice::Refused { .. }
            | Notice::Submitted(_)
            | Notice::Unit { .. }
            | Notice::GroupEnded(_)
            | Notice::Stray(_)
            | Notice::Signal(_) => {}
        }
    }

    /// The owner hands out what is due, and asks again for what was not answered.
    pub(crate) fn work(&mut self, i: usize) {
        let (now, healed) = (self.now, self.faults.healed());
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        if node.core.is_none() {
            return;
        }
        let inputs = node.plan.due(now, healed);
        for input in inputs {
            self.step_driver(i, input);
        }
    }

    /// The stream that was dialled is open, or could not be opened.
    pub(crate) fn driver_dialled(&mut self, i: usize, conn: Conn, how: Dialled) {
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        let Some((connection, _)) = node.link.filter(|(_, ours)| *ours == conn) else {
            self.hang_up(conn, Direction::Up);
            return;
        };
        match how {
            Dialled::Open => self.step_driver(i, Input::Connected { connection }),
            Dialled::Refused(leader) => self.driver_loses(i, connection, leader),
        }
    }

    fn driver_loses(&mut self, i: usize, connection: u64, leader: Option<usize>) {
        if let Some(node) = self.frameworks[i].driver_mut() {
            node.link = None;
        }
        let leader = leader.map(|host| host.to_string().into());
        self.step_driver(i, Input::Closed { connection, leader });
    }

    /// Something arrived from the master.
    pub(crate) fn driver_hears(&mut self, i: usize, conn: Conn, packet: Option<Packet>) {
        let Some(node) = self.frameworks[i].driver_mut() else { return };
        let Some((connection, _)) = node.link.filter(|(_, ours)| *ours == conn) else { return };
        match packet {
            Some(Packet::Event(event)) => {
                if let proto::scheduler::Event::Update(status) = &event
                    && let Some(core) = &node.core
                    && let Some(id) = core.framework_id()
                {
                    self.oracle.framework_hears(id, true, status);
                }
                self.step_driver(i, Input::Event { connection, event });
            }
            Some(Packet::AgentCall(_) | Packet::Call(_) | Packet::AgentEvent(_)) => {}
            Some(Packet::NotLeading(leader)) => {
                self.hang_up(conn, Direction::Up);
                self.driver_loses(i, connection, leader);
            }
            None => self.driver_loses(i, connection, None),
        }
    }
}
