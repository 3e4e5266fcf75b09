//! The native containerizer: command tasks, run by the supervisor process.
//!
//! It translates launches through the isolators into task specifications, and reports into
//! events. All state of a container lives in the supervisor, so that an agent which is killed and
//! comes back has nothing to rebuild here.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::isolator::{self, Defaults, Isolator};
use super::{Allocation, ContainerEvent, ContainerId, Containerizer, Launch, Limitation, Stdio};
use crate::parts::LogPolicy;
use crate::supervisor::client::{self, Client, Connected, Incoming};
use crate::supervisor::options::Options;
use crate::supervisor::task::{Closed, LaunchError, Limits, Program, TaskSpec};
use crate::supervisor::wire::{MAX_PAYLOAD, Order, Report};

pub use super::isolator::Defaults as NativeDefaults;
pub use crate::supervisor::client::StartError;

/// How to reach, or start, the supervisor.
#[derive(Debug, Clone)]
pub struct NativeOptions {
    /// Program and leading arguments that run a supervisor, such as `[current_exe, "supervise"]`.
    pub command: Vec<OsString>,
    /// What it is to serve.
    pub supervisor: Options,
    /// What the operator chose for all containers.
    pub defaults: NativeDefaults,
    /// How what tasks print is cut into parts.
    pub logs: LogPolicy,
}

/// Command tasks in cgroups (or, where these are not permitted, in process groups).
pub struct Native {
    client: Client,
    isolators: Vec<Box<dyn Isolator>>,
    defaults: Defaults,
    events: mpsc::UnboundedSender<ContainerEvent>,
    supervisor_pid: u32,
    isolation: String,
    warning: Option<String>,
    shares: Shares,
    closed: Closed,
}

/// What launches have in common, as far as the supervisor keeps it for those to come.
#[derive(Default)]
struct Shares {
    told: VecDeque<(u64, Arc<[u8]>)>,
    next: u64,
}

/// What is used by more turns is told again now and then.
const SHARES: usize = 64;

impl Shares {
    /// The number of these bytes, told to the supervisor when they are new; none if they are
    /// larger than it takes.
    fn key(&mut self, bytes: &Arc<[u8]>, client: &mut Client) -> Option<u64> {
        if let Some((key, _)) = self.told.iter().find(|(_, known)| Arc::ptr_eq(known, bytes)) {
            return Some(*key);
        }
        let key = self.next;
        if !client.queue(&Order::Share { key, bytes: Arc::clone(bytes) }) {
            return None;
        }
        self.next += 1;
        if self.told.len() == SHARES
            && let Some((key, _)) = self.told.pop_front()
        {
            client.queue(&Order::Unshare { key });
        }
        self.told.push_back((key, Arc::clone(bytes)));
        Some(key)
    }
}

impl Native {
    /// Connects to the supervisor, starting it if none serves the directory. The first event is
    /// `Recovered`, also when nothing was running.
    pub async fn start(
        options: NativeOptions,
    ) -> Result<(Self, mpsc::UnboundedReceiver<ContainerEvent>), StartError> {
        let Connected { mut client, welcome, recovered, incoming } =
            client::start(&options.command, &options.supervisor).await?;
        // Before any launch; the logs of what runs already as well.
        client.queue(&Order::Logs(options.logs));
        client.flush();
        if let Some(warning) = &welcome.warning {
            tracing::warn!(isolation = %welcome.isolation, "{warning}");
        }
        let wanted = options.supervisor.cgroups && options.supervisor.extras.pin_cpus;
        if wanted != welcome.isolation.contains("cpuset") && welcome.warning.is_none() {
            let isolation = &welcome.isolation;
            tracing::warn!(%isolation, "--cpuset changes with the next supervisor: when no task runs");
        }
        let (events, receiver) = mpsc::unbounded_channel();
        // The receiver is in our hand, so this cannot fail.
        let _ = events.send(ContainerEvent::Recovered(recovered));
        tokio::spawn(translate(incoming, events.clone(), welcome.pid));
        let native = Self {
            client,
            isolators: isolator::standard(options.defaults),
            defaults: options.defaults,
            events,
            supervisor_pid: welcome.pid,
            isolation: welcome.isolation,
            warning: welcome.warning,
            shares: Shares::default(),
            closed: Closed::default(),
        };
        Ok((native, receiver))
    }

    /// Where its events go, for others that tell the same agent.
    pub(crate) fn events(&self) -> mpsc::UnboundedSender<ContainerEvent> {
        self.events.clone()
    }

    /// The supervisor's process id, for display.
    pub fn supervisor_pid(&self) -> u32 {
        self.supervisor_pid
    }

    /// How containers are kept apart here, such as `cgroup v1 (cpu cpuacct memory pids freezer)`.
    pub fn isolation(&self) -> &str {
        &self.isolation
    }

    /// What is missing on this machine, in a sentence for the operator.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Has networks of tasks, those that run as well, not lead there from now on.
    pub fn close(&mut self, closed: Closed) {
        self.client.queue(&Order::Close(closed.clone()));
        self.client.flush();
        self.closed = closed;
    }

    /// What was closed last.
    pub(crate) fn closed(&self) -> &Closed {
        &self.closed
    }

    /// Asks the supervisor to exit. It does so only when nothing runs; `Lost` follows.
    pub fn shutdown(&mut self) {
        self.client.queue(&Order::Shutdown);
        self.client.flush();
    }
}

/// What a launch says before any isolator has looked at it.
pub(super) fn bare_spec(launch: &Launch) -> TaskSpec {
    TaskSpec {
        id: launch.id.clone(),
        program: launch.program.clone(),
        environment: Vec::new(),
        credentials: None,
        rlimits: Vec::new(),
        sandbox: launch.sandbox.clone(),
        limits: Limits::default(),
        volumes: launch.volumes.clone(),
        enclosure: launch.enclosure.clone(),
        network: launch.network.clone(),
        record: launch.record.clone(),
        shared: None,
    }
}

fn check_program(program: &Program) -> Result<(), LaunchError> {
    let (text, argv): (&str, &[String]) = match program {
        Program::Shell(line) => (line, &[]),
        Program::Exec { file, argv } => (file, argv),
    };
    if text.is_empty() {
        return Err(LaunchError::Impossible("the command is empty".into()));
    }
    if text.contains('\0') || argv.iter().any(|argument| argument.contains('\0')) {
        return Err(LaunchError::Impossible("the command contains a NUL byte".into()));
    }
    Ok(())
}

impl Native {
    fn queue_launch(&mut self, launch: &Launch, mut spec: TaskSpec) -> Result<(), LaunchError> {
        let too_large = || {
            let most = MAX_PAYLOAD >> 20;
            LaunchError::Impossible(format!("its description is larger than {most} MB"))
        };
        if let Some(bytes) = &launch.shared {
            let key = self.shares.key(bytes, &mut self.client);
            spec.shared = Some(key.ok_or_else(too_large)?);
        }
        let fits = self.client.queue(&Order::Launch(Box::new(spec)));
        if fits { Ok(()) } else { Err(too_large()) }
    }
}

impl Native {
    /// Orders a program beside a container.
    fn queue_beside(
        &mut self,
        launch: &Launch,
        order: impl FnOnce(Box<TaskSpec>) -> Order,
    ) -> Result<(), LaunchError> {
        let mut spec = TaskSpec { record: Vec::new(), ..bare_spec(launch) };
        check_program(&launch.program)?;
        self.isolators.iter().try_for_each(|isolator| isolator.prepare(launch, &mut spec))?;
        let fits = self.client.queue(&order(Box::new(spec)));
        fits.then_some(()).ok_or_else(|| LaunchError::Impossible("it is too large".into()))
    }
}

impl Containerizer for Native {
    fn launch(&mut self, launch: Launch) {
        let mut spec = bare_spec(&launch);
        let prepared = check_program(&launch.program).and_then(|()| {
            self.isolators.iter().try_for_each(|isolator| isolator.prepare(&launch, &mut spec))
        });
        let queued = prepared.and_then(|()| self.queue_launch(&launch, spec));
        if let Err(error) = queued {
            // A closed channel means that the agent is going away.
            let _ = self.events.send(ContainerEvent::LaunchFailed { id: launch.id, error });
        }
    }

    fn update(&mut self, id: &ContainerId, allocation: Allocation) {
        let limits = isolator::limits_of(&allocation, self.defaults);
        self.client.queue(&Order::Update { id: id.clone(), limits });
    }

    fn signal(&mut self, id: &ContainerId, signal: i32) {
        self.client.queue(&Order::Signal { id: id.clone(), signal });
    }

    fn kill(&mut self, id: &ContainerId, grace: Duration) {
        self.client.queue(&Order::Kill { id: id.clone(), grace });
    }

    fn destroy(&mut self, id: &ContainerId) {
        self.client.queue(&Order::Kill { id: id.clone(), grace: Duration::ZERO });
    }

    fn look(&mut self, launch: Launch, number: u64, timeout: Duration) {
        let order = |spec| Order::Look { number, timeout, spec };
        if let Err(error) = self.queue_beside(&launch, order) {
            // A closed channel means that the agent is going away.
            let looked = ContainerEvent::Looked { id: launch.id, number, result: Err(error) };
            let _ = self.events.send(looked);
        }
    }

    fn enter(&mut self, launch: Launch, number: u64, stdio: Stdio) {
        let order = |spec| Order::Enter { number, stdio, spec };
        if let Err(error) = self.queue_beside(&launch, order) {
            // A closed channel means that the agent is going away.
            let entered = ContainerEvent::Entered { id: launch.id, number, result: Err(error) };
            let _ = self.events.send(entered);
        }
    }

    fn signal_session(&mut self, number: u64, signal: i32) {
        self.client.queue(&Order::SignalSession { number, signal });
    }

    fn usage(&mut self, id: &ContainerId) {
        self.client.queue(&Order::Usage { id: id.clone() });
    }

    fn exceeded(&mut self, id: &ContainerId, limitation: Limitation) {
        self.client.queue(&Order::Exceeded { id: id.clone(), limitation });
    }

    fn sample(&mut self, all: bool) {
        self.client.queue(&Order::Sample { all });
    }

    fn forget(&mut self, id: &ContainerId) {
        self.client.queue(&Order::Forget { id: id.clone() });
    }

    fn flush(&mut self) {
        self.client.flush();
    }
}

/// Turns reports into events until the supervisor is gone.
async fn translate(
    incoming: Incoming,
    events: mpsc::UnboundedSender<ContainerEvent>,
    supervisor: u32,
) {
    let deliver = |report| {
        if let Some(event) = event_of(report) {
            // A closed channel means that the agent is going away; the connection follows.
            let _ = events.send(event);
        }
    };
    incoming.deliver(deliver).await;
    let reason = format!("the connection to the supervisor (pid {supervisor}) has closed");
    let _ = events.send(ContainerEvent::Lost { reason });
}

fn event_of(report: Report) -> Option<ContainerEvent> {
    Some(match report {
        Report::Launched { id, launched } => ContainerEvent::Launched { id, launched },
        Report::LaunchFailed { id, error } => ContainerEvent::LaunchFailed { id, error },
        Report::Ended { id, ended } => ContainerEvent::Ended { id, ended: *ended },
        Report::Usage { id, usage } => ContainerEvent::Usage { id, usage },
        Report::LogCut { id } => ContainerEvent::LogCut { id },
        Report::Looked { id, number, result } => ContainerEvent::Looked { id, number, result },
        Report::Entered { id, number, result } => ContainerEvent::Entered { id, number, result },
        Report::Left { number, status } => ContainerEvent::Left { number, status },
        Report::Sampled { begun_boot_ns, usages, complete } => {
            ContainerEvent::Sampled { begun_boot_ns, usages, complete }
        }
        Report::Updated { id, problem } => ContainerEvent::Updated { id, problem },
        Report::ShutdownRefused { running } => {
            tracing::warn!(running, "the supervisor stays: tasks are running");
            return None;
        }
        other @ (Report::Welcome { .. }
        | Report::Shared { .. }
        | Report::Known { .. }
        | Report::Complete
        | Report::Refused { .. }) => {
            tracing::error!(?other, "report out of place");
            return None;
        }
    })
}
