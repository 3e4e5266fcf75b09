//! The supervisor's loop: one thread, one epoll, everything it knows in memory.
//!
//! Each turn takes what has happened (orders, ended children, output, memory events, timers),
//! acts, and sends the agent one batch of reports. Nothing in it may wait for anything else.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::parts::LogPolicy;

use super::berth::Berth;
use super::beside::Besides;
use super::cgroup::{Group, Tree};
use super::enclosure::Enclosures;
use super::flow::Held;
use super::network::Networks;
use super::options::Options;
use super::pace::Pace;
use super::peer::{self, Gone, Peer};
use super::project::Projects;
use super::remains::Remains;
use super::roll::Roll;
use super::sampling::Sampler;
use super::session::Sessions;
use super::spawn::Slots;
use super::strays::Children;
use super::sys;
use super::task::{Closed, ContainerId, Recovered};
use super::victims::Victims;
use super::wire::{Order, Report};

/// Idle berths kept ready, and berths that keep all their descriptors open. Twice the cpus of a
/// small machine; short tasks on larger ones find theirs among these as well.
pub(super) const POOL: usize = 64;
/// Tasks that are started before what has happened meanwhile is looked at and told: a burst of
/// launches must not hold back the ends of those that came first.
const LAUNCHES: usize = 8;
/// Orders that may wait; the agent's socket fills up then.
const ORDERS: usize = 4096;
/// While the last processes of a container die, or a directory is busy: how soon to look again.
const SETTLE: Duration = Duration::from_millis(2);
/// How long a second agent waits for the first to be gone.
const TURNOVER: Duration = Duration::from_secs(3);

const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;
const PEER: u64 = 2;
/// Above these: berth number and what of it (0 stdout, 1 stderr, 2 memory).
pub(super) const BERTHS: u64 = 256;
pub(super) const MEMORY: u64 = 2;

/// Everything the supervisor knows.
pub(super) struct Supervisor {
    pub(super) options: Options,
    pub(super) tree: Option<Tree>,
    pub(super) isolation: String,
    pub(super) warning: Option<String>,
    pub(super) poll: OwnedFd,
    listener: UnixListener,
    signals: OwnedFd,
    pub(super) null: OwnedFd,
    /// Where a child finds its descriptors.
    pub(super) slots: Option<Slots>,
    /// What the agent wants and is not done yet.
    orders: VecDeque<Order>,
    pub(super) children: Children,
    pub(super) peer: Option<Peer>,
    waiting: Option<(UnixStream, Instant)>,
    pub(super) berths: Vec<Option<Berth>>,
    pub(super) vacant: Vec<usize>,
    pub(super) idle: Vec<usize>,
    pub(super) running: HashMap<ContainerId, usize>,
    pub(super) pids: HashMap<u32, usize>,
    /// The first processes of enclosures, by the berth of their tasks.
    pub(super) inits: HashMap<u32, usize>,
    pub(super) enclosures: Option<Enclosures>,
    pub(super) networks: Option<Networks>,
    /// Where tasks' networks do not lead.
    pub(super) closed: Closed,
    pub(super) projects: Projects,
    /// By which tasks are known as ours where there are no cgroups.
    pub(super) mark: Option<String>,
    pub(super) ended: HashMap<ContainerId, Recovered>,
    /// What is left of a supervisor that was lost.
    pub(super) remains: Vec<Remains>,
    pub(super) roll: Roll,
    /// What the agent has told that launches have in common. Containers hold their own pointers.
    pub(super) shared: HashMap<u64, Arc<[u8]>>,
    /// Berths whose task has ended but not all of its processes.
    pub(super) settling: Vec<usize>,
    pub(super) kills: BTreeSet<(Instant, usize, u64)>,
    pub(super) besides: Besides,
    pub(super) sessions: Sessions,
    pub(super) doomed: Vec<Group>,
    /// Of looks at the settling and the doomed.
    pub(super) pace: Pace,
    pub(super) next_serial: u64,
    pub(super) next_group: u64,
    pub(super) next_directory: u64,
    pub(super) buffer: Vec<u8>,
    /// What the agent wants of logs. There are none before it has come.
    pub(super) logs: LogPolicy,
    pub(super) sampler: Sampler,
    pub(super) held: Held,
    /// Whom the kernel killed for memory.
    pub(super) victims: Victims,
    away_since: Option<Instant>,
    ending: bool,
}

impl Supervisor {
    /// Puts the parts together; nothing runs yet.
    pub(super) fn new(
        options: Options,
        tree: Option<Tree>,
        warning: Option<String>,
        listener: UnixListener,
    ) -> io::Result<Self> {
        let null = std::fs::File::open("/dev/null")?;
        // First of all, so that their numbers are low.
        let slots = Slots::reserve(null.as_fd())?;
        let signals = sys::signal_fd(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT])?;
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&poll, &signals, EventData::new_u64(SIGNALS), EventFlags::IN)?;
        let projects = Projects::of(&options.sandboxes);
        let isolation = tree.as_ref().map_or_else(|| "process groups".to_owned(), Tree::describe);
        Ok(Self {
            options,
            tree,
            isolation,
            warning,
            poll,
            listener,
            signals,
            null: null.into(),
            slots,
            orders: VecDeque::new(),
            children: Children::default(),
            peer: None,
            waiting: None,
            berths: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            running: HashMap::new(),
            pids: HashMap::new(),
            inits: HashMap::new(),
            enclosures: None,
            networks: None,
            closed: Closed::default(),
            projects,
            mark: None,
            ended: HashMap::new(),
            remains: Vec::new(),
            roll: Roll::default(),
            shared: HashMap::new(),
            settling: Vec::new(),
            kills: BTreeSet::new(),
            besides: Besides::default(),
            sessions: Sessions::default(),
            doomed: Vec::new(),
            pace: Pace::new(Instant::now()),
            next_serial: 0,
            next_group: 0,
            next_directory: 0,
            buffer: vec![0; 64 << 10],
            logs: LogPolicy::default(),
            sampler: Sampler::default(),
            victims: Victims::watch(),
            held: Held::default(),
            away_since: Some(Instant::now()),
            ending: false,
        })
    }

    /// Serves until told to end, or until nobody has come for long.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        while !self.is_over(Instant::now()) {
            let timeout = self.timeout(Instant::now());
            events.clear();
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.happened(event.data.u64(), event.flags);
            }
            self.obey_some();
            self.sample_some();
            self.timers(Instant::now());
            self.flush();
        }
        self.close();
        Ok(())
    }

    fn happened(&mut self, token: u64, flags: EventFlags) {
        match token {
            LISTENER => {
                if let Some(stream) = peer::accept(&self.listener) {
                    self.connected(stream);
                }
            }
            SIGNALS => {
                self.ending |= sys::take_signals(self.signals.as_fd());
                self.reap();
            }
            PEER => self.hear(),
            berth => {
                let (index, what) = ((berth / BERTHS) as usize - 1, berth % BERTHS);
                if what == MEMORY {
                    self.memory_event(index);
                } else {
                    self.output(index, what as usize, flags);
                }
            }
        }
    }

    /// An agent has connected.
    fn connected(&mut self, stream: UnixStream) {
        // The previous one may be gone without our having looked.
        if self.peer.is_some() {
            self.hear();
        }
        if self.peer.is_none() {
            self.adopt(stream);
        } else if let Some((earlier, _)) = self.waiting.replace((stream, Instant::now() + TURNOVER))
        {
            peer::refuse(&earlier, "a later agent has connected".into());
        }
    }

    fn adopt(&mut self, stream: UnixStream) {
        let peer = Peer::new(stream);
        if epoll::add(&self.poll, peer.as_fd(), EventData::new_u64(PEER), EventFlags::IN).is_ok() {
            self.peer = Some(peer);
            self.away_since = None;
        }
    }

    fn hear(&mut self) {
        if self.orders.len() >= ORDERS {
            return;
        }
        let Some(peer) = &mut self.peer else { return };
        let mut orders = Vec::new();
        let end = peer.receive(&mut self.buffer, &mut orders);
        self.orders.extend(orders);
        if let Err(gone) = end {
            self.part(&gone);
        }
    }

    /// Obeys in order, up to a few launches.
    fn obey_some(&mut self) {
        let mut launches = 0;
        while launches < LAUNCHES
            && let Some(order) = self.orders.pop_front()
        {
            launches += usize::from(matches!(order, Order::Launch(_)));
            self.obey(order);
        }
    }

    /// The agent is gone; its tasks stay, and all that it wanted is done, but for sessions: the ends
    /// of those are gone with it, and what has their names now may be another's.
    fn part(&mut self, gone: &Gone) {
        while let Some(order) = self.orders.pop_front() {
            if !matches!(order, Order::Enter { .. }) {
                self.obey(order);
            }
        }
        let Some(peer) = self.peer.take() else { return };
        if let Gone::Unreadable(problem) | Gone::OtherVersion(problem) = gone {
            peer.dismiss(problem.clone());
            super::log(&format!("the agent was dismissed: {problem}"));
        }
        // Without anything to keep we only stand in the way of the supervisor of that release.
        self.ending |= matches!(gone, Gone::OtherVersion(_)) && self.nothing_left();
        self.away_since = Some(Instant::now());
        self.shared.clear();
        self.sampler.give_up();
        self.sessions.end_all();
        if let Some((stream, _)) = self.waiting.take() {
            self.adopt(stream);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Hello => self.greet(),
            Order::Launch(spec) => self.launch(*spec),
            Order::Signal { id, signal } => self.signal(&id, signal),
            Order::Kill { id, grace } => self.kill(&id, grace),
            Order::Update { id, limits } => self.update(&id, &limits),
            Order::Usage { id } => self.usage(id),
            Order::Look { number, timeout, spec } => self.look(number, timeout, *spec),
            Order::Enter { number, stdio, spec } => self.enter_session(number, &stdio, *spec),
            Order::SignalSession { number, signal } => self.signal_session(number, signal),
            Order::Forget { id } => {
                fail::fail_point!("forget-taken");
                self.ended.remove(&id);
            }
            Order::Share { key, bytes } => drop(self.shared.insert(key, bytes)),
            Order::Logs(policy) => self.logs = policy,
            Order::Close(closed) => {
                self.networks.iter_mut().for_each(|networks| networks.shut(&closed));
                self.closed = closed;
            }
            Order::Sample { all } => self.sample(all),
            Order::Exceeded { id, limitation } => self.exceeded(&id, limitation),
            Order::Unshare { key } => drop(self.shared.remove(&key)),
            Order::Shutdown if self.nothing_runs() => {
                self.ended.clear();
                self.ending = true;
            }
            Order::Shutdown => {
                let running = self.running.len() + self.remains.len();
                let running = u32::try_from(running).unwrap_or(u32::MAX);
                self.report(&Report::ShutdownRefused { running });
            }
        }
    }

    /// Tells a new agent everything.
    fn greet(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        peer.greeted = true;
        peer.queue(&Report::Welcome {
            pid: std::process::id(),
            isolation: self.isolation.clone(),
            warning: self.warning.clone(),
        });
        let occupants = self.running.values().filter_map(|i| self.berths[*i].as_ref());
        let running =
            occupants.filter_map(|berth| berth.occupant.as_ref()).map(|occupant| Recovered {
                id: occupant.id.clone(),
                record: occupant.record.clone(),
                shared: occupant.shared.clone(),
                launched: occupant.launched.clone(),
                ended: None,
                remains: false,
                kill_requested: occupant.kill_requested,
            });
        let left = self.remains.iter().filter_map(|one| one.known.clone());
        // What many have in common is told once.
        let mut told: HashMap<*const u8, u64> = HashMap::new();
        for known in running.chain(left).chain(self.ended.values().cloned()) {
            let shared = known.shared.as_ref().map(|bytes| {
                let next = told.len() as u64;
                *told.entry(bytes.as_ptr()).or_insert_with(|| {
                    peer.queue(&Report::Shared { key: next, bytes: Arc::clone(bytes) });
                    next
                })
            });
            peer.queue(&Report::Known { known: Box::new(known), shared });
        }
        peer.queue(&Report::Complete);
    }

    /// Tells the agent, if one is listening; if not, it will hear when it comes.
    pub(super) fn report(&mut self, report: &Report) {
        if let Some(peer) = self.peer.as_mut().filter(|peer| peer.greeted) {
            peer.queue(report);
        }
    }

    fn flush(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        let was_blocked = peer.blocked;
        let end = peer.flush();
        if peer.blocked != was_blocked {
            let extra = if peer.blocked { EventFlags::OUT } else { EventFlags::empty() };
            let flags = EventFlags::IN | extra;
            // The descriptor is registered, so this cannot fail.
            let _ = epoll::modify(&self.poll, peer.as_fd(), EventData::new_u64(PEER), flags);
        }
        if let Err(gone) = end {
            self.part(&gone);
        }
    }

    fn timeout(&self, now: Instant) -> Option<Timespec> {
        let soon = !self.settling.is_empty() || !self.doomed.is_empty() || !self.remains.is_empty();
        let away = self.away_since.filter(|_| self.nothing_left());
        let deadlines = [
            soon.then(|| self.pace.next()),
            self.kills.first().map(|(at, _, _)| *at),
            self.besides.deadline(),
            self.held.deadline(),
            away.map(|since| since + self.options.away_grace),
            self.waiting.as_ref().map(|(_, until)| *until),
        ];
        if !self.orders.is_empty() || self.sampler.is_busy() {
            return Some(Timespec::default());
        }
        let next = deadlines.into_iter().flatten().min()?;
        // Never early: a loop that wakes before its deadline spins.
        let wait = next.saturating_duration_since(now) + Duration::from_micros(100);
        Timespec::try_from(wait).ok()
    }

    fn timers(&mut self, now: Instant) {
        while let Some(due) = self.kills.first().copied().filter(|(at, _, _)| *at <= now) {
            self.kills.remove(&due);
            self.kill_due(due.1, due.2);
        }
        self.besides.end_late(now);
        self.let_go(now);
        if self.pace.is_due(now) {
            let settling = std::mem::take(&mut self.settling);
            self.settle(settling);
            self.doomed.retain_mut(|group| !group.remove());
            self.watch_remains();
        }
        if let Some((stream, _)) = self.waiting.take_if(|(_, until)| *until <= now) {
            peer::refuse(&stream, "another agent is connected to this supervisor".into());
        }
    }

    /// Nothing runs and nothing waits to be told.
    fn nothing_left(&self) -> bool {
        self.nothing_runs() && self.ended.is_empty()
    }

    fn nothing_runs(&self) -> bool {
        self.running.is_empty() && self.remains.is_empty()
    }

    fn is_over(&mut self, now: Instant) -> bool {
        if !self.orders.is_empty() {
            return false;
        }
        if self.ending && !self.nothing_runs() {
            super::log("asked to end, but tasks are running: staying");
            self.ending = false;
        }
        let away = self.away_since.is_some_and(|since| now >= since + self.options.away_grace);
        self.ending || (away && self.nothing_left())
    }

    /// Gives everything back.
    fn close(mut self) {
        // Before the directories: a new supervisor may start from here on, and finds the lock.
        let _ = std::fs::remove_file(&self.options.socket);
        fail::fail_point!("socket-removed");
        for berth in self.berths.iter_mut().flatten() {
            berth.discard_directory();
            self.doomed.extend(berth.group.take());
        }
        // Empty groups go at once, unless the kernel is still releasing the last process.
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            self.doomed.retain_mut(|group| !group.remove());
            if self.doomed.is_empty() || Instant::now() > until {
                break;
            }
            std::thread::sleep(SETTLE);
        }
        if let Some(networks) = self.networks.take() {
            networks.close();
        }
        if let Some(tree) = self.tree.take() {
            tree.close();
        }
    }
}
