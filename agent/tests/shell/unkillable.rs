//! F27: a process that the kernel does not let die, since it waits for a file server that took its
//! question and does not answer. Nothing is faked: the server is this test, by way of `/dev/fuse`.

use crate::rig::{Agent, Master, config, shell, soon};
use crate::survival::{kill_supervisor, until};
use agent::Stop;
use proto::{Reason, Resources, TaskState};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// `FUSE_INIT` of the kernel's interface.
const INIT: u32 = 26;
/// `FUSE_LOOKUP`.
const LOOKUP: u32 = 1;
/// Bytes of a question's head, and of an answer's.
const QUESTION: usize = 40;
const ANSWER: usize = 16;
/// Bytes of the answer to `FUSE_INIT` in version 7.31.
const INITIALIZED: usize = 64;

/// A file system whose server hears every question and answers none. Dropped, it is gone, and who
/// waited for it goes on.
struct Hung {
    mount: PathBuf,
    /// Told when somebody waits for a file.
    waits: tokio::sync::watch::Receiver<bool>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Hung {
    /// None where this machine does not let us have one, and why.
    fn mount(dir: &Path) -> Result<Self, String> {
        let path = Path::new("/dev/fuse");
        let device = File::options().read(true).write(true).open(path);
        let device = device.map_err(|error| format!("/dev/fuse: {error}"))?;
        std::fs::create_dir(dir).unwrap();
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let data = std::ffi::CString::new(data).unwrap();
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount("tepui-test", dir, "fuse", flags, data.as_c_str())
            .map_err(|error| format!("mounting it: {error}"))?;
        let (told, waits) = tokio::sync::watch::channel(false);
        let server = std::thread::spawn(move || serve(device, &told));
        Ok(Self { mount: dir.to_owned(), waits, server: Some(server) })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::FORCE | rustix::mount::UnmountFlags::DETACH;
        // Ends the connection: whoever waits gets an error.
        let _ = rustix::mount::unmount(&self.mount, flags);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// Answers that it is there, and nothing else; ends with the mount.
fn serve(mut device: File, told: &tokio::sync::watch::Sender<bool>) {
    let mut question = vec![0; 1 << 17];
    while let Ok(length) = device.read(&mut question) {
        let number = |at: usize| u32::from_le_bytes(question[at..at + 4].try_into().unwrap());
        assert!(length >= QUESTION);
        match number(4) {
            INIT => {
                let mut answer = vec![0; ANSWER + INITIALIZED];
                answer[..4].copy_from_slice(&((ANSWER + INITIALIZED) as u32).to_le_bytes());
                answer[8..16].copy_from_slice(&question[8..16]);
                // Version 7.31, and the most that is written at once.
                answer[16..20].copy_from_slice(&7u32.to_le_bytes());
                answer[20..24].copy_from_slice(&31u32.to_le_bytes());
                answer[36..40].copy_from_slice(&4096u32.to_le_bytes());
                device.write_all(&answer).unwrap();
            }
            LOOKUP => drop(told.send_replace(true)),
            _ => {}
        }
    }
}

/// The state of the process that was started for this file: `D` waits in the kernel.
fn state_of(file: &str) -> Option<char> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line == format!("cat\0{file}\0").into_bytes()
    })?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

#[tokio::test]
async fn f27_a_process_that_waits_in_the_kernel_is_shown_and_counted_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut hung = match Hung::mount(&dir.path().join("hung")) {
        Ok(hung) => hung,
        Err(why) => {
            println!("not run: {why}");
            return;
        }
    };
    let file = hung.mount.join("file").display().to_string();
    let work = dir.path().join("work");
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, &work)).await;
    let mut link = master.admit().await;
    link.start(shell("t", &format!("exec cat {file}"))).await;
    soon(hung.waits.wait_for(|waits| *waits)).await.unwrap();
    link.kill("t");
    let told = link.acknowledged().await;
    let shown = (told.state, told.reason);
    assert_eq!(shown, (TaskState::Running, Some(Reason::TaskUnkillable)), "{told:?}");
    assert_eq!(state_of(&file), Some('D'), "it was killed, and lives");
    agent.abort().await;

    // What it holds is held, also against the next agent of fewer resources.
    let mut smaller = config(&master, &work);
    smaller.resources = Some("cpus:4;mem:15;disk:1000".to_owned());
    let error = Agent::start(smaller).await.error().await.to_string();
    assert!(error.contains("task t of framework"), "{error}");
    let agent = Agent::start(config(&master, &work)).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    assert_eq!(link.tasks[0].resources, Resources::cpus_mem(10, 16_000));

    drop(hung);
    let end = link.end().await;
    assert!(end.outcome.is_some(), "its exit was seen: {end:?}");
    assert_eq!(state_of(&file), None);
    agent.stop(Stop::EndTasks).await;
}

/// Its supervisor is lost as well: the next one cannot end it either, and says so.
#[expect(clippy::print_stdout, reason = "a test that is not run says why")]
pub(crate) async fn outlives_its_supervisor(cgroups: bool) {
    let dir = tempfile::tempdir().unwrap();
    let hung = match Hung::mount(&dir.path().join("hung")) {
        Ok(hung) => hung,
        Err(why) => {
            println!("not run: {why}");
            return;
        }
    };
    let mut waits = hung.waits.clone();
    let file = hung.mount.join("file").display().to_string();
    let work = dir.path().join("work");
    let config = |master: &Master| {
        let mut config = config(master, &work);
        config.cgroups = cgroups;
        config
    };
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master)).await;
    let mut link = master.admit().await;
    link.start(shell("t", &format!("echo begun; exec cat {file}"))).await;
    link.start(shell("mortal", "exec sleep 1000")).await;
    soon(waits.wait_for(|waits| *waits)).await.unwrap();
    let run = format!("/frameworks/{}/executors/t/runs/latest", crate::rig::framework_id());
    let stdout = format!("/files/download?path={run}/stdout");
    soon(async {
        while agent.get(&stdout).await.1 != "begun\n" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    kill_supervisor(&work);
    let told = link.acknowledged().await;
    let is_told = (told.task_id.as_str(), told.state, told.reason);
    assert_eq!(is_told, ("mortal", TaskState::Failed, Some(Reason::SupervisorLost)), "{told:?}");
    let told = link.acknowledged().await;
    let is_told = (told.task_id.as_str(), told.state, told.reason);
    assert_eq!(is_told, ("t", TaskState::Running, Some(Reason::TaskUnkillable)), "{told:?}");
    assert_eq!(state_of(&file), Some('D'), "it was killed, and lives");
    // Nobody has lost sight of it: neither the agent that comes after, nor the supervisor.
    agent.abort().await;
    kill_supervisor(&work);
    let agent = Agent::start(config(&master)).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    assert_eq!(link.tasks[0].resources, Resources::cpus_mem(10, 16_000));
    assert!(!link.tasks[0].state.is_terminal(), "{:?}", link.tasks[0]);
    // Others are served meanwhile.
    let end = link.run_to_end(shell("other", "exit 5")).await;
    assert_eq!(end.task_id.as_str(), "other");

    drop(hung);
    let end = link.end().await;
    let is_told = (end.task_id.as_str(), end.state, end.reason);
    assert_eq!(is_told, ("t", TaskState::Failed, Some(Reason::SupervisorLost)), "{end:?}");
    assert_eq!(state_of(&file), None);
    assert_eq!(agent.get(&stdout).await.1, "begun\n", "what it printed is found");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn f27_one_that_outlives_its_supervisor_too_is_shown_and_counted_until_it_ends() {
    outlives_its_supervisor(false).await;
}

/// Processes that nothing in their environment tells: a first one that the kernel does not end with
/// its supervisor, and one of a session that others are known in.
#[tokio::test]
async fn what_hides_from_a_lost_supervisor_is_found_by_its_number_and_its_session() {
    if !Path::new("/usr/bin/setpriv").exists() {
        println!("not run: setpriv is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, &work)).await;
    let mut link = master.admit().await;
    // Each says its name as its last argument, and that it has begun.
    let shell_named = |name: &str| {
        let path = dir.path().join(name).display().to_string();
        format!("/bin/sh -c 'touch {path}; while :; do sleep 1000; done' {path}")
    };
    let hide = "exec env -i /usr/bin/setpriv --pdeathsig clear";
    let lines = [
        format!("{hide} {}", shell_named("alone")),
        format!("env -i {} & {} & sleep 1000", shell_named("hidden"), shell_named("marked")),
    ];
    for (id, line) in ["alone", "session"].into_iter().zip(lines) {
        link.start(shell(id, &line)).await;
    }
    let all = ["alone", "hidden", "marked"].map(|name| dir.path().join(name));
    until(|| all.iter().all(|path| path.exists())).await;
    assert!(all.iter().all(|path| is_alive(path)), "they run");
    kill_supervisor(&work);
    for _ in 0..2 {
        let end = link.end().await;
        assert_eq!(end.reason, Some(Reason::SupervisorLost), "{end:?}");
    }
    assert!(!all.iter().any(|path| is_alive(path)), "they are gone before their ends are told");
    agent.stop(Stop::EndTasks).await;
}

/// Whether a process lives that says this last.
fn is_alive(name: &Path) -> bool {
    let last = format!("\0{}\0", name.display()).into_bytes();
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = pids.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.ends_with(&last))
}
