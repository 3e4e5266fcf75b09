//! Measures containers with an image, all namespaces, cgroups and the filter, beside floors in the
//! same run: `enclosures [N]`, as root, with busybox installed.
//!
//! A cycle is from the order to the report of the end, with everything of the container gone.
//! Prints the middle and the 95th of 100 cycles, and how many a second with four at a time; the
//! same for plain tasks in cgroups, and for `unshare` with the same namespaces, which makes no
//! mounts and keeps nothing. Removes everything it makes.
#![allow(clippy::print_stdout)] // Its output is its purpose.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agent::containerizer::{
    Allocation, ContainerEvent, ContainerId, Containerizer, Enclosure, Launch, Native,
    NativeDefaults, NativeOptions, Program, Root, SANDBOX, SandboxChoice, WaitStatus,
};
use agent::supervisor::options::Options;
use tokio::sync::mpsc::UnboundedReceiver;

const AT_ONCE: usize = 4;
const ROUNDS: usize = 3;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("supervise".as_ref()) {
        return agent::supervisor::main(arguments).into();
    }
    let count = first.and_then(|n| n.to_str()?.parse().ok()).unwrap_or(300);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(measure(count));
    std::process::ExitCode::SUCCESS
}

async fn measure(count: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let image = image(dir.path());
    let mut bench = Bench::start(dir.path()).await;
    let kinds = [None, Some(Root::Host), Some(Root::Image(image))];
    for kind in &kinds {
        bench.many(kind.as_ref(), 20, AT_ONCE).await;
    }
    for round in 0..ROUNDS {
        println!("round {round} ({})", bench.native.isolation());
        floor("posix_spawn of true", &["/usr/bin/busybox", "true"]);
        let namespaces = [
            "unshare",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--user",
            "--map-root-user",
            "--fork",
        ];
        floor(
            "unshare, same namespaces",
            &[&namespaces[..], &["/usr/bin/busybox", "true"]].concat(),
        );
        for (name, kind) in ["plain task", "on the host's root", "on an image"].iter().zip(&kinds) {
            let mut times = Vec::new();
            for _ in 0..100 {
                let begun = Instant::now();
                bench.many(kind.as_ref(), 1, 1).await;
                times.push(begun.elapsed());
            }
            let begun = Instant::now();
            bench.many(kind.as_ref(), count, AT_ONCE).await;
            let rate = count as f64 / begun.elapsed().as_secs_f64();
            show(name, times);
            println!("    {rate:>8.0} a second, {AT_ONCE} at a time");
        }
    }
    bench.native.shutdown();
    while !matches!(bench.events.recv().await, Some(ContainerEvent::Lost { .. })) {}
}

fn show(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
    println!("  {name:<26} p50 {:.2} ms, p95 {:.2} ms", at(50), at(95));
}

fn floor(name: &str, line: &[&str]) {
    let times = (0..100).map(|_| {
        let begun = Instant::now();
        let status = Command::new(line[0]).args(&line[1..]).status();
        assert!(status.expect("it is installed").success(), "{name}");
        begun.elapsed()
    });
    show(name, times.collect());
}

fn image(dir: &Path) -> PathBuf {
    let root = dir.join("image");
    for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "mnt/mesos/sandbox"] {
        std::fs::create_dir_all(root.join(name)).expect("a fresh directory");
    }
    std::fs::copy("/usr/bin/busybox", root.join("bin/true")).expect("busybox is installed");
    root
}

struct Bench {
    native: Native,
    events: UnboundedReceiver<ContainerEvent>,
    serial: u64,
}

impl Bench {
    async fn start(dir: &Path) -> Self {
        let own = std::env::current_exe().expect("a running program has a path");
        let options = NativeOptions {
            command: vec![own.into(), OsString::from("supervise")],
            supervisor: Options {
                socket: dir.join("s"),
                dir: dir.join("supervisor"),
                sandboxes: dir.join("sandboxes"),
                name: format!("bench-{}", std::process::id()),
                away_grace: Duration::from_secs(1),
                cgroups: true,
                extras: agent::Extras::default(),
                foreground: false,
            },
            defaults: NativeDefaults { root: true, ..NativeDefaults::default() },
            logs: agent::LogPolicy::default(),
        };
        let (native, mut events) = Native::start(options).await.expect("the supervisor starts");
        events.recv().await;
        Self { native, events, serial: 0 }
    }

    fn launch(&mut self, root: Option<&Root>) {
        self.serial += 1;
        let enclosure = root.map(|root| {
            Box::new(Enclosure {
                root: root.clone(),
                read_only: false,
                hostname: "bench".into(),
                directory: SANDBOX.into(),
                mounts: Vec::new(),
                capabilities: 0,
                shm_bytes: 64 << 20,
                root_allowed: false,
                pod: None,
                devices: Vec::new(),
            })
        });
        self.native.launch(Launch {
            id: ContainerId::new(format!("bench-{}", self.serial)).expect("printable"),
            program: Program::Exec { file: "/bin/true".into(), argv: vec!["true".into()] },
            environment: Vec::new(),
            user: None,
            rlimits: Vec::new(),
            sandbox: SandboxChoice::Pooled,
            allocation: Allocation {
                cpus_milli: 1000,
                memory_bytes: Some(64 << 20),
                cpu_limit_milli: None,
                memory_soft_bytes: None,
                pids: Some(100),
                disk_bytes: None,
            },
            record: vec![0; 200],
            volumes: Vec::new(),
            enclosure,
            network: None,
            docker: None,
            identity: None,
            shared: None,
        });
    }

    /// Runs `count` tasks, `at_once` at a time, each acknowledged.
    async fn many(&mut self, root: Option<&Root>, count: usize, at_once: usize) {
        let (mut begun, mut ended) = (0, 0);
        while begun < at_once.min(count) {
            self.launch(root);
            begun += 1;
        }
        self.native.flush();
        while ended < count {
            match self.events.recv().await.expect("the supervisor lives") {
                ContainerEvent::Ended { id, ended: end } => {
                    assert_eq!(end.status, WaitStatus::Exited(0));
                    self.native.forget(&id);
                    ended += 1;
                    if begun < count {
                        self.launch(root);
                        begun += 1;
                    }
                    self.native.flush();
                }
                ContainerEvent::Launched { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
