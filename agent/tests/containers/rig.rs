//! A work directory with a supervisor of its own, and waiting for events with a bound.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agent::containerizer::{
    Allocation, ContainerEvent, ContainerId, Containerizer, Ended, Launch, Launched, Native,
    NativeDefaults, NativeOptions, Program, Recovered, SandboxChoice, SandboxFate,
};
use agent::supervisor::options::{Extras, Options};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::left::{self, Marks};

/// Nothing here takes a fraction of this, even on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What a supervisor is started with, and where.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) options: NativeOptions,
    /// Whether another one has tasks with links in this test's network.
    pub(crate) shares_network: bool,
}

impl Rig {
    pub(crate) fn new(cgroups: bool) -> Self {
        Self::within(tempfile::tempdir().unwrap(), cgroups)
    }

    /// With all that it writes in this directory.
    pub(crate) fn within(dir: tempfile::TempDir, cgroups: bool) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let options = NativeOptions {
            command: vec![env!("CARGO_BIN_EXE_supervise").into()],
            supervisor: Options {
                socket: dir.path().join("s"),
                dir: dir.path().join("supervisor"),
                sandboxes: dir.path().join("sandboxes"),
                name: format!("test-{}-{number}", std::process::id()),
                away_grace: Duration::from_secs(30),
                cgroups,
                extras: Extras::default(),
                foreground: false,
            },
            defaults: NativeDefaults { root: true, ..NativeDefaults::default() },
            logs: agent::LogPolicy::default(),
        };
        Self { dir, options, shares_network: false }
    }

    /// A rig with cgroups, or `None` with the reason on the test's output.
    pub(crate) fn with_cgroups() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            Some(Self::new(true))
        } else {
            println!(
                "not run: cgroups need root, and this is uid {:?}",
                rustix::process::geteuid()
            );
            None
        }
    }

    pub(crate) async fn agent(&self) -> Agent {
        let (native, mut events) = Native::start(self.options.clone()).await.unwrap();
        let first = tokio::time::timeout(BOUND, events.recv()).await.unwrap().unwrap();
        let ContainerEvent::Recovered(recovered) = first else { panic!("first event: {first:?}") };
        Agent { native, events, recovered, seen: Vec::new() }
    }

    /// The directory of this rig's cgroup in one v1 hierarchy, or with no name in the v2 one.
    pub(crate) fn cgroup(&self, controller: &str) -> PathBuf {
        PathBuf::from("/sys/fs/cgroup")
            .join(controller)
            .join("tepui")
            .join(&self.options.supervisor.name)
    }

    /// Ends the supervisor and checks that it leaves nothing of ours behind.
    pub(crate) async fn finish(self, mut agent: Agent) {
        let supervisor = agent.native.supervisor_pid();
        crate::leaks::check(self.dir.path(), supervisor);
        agent.native.shutdown();
        agent.until(|event| matches!(event, ContainerEvent::Lost { .. })).await;
        let lock = self.options.supervisor.dir.join("supervisor.lock");
        // The connection closes before the cgroups are removed; the lock is given up last.
        let lock = std::fs::File::open(lock).unwrap();
        let locked = move || rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive);
        tokio::time::timeout(BOUND, tokio::task::spawn_blocking(locked))
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(!self.options.supervisor.socket.exists());
        let more = ["systemd", "unified", "cpuset", "blkio", "devices"];
        for controller in ["", "cpu", "cpuacct", "memory", "pids", "freezer"].iter().chain(&more) {
            assert!(!self.cgroup(controller).exists(), "{controller} cgroup is left");
        }
    }
}

impl Drop for Rig {
    /// Whatever the test did, nothing of it is left.
    fn drop(&mut self) {
        self.clear();
        if !std::thread::panicking() {
            Marks::new(self.dir.path(), &self.options.supervisor.name).assert_gone();
            if !self.shares_network {
                left::assert_no_links();
            }
        }
    }
}

impl Rig {
    /// After a failed test: ends the supervisor, and lets another clear what it leaves.
    fn clear(&mut self) {
        let options = &mut self.options.supervisor;
        let served = std::os::unix::net::UnixStream::connect(&options.socket).is_ok();
        let lock = std::fs::read_to_string(options.dir.join("supervisor.lock")).unwrap_or_default();
        let pid = lock.lines().next().and_then(|line| line.parse().ok());
        let Some(pid) = pid.and_then(rustix::process::Pid::from_raw).filter(|_| served) else {
            return;
        };
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        options.away_grace = Duration::ZERO;
        options.foreground = true;
        let mut clear = std::process::Command::new(&self.options.command[0]);
        let _ = clear.args(options.to_arguments()).status();
    }
}

/// An agent's end of the containerizer.
pub(crate) struct Agent {
    pub(crate) native: Native,
    pub(crate) events: UnboundedReceiver<ContainerEvent>,
    pub(crate) recovered: Vec<Recovered>,
    seen: Vec<ContainerEvent>,
}

pub(crate) fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

pub(crate) fn shell(name: &str, line: &str) -> Launch {
    Launch {
        id: id(name),
        program: Program::Shell(line.into()),
        environment: Vec::new(),
        user: None,
        rlimits: Vec::new(),
        sandbox: SandboxChoice::Pooled,
        allocation: Allocation {
            cpus_milli: 1000,
            memory_bytes: None,
            cpu_limit_milli: None,
            memory_soft_bytes: None,
            pids: None,
            disk_bytes: None,
        },
        volumes: Vec::new(),
        enclosure: None,
        network: None,
        docker: None,
        identity: None,
        record: name.as_bytes().to_vec(),
        shared: None,
    }
}

impl Agent {
    /// The first event that fits; others are kept for later calls.
    pub(crate) async fn until(&mut self, fits: impl Fn(&ContainerEvent) -> bool) -> ContainerEvent {
        if let Some(at) = self.seen.iter().position(&fits) {
            return self.seen.remove(at);
        }
        let wait = async {
            loop {
                let event = self.events.recv().await.expect("the event channel has closed");
                if fits(&event) {
                    return event;
                }
                self.seen.push(event);
            }
        };
        tokio::time::timeout(BOUND, wait).await.expect("no such event in time")
    }

    pub(crate) async fn launched(&mut self, launch: Launch) -> Launched {
        let id = launch.id.clone();
        self.native.launch(launch);
        self.native.flush();
        let about = |event: &ContainerEvent| match event {
            ContainerEvent::Launched { id: of, .. }
            | ContainerEvent::LaunchFailed { id: of, .. } => *of == id,
            _ => false,
        };
        match self.until(about).await {
            ContainerEvent::Launched { launched, .. } => launched,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ended(&mut self, id: &ContainerId) -> Ended {
        let about =
            |e: &ContainerEvent| matches!(e, ContainerEvent::Ended { id: of, .. } if of == id);
        match self.until(about).await {
            ContainerEvent::Ended { ended, .. } => ended,
            other => panic!("{other:?}"),
        }
    }

    /// Launches, waits for the end, forgets.
    pub(crate) async fn run(&mut self, launch: Launch) -> Ended {
        let id = launch.id.clone();
        self.launched(launch).await;
        let ended = self.ended(&id).await;
        self.native.forget(&id);
        self.native.flush();
        ended
    }
}

/// A file of an ended task's sandbox; empty if there is none.
pub(crate) fn file_of(ended: &Ended, name: &str) -> Vec<u8> {
    match &ended.sandbox {
        SandboxFate::Kept(path) => std::fs::read(path.join(name)).unwrap_or_default(),
        SandboxFate::Empty => Vec::new(),
    }
}

/// Waits until the file holds something.
pub(crate) async fn filled(path: PathBuf) -> String {
    let wait = async {
        loop {
            match tokio::fs::read_to_string(&path).await {
                Ok(text) if text.ends_with('\n') => return text,
                // waits: between two looks at a file that a task writes
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("the file stays empty")
}
