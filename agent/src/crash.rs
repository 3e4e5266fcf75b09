//! Places where a test ends a process of ours as the kernel would: by SIGKILL, in the middle of what
//! it does, once. Only with the feature `failpoints`, which nothing but tests has.

use rustix::process::{Signal, getpid, kill_process};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Places in the agent, from its start to the collection of a sandbox.
pub const AGENT: [&str; 15] = [
    "checkpoint-loaded",
    "supervisor-at-hand",
    "agent-ready",
    "launch-taken",
    "launch-ordered",
    "launch-heard",
    "commit-begins",
    "commit-durable",
    "update-sent",
    "kill-ordered",
    "end-heard",
    "forget-ordered",
    "collect-begins",
    "sandbox-removed",
    "supervisor-replaced",
];

/// Places in the supervisor.
pub const SUPERVISOR: [&str; 19] = [
    "supervisor-listens",
    "berth-made",
    "limits-set",
    "network-linked",
    "ports-mapped",
    "berth-prepared",
    "walls-raised",
    "task-started",
    "launch-told",
    "kill-taken",
    "killed-hard",
    "child-reaped",
    "remains-killed",
    "end-concluded",
    "ports-unmapped",
    "end-told",
    "berth-vacated",
    "forget-taken",
    "socket-removed",
];

/// Places in the agent on the ways of images, groups, fetched files and custom executors.
pub const AGENT_KINDS: [&str; 7] = [
    "image-held",
    "group-made",
    "files-moved",
    "executor-subscribed",
    "executor-told",
    "executor-end-told",
    "group-put-away",
];

/// Places in the supervisor on the ways of images and groups: layers, mounts, and what the tasks of
/// a group share.
pub const SUPERVISOR_KINDS: [&str; 5] =
    ["layer-made", "mounts-made", "pod-made", "pod-left", "layer-discarded"];

/// Places in the agent on the way to a container of Docker.
pub const DOCKER: [&str; 3] = ["docker-recorded", "docker-created", "docker-started"];

/// The variable that names a place, which arrival there is meant, and a file that says that it
/// happened: `PLACE:NUMBER:FILE`. Who finds the file there goes on.
pub const VARIABLE: &str = "TEPUI_CRASH";

/// The variable that has a process speak this version of the supervisor's protocol.
pub const PROTOCOL: &str = "TEPUI_TEST_PROTOCOL";

/// What that variable says.
pub(crate) fn protocol() -> Option<u8> {
    static SAID: OnceLock<Option<u8>> = OnceLock::new();
    *SAID.get_or_init(|| std::env::var(PROTOCOL).ok()?.parse().ok())
}

/// Prepares what the variable asks for; nothing without it.
///
/// # Panics
/// If the variable cannot be read, or names a place that does not exist: the test is wrong.
pub fn arm() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let mut parts = text.splitn(3, ':');
    let (Some(place), Some(number), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        panic!("{VARIABLE} should be PLACE:NUMBER:FILE, not {text:?}");
    };
    let plain = AGENT.iter().chain(&SUPERVISOR).chain(&DOCKER);
    let known = plain.chain(&AGENT_KINDS).chain(&SUPERVISOR_KINDS).any(|known| *known == place);
    assert!(known, "no place {place:?}");
    let number: u32 = number.parse().unwrap_or_else(|_| panic!("no number: {number:?}"));
    let (file, arrivals) = (PathBuf::from(file), AtomicU32::new(0));
    let die = move || {
        let is_it = arrivals.fetch_add(1, Ordering::Relaxed) + 1 == number;
        if !is_it {
            return;
        }
        if let Ok(mut said) = OpenOptions::new().write(true).create_new(true).open(&file) {
            // Who it was: the test looks whether it is really gone.
            let _ = write!(said, "{}", getpid());
            // Nothing after it is reached.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    fail::cfg_callback(place, die).unwrap_or_else(|error| panic!("{place}: {error}"));
}
