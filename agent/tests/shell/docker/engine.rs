//! A Docker engine of a test's own: its network, its mounts, its cgroups and its files are private,
//! and it leaves nothing.

use crate::rig::{BOUND, soon};
use bollard::Docker;
use bollard::query_parameters::{
    CreateImageOptions, ListContainersOptions, RemoveContainerOptions,
};
use futures_util::TryStreamExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Engine {
    dir: tempfile::TempDir,
    /// Holds the network and the mounts.
    holder: Child,
    daemon: Option<Child>,
    cgroup: String,
    live_restore: bool,
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // It may be gone.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Asked again until it is so, or the time of a test is over.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            // waits: between two looks at what another process does
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(wait).await;
}

impl Engine {
    pub(crate) async fn start(live_restore: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c"])
            // A containerd of the host is not ours to use: the daemon starts its own when it finds
            // none.
            .arg(
                "ip link set lo up && for d in /run/containerd /run/docker/containerd; do \
                 [ ! -d $d ] || mount -t tmpfs none $d; done && echo && exec sleep 100000",
            )
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let cgroup = format!("tepui-docker-{}-{number}", std::process::id());
        let mut engine = Self { dir, holder, daemon: None, cgroup, live_restore };
        let mut ready = [0];
        let output = engine.holder.stdout.as_mut().unwrap();
        std::io::Read::read_exact(output, &mut ready).unwrap();
        engine.run().await;
        engine.import().await;
        engine
    }

    /// Starts the daemon (again) and waits until it answers.
    pub(crate) async fn run(&mut self) {
        let path = |name: &str| self.dir.path().join(name);
        let log = std::fs::File::create(path("log")).unwrap();
        let mut daemon = Command::new("nsenter");
        daemon
            .args(["--net", "--mount", "--target", &self.holder.id().to_string(), "dockerd"])
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .args(["--cgroup-parent", &format!("/{}", self.cgroup), "--shutdown-timeout", "2"])
            .stdout(Stdio::null())
            .stderr(log);
        if self.live_restore {
            daemon.arg("--live-restore");
        }
        // Left by one that was killed.
        let _ = std::fs::remove_file(path("pid"));
        self.daemon = Some(daemon.spawn().unwrap());
        let answers = async {
            while !self.answers().await {
                // waits: for the daemon's start
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(BOUND, answers).await.is_err() {
            panic!("dockerd: {}", std::fs::read_to_string(path("log")).unwrap());
        }
    }

    /// An image of busybox, of nobody's registry.
    async fn import(&self) {
        let root = self.dir.path().join("root");
        for name in ["bin", "etc", "tmp"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in ["sh", "cat", "id", "echo", "sleep", "touch", "nc", "seq", "true", "wc"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output().unwrap();
        let options = CreateImageOptions {
            from_src: Some("-".into()),
            repo: Some("busybox".into()),
            tag: Some("1".into()),
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(tar.stdout.into());
        let api = self.api().unwrap();
        soon(api.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>())
            .await
            .unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    /// The engine itself; none before its first start.
    pub(crate) fn api(&self) -> Option<Docker> {
        let socket = self.socket();
        let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
        Docker::connect_with_unix(socket.to_str().unwrap(), 60, &version).ok()
    }

    async fn answers(&self) -> bool {
        match self.api() {
            Some(api) => api.ping().await.is_ok(),
            None => false,
        }
    }

    /// All its containers, by name.
    pub(crate) async fn containers(&self) -> Vec<String> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let all = soon(self.api().unwrap().list_containers(Some(options))).await.unwrap();
        all.into_iter().flat_map(|container| container.names.unwrap_or_default()).collect()
    }

    /// Ends the daemon without a word.
    pub(crate) fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        // It dies with its daemon, and as long as its number is there the next one waits for it.
        let file = self.dir.path().join("exec/containerd/containerd.pid");
        let pid = std::fs::read_to_string(&file).unwrap();
        signal(pid.trim().parse().unwrap(), rustix::process::Signal::KILL);
        std::fs::remove_file(file).unwrap();
    }

    /// What a program says in the engine's network.
    pub(crate) fn within(&self, arguments: &[&str]) -> String {
        let holder = self.holder.id().to_string();
        let output = Command::new("nsenter")
            .args(["--net", "--target", &holder])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends it, and looks for what is left.
    pub(crate) async fn finish(mut self) {
        assert_eq!(self.containers().await, Vec::<String>::new(), "containers are left");
        self.end();
        let path = self.dir.path().to_owned();
        until(|| processes_of(&path).is_empty()).await;
        for hierarchy in hierarchies() {
            let left = hierarchy.join(&self.cgroup);
            assert!(!left.exists(), "{} is left", left.display());
        }
    }

    fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            signal(daemon.id(), rustix::process::Signal::TERM);
            let _ = daemon.wait();
        }
        let left = processes_of(self.dir.path());
        left.iter().for_each(|pid| signal(*pid, rustix::process::Signal::KILL));
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        for hierarchy in hierarchies() {
            let own = hierarchy.join(&self.cgroup);
            for entry in std::fs::read_dir(&own).into_iter().flatten().flatten() {
                // Files go with their directory.
                let _ = std::fs::remove_dir(entry.path());
            }
            let _ = std::fs::remove_dir(own);
        }
    }
}

fn hierarchies() -> impl Iterator<Item = PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    let below = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|e| e.path());
    below.chain([root])
}

/// Processes that were started with this path.
fn processes_of(path: &Path) -> Vec<u32> {
    let path = path.as_os_str().as_encoded_bytes();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let named = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.windows(path.len()).any(|part| part == path)
    };
    pids.filter(named).filter(|pid| *pid != std::process::id()).collect()
}

impl Drop for Engine {
    /// After a failed test: nothing stays.
    fn drop(&mut self) {
        let api = self.daemon.as_ref().and_then(|_| self.api());
        let remove = async {
            let Some(api) = api else { return };
            let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
            for container in api.list_containers(Some(options)).await.unwrap_or_default() {
                let options = RemoveContainerOptions { force: true, v: true, link: false };
                let _ = api.remove_container(&container.id.unwrap(), Some(options)).await;
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let bounded = async { tokio::time::timeout(BOUND, remove).await };
                runtime.unwrap().block_on(bounded).ok();
            });
        });
        self.end();
    }
}
