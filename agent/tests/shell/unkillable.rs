//! F27: a process that the kernel does not let die, since it waits for a file server that took its
//! question and does not answer. Nothing is faked: the server is this test, by way of `/dev/fuse`.

use crate::rig::{Agent, Master, config, shell, soon};
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
