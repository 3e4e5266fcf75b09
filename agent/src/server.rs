//! The agent's loop: one task owns the core, the containerizer and the checkpoint's commits.
//!
//! Inputs are taken in batches and stepped; their effects leave together. Nothing here decides
//! what happens to a task.

mod api;
mod calls;
mod finding;
mod identity;
mod options;
mod watching;

use crate::checkpoint::{self, Committed, Writer};
use crate::config::{Config, Layout};
use crate::containerizer::native::Native;
use crate::containerizer::{ContainerEvent, Containerizer};
use crate::containers::ImagesInUse;
use crate::disks::{Disks, Measured};
use crate::docker::pair::Pair;
use crate::endpoints::Endpoints;
use crate::http::{self, Ask};
use crate::link::Masters;
use crate::listen::{AcceptLimits, accept};
use crate::perform::Performer;
use crate::policy::Policy;
use crate::preparing::{Prepared, Preparing};
use crate::sandbox::packing::Packer;
use crate::sessions::Sessions;
use crate::supervisor::task::Closed;
use crate::usage::{self, Usages};
use crate::whereabouts::Whereabouts;
use crate::{Error, containers, gpus, metrics, probe};
use agent_core::{Agent, Input, Recovered, TaskView};
use api::{employer, router};
use clock::Clock;
use fail::fail_point;
use finding::{check_reconfiguration, first_report, index, take_orphans};
use identity::{host_address, hostname, supervisor_identity};
use options::{native_options, options};
use proto::ClusterId;
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Inputs stepped before their effects are performed.
const BATCH: usize = 512;
/// Inputs that may wait; the stream to the master waits then.
const INBOX: usize = 4096;
/// How long the containers may take to end when all are ended on purpose.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What becomes of the tasks when the agent stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// They go on under their supervisor; the next agent of this work directory takes them back.
    KeepTasks,
    /// They are killed, and the supervisor ends too: for clusters that live for a while only.
    EndTasks,
}

/// Runs an agent, serving its own API on `listener`, until `shutdown` says how to stop.
///
/// # Errors
/// Why it does not start; or that its checkpoint cannot be written any more, or its supervisor
/// not be had, so that it must end. Its tasks go on.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = Stop>,
) -> Result<(), Error> {
    config.check()?;
    let address = listener
        .local_addr()
        .map_err(|source| Error::Listen { address: "the given socket".to_owned(), source })?;
    let layout = Layout::make(&config.work_dir)?;
    let store = checkpoint::open(&layout.checkpoint, config.cluster.as_deref())?;
    let machine = probe::machine(&layout.root)?;
    let hostname = hostname(&config, address, &machine.hostname).await;
    let library = config.nvml_library.clone();
    let gpus = if config.gpus { gpus::find(library).await? } else { Vec::new() };
    let info = config.agent_info(&machine, gpus.len(), &hostname, address.port())?;
    // No file says more than a directory that was bound to its cluster.
    let cluster_id = store.identity().cluster.and_then(|name| ClusterId::new(name).ok());
    let seed = uuid::Uuid::new_v4().as_u64_pair();
    let (loaded, reserve) = checkpoint::recall(&*store, &layout.reserve, seed.1)?;
    check_reconfiguration(&loaded.recovered, &info, &machine.boot_id, &layout)?;

    fail_point!("checkpoint-loaded");
    let clock = Clock::start();
    let (native, mut events) = Native::start(native_options(&config, &layout)).await?;
    fail_point!("supervisor-at-hand");
    let mut seen = (Whereabouts::default(), ImagesInUse::default());
    let mut containers = first_report(&mut events, (&mut seen.0, &mut seen.1), &clock).await;
    let native = Pair::start(native, &config, &layout, &machine.boot_id).await;
    containers.extend(containers::report(native.report_docker(), &clock));
    let employer = employer(&config, address, checkpoint::secret(&*store)?);
    let supervisor = supervisor_identity(native.native.supervisor_pid());
    let mut first = loaded.repairs;
    first.push(checkpoint::supervisor_change(&supervisor));

    let mut recovered = Recovered {
        supervisor_continued: loaded.supervisor.as_deref() == Some(&supervisor),
        containers,
        ..loaded.recovered
    };
    // What runs, and uses what the agent has, is known only now.
    check_reconfiguration(&recovered, &info, &machine.boot_id, &layout)?;
    let (writer, committed) = Writer::start(store, reserve).map_err(Error::Thread)?;
    take_orphans(&layout, &mut recovered, &mut first);
    let (endpoints, closed) = Endpoints::of(address.port());
    let masters = Masters::new(&config.masters, endpoints);
    let place = host_address(&hostname, address).await;
    let options = options(&config, info, &machine, &gpus, (cluster_id, place));
    let policy = Policy { gpus, ..config.policy.clone().settled(&layout.root) };
    let ((inbox, inputs), (done, prepared)) = (mpsc::channel(INBOX), mpsc::unbounded_channel());
    let preparing = Preparing::open(&config, &policy, &layout, done)?;
    let (rules, files) = ((policy, employer), (writer, first));
    let mut performer =
        Performer::new(native, files, layout.clone(), rules, preparing, masters, inbox);
    (performer.whereabouts, performer.images) = seen;
    let packer = Packer::start().map_err(Error::Thread)?;
    index(&performer, &recovered, &packer);
    performer.empty_trash();
    let core = Agent::new(options, seed.0, recovered, clock.now());
    performer.sweep_volumes(&core);
    tracing::info!(
        %address,
        work_dir = %layout.root.display(),
        resources = %core.total(),
        isolation = performer.native.isolation(),
        "agent serving"
    );
    let limits = AcceptLimits::of(&config);
    let (server, measured) = Server::new(core, clock, performer, layout, config, packer)?;
    let (asks, questions) = mpsc::channel(64);
    let router = router(&server.performer, &server.sessions, &server.config, asks);
    fail_point!("agent-ready");
    let channels = Channels { inputs, events, committed, prepared, questions, measured, closed };
    tokio::select! {
        result = server.serve(channels, shutdown) => result,
        () = accept(listener, router, limits) => Ok(()),
    }
}

struct Channels {
    inputs: mpsc::Receiver<Input>,
    events: mpsc::UnboundedReceiver<ContainerEvent>,
    committed: mpsc::UnboundedReceiver<Committed>,
    prepared: mpsc::UnboundedReceiver<Prepared>,
    questions: mpsc::Receiver<Ask>,
    measured: mpsc::UnboundedReceiver<Measured>,
    closed: watch::Receiver<Closed>,
}

struct Server {
    core: Agent,
    clock: Clock,
    performer: Performer,
    packer: Packer,
    layout: Layout,
    config: Config,
    effects: Vec<agent_core::Effect>,
    usages: Usages,
    disks: Disks,
    /// Whether all that can be had again went since the disk is short.
    caches_went: bool,
    sessions: Sessions,
}

impl Server {
    /// A server that has done nothing yet, and where it hears what its tasks' disks hold.
    fn new(
        core: Agent,
        clock: Clock,
        performer: Performer,
        layout: Layout,
        config: Config,
        packer: Packer,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Measured>), Error> {
        let (disks, measured) = Disks::start(config.disk_check_interval).map_err(Error::Thread)?;
        let sessions = Sessions::new(layout.supervisor.join("sessions"));
        let server = Self {
            core,
            clock,
            performer,
            layout,
            config,
            effects: Vec::new(),
            usages: Usages::default(),
            disks,
            packer,
            caches_went: false,
            sessions,
        };
        Ok((server, measured))
    }

    async fn serve(
        mut self,
        mut channels: Channels,
        shutdown: impl Future<Output = Stop>,
    ) -> Result<(), Error> {
        tokio::pin!(shutdown);
        let mut disk_watch = tokio::time::interval(self.config.disk_watch_interval);
        disk_watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut usage_watch = tokio::time::interval(usage::PERIOD);
        usage_watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut inputs, mut events) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        channels.closed.mark_changed();
        self.step(Input::Tick);
        loop {
            self.performer.perform(&mut self.effects);
            self.answer_self();
            if let Some(error) = self.performer.failure.take() {
                return Err(error);
            }
            let again = self.performer.flush();
            let deadline = self.core.deadline().map(|at| self.clock.instant(at));
            let wake = again.into_iter().chain(deadline).min();
            tokio::select! {
                stop = &mut shutdown => return self.stop(stop, &mut channels).await,
                Some(answer) = channels.committed.recv() => self.committed(answer)?,
                count = channels.events.recv_many(&mut events, BATCH) => {
                    if count == 0 {
                        events.push(ContainerEvent::Lost { reason: "its channel ended".into() });
                    }
                    for event in events.drain(..) {
                        self.container_event(event, &mut channels.events).await?;
                    }
                }
                _ = channels.inputs.recv_many(&mut inputs, BATCH), if self.performer.has_room() => {
                    self.step_all(&mut inputs);
                }
                Some(prepared) = channels.prepared.recv() => self.prepared(prepared),
                Some(ask) = channels.questions.recv() => self.answer(ask),
                Ok(()) = channels.closed.changed() => {
                    let closed = channels.closed.borrow_and_update().clone();
                    self.performer.native.close(closed);
                }
                _ = disk_watch.tick() => self.watch_disk(),
                _ = usage_watch.tick() => self.watch_usage(),
                Some(measured) = channels.measured.recv() => self.measured(measured),
                () = sleep_until(wake) => self.step(Input::Tick),
            }
        }
    }

    fn step(&mut self, input: Input) {
        self.performer.counts.steps += 1;
        self.core.step(self.clock.now(), input, &mut self.effects);
    }

    /// Launches that were refused on the way to the containerizer come back as inputs.
    fn answer_self(&mut self) {
        while !self.performer.answers.is_empty() {
            for input in std::mem::take(&mut self.performer.answers) {
                self.index(&input);
                self.step(input);
            }
            self.performer.perform(&mut self.effects);
        }
    }

    async fn container_event(
        &mut self,
        event: ContainerEvent,
        events: &mut mpsc::UnboundedReceiver<ContainerEvent>,
    ) -> Result<(), Error> {
        self.usages.note(&event);
        self.performer.whereabouts.note(&event);
        self.performer.images.note(&event);
        if let Some(input) = self.performer.note_limits(&event) {
            self.step(input);
        }
        if let Some(number) = self.sessions.note(&event) {
            self.performer.native.signal_session(number, libc::SIGKILL);
        }
        if let ContainerEvent::Lost { reason } = &event {
            tracing::error!(reason, "the supervisor is gone; starting another one");
            return self.replace_supervisor(events).await;
        }
        if let ContainerEvent::LogCut { id } = &event {
            let place = self.performer.sandboxes.of_container(id.as_str());
            place.and_then(|place| place.path).into_iter().for_each(|path| self.packer.look(path));
        }
        if let Some(input) = containers::input(event) {
            self.index(&input);
            self.step(input);
        }
        Ok(())
    }

    /// Keeps the places of files up to date; and an image is the supervisor's from its answer on.
    fn index(&mut self, input: &Input) {
        if let Input::Launched { container_id, .. } | Input::LaunchFailed { container_id, .. } =
            input
        {
            let launched = matches!(input, Input::Launched { .. });
            self.performer.preparing.release(container_id, launched);
        }
        let sandboxes = &self.performer.sandboxes;
        match input {
            Input::Launched { container_id, sandbox, .. } => {
                sandboxes.launched(container_id, sandbox.as_ref().into());
            }
            Input::LaunchFailed { container_id, .. } => sandboxes.ended(container_id, None),
            Input::Exited { container_id, exited } => {
                sandboxes.ended(container_id, exited.sandbox.as_deref().map(Into::into));
            }
            _ => {}
        }
    }

    async fn replace_supervisor(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<ContainerEvent>,
    ) -> Result<(), Error> {
        let (native, receiver) = Native::start(native_options(&self.config, &self.layout)).await?;
        let identity = supervisor_identity(native.supervisor_pid());
        fail_point!("supervisor-replaced");
        self.performer.replace_native(native, checkpoint::supervisor_change(&identity));
        *events = receiver;
        let seen = (&mut self.performer.whereabouts, &mut self.performer.images);
        let mut containers = first_report(events, seen, &self.clock).await;
        let of_docker = self.performer.native.report_docker();
        containers.extend(containers::report(of_docker, &self.clock));
        let known: BTreeSet<_> = containers.iter().map(|c| c.container_id.clone()).collect();
        self.performer.preparing.clear(&known);
        let plain = |task: &TaskView<'_>| task.executor_id.is_none() && !task.state.is_terminal();
        let tasks = self.core.tasks().filter(plain);
        let of_tasks = tasks.filter_map(|task| Some((task.container_id?, task.sandbox)));
        let executors = self.core.executors().map(|e| (e.container_id, e.sandbox));
        for (id, path) in of_tasks.chain(executors).filter(|(id, _)| !known.contains(*id)) {
            let path = path.map(|path| path.as_ref().into());
            self.performer.sandboxes.ended(id, path);
        }
        self.step(Input::Supervisor { containers });
        Ok(())
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Metrics(reply) => {
                let counts = self.performer.counts;
                let admitted = self.performer.is_admitted(&self.core);
                let (held, sums) = (self.performer.held(), self.usages.sums());
                let text = metrics::render(&self.core, admitted, counts, held, &sums);
                // Whoever asked may be gone.
                let _ = reply.send(text);
            }
            Ask::State(reply) => {
                let admitted = self.performer.is_admitted(&self.core);
                let isolation = self.performer.native.isolation();
                let started = self.clock.started();
                let state = http::state(&self.core, admitted, isolation, started, &self.config);
                let _ = reply.send(state);
            }
            Ask::Executor(asked) => self.executor_call(*asked),
            Ask::Usage(reply) => {
                let seen = (&self.usages, &self.disks, &self.performer.whereabouts);
                let _ = reply.send(http::usage(&self.core, seen, &self.clock));
            }
            Ask::Containers(reply) => drop(reply.send(http::container_views(&self.core))),
            Ask::Enter(entry) => self.performer.enter(&self.core, *entry),
            Ask::UpdateLimits(order) => self.performer.update_limits(&self.core, *order),
            Ask::SignalSession { number, signal } => {
                self.performer.native.signal_session(number, signal);
            }
            Ask::Health(reply) => {
                let _ = reply.send(http::Health {
                    registered: self.performer.is_admitted(&self.core),
                    disk_full: self.performer.counts.disk_full,
                    reserve_used: self.performer.counts.reserve_used,
                });
            }
        }
    }

    /// Stops; the tasks go on, or end.
    async fn stop(mut self, stop: Stop, channels: &mut Channels) -> Result<(), Error> {
        tracing::info!(?stop, "agent stopping");
        let limit = Instant::now() + END_LIMIT;
        if stop == Stop::KeepTasks {
            return self.write_all(limit, channels).await;
        }
        // A launch that still waits for the disk would be missed.
        self.write_all(limit, channels).await?;
        let mut living: Vec<_> = self
            .core
            .tasks()
            .filter(|task| !task.state.is_terminal() && task.executor_id.is_none())
            .filter_map(|task| task.container_id)
            .chain(self.core.executors().map(|executor| executor.container_id))
            .filter(|id| !self.performer.preparing.waits(id))
            .filter_map(|id| containers::native_id(id).ok())
            .collect();
        living.iter().for_each(|id| self.performer.native.destroy(id));
        self.performer.native.flush();
        while !living.is_empty() {
            match tokio::time::timeout_at(limit, channels.events.recv()).await {
                Ok(Some(
                    ContainerEvent::Ended { id, .. } | ContainerEvent::LaunchFailed { id, .. },
                )) => {
                    living.retain(|other| *other != id);
                }
                Ok(Some(ContainerEvent::Lost { .. }) | None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(_) => {
                    tracing::error!(tasks = living.len(), "tasks did not end in time");
                    return Ok(());
                }
            }
        }
        self.performer.remove_groups().await;
        self.performer.native.shutdown();
        while let Ok(Some(event)) = tokio::time::timeout_at(limit, channels.events.recv()).await {
            if matches!(event, ContainerEvent::Lost { .. }) {
                break;
            }
        }
        Ok(())
    }
}

impl Server {
    /// What was recorded so far becomes durable, so that the next agent has less to repeat.
    async fn write_all(&mut self, limit: Instant, channels: &mut Channels) -> Result<(), Error> {
        self.performer.perform(&mut self.effects);
        while self.performer.finish() {
            match tokio::time::timeout_at(limit, channels.committed.recv()).await {
                Ok(Some(answer)) => self.performer.committed(answer)?,
                Ok(None) | Err(_) => break,
            }
        }
        Ok(())
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
