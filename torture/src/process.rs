//! A process of the cluster on one of its machines: started, killed, stopped, started again.

use crate::hosts::Host;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What is started, and the process that runs when there is one.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) host: Host,
    /// The program and its arguments.
    pub(crate) words: Vec<String>,
    /// Words between the namespace and the program, such as `faketime`.
    pub(crate) under: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(host: Host, words: Vec<String>, log: PathBuf) -> Self {
        Self { host, words, under: Vec::new(), variables: Vec::new(), log, child: None }
    }

    /// Starts it. It ends with the tool: its standard input is a pipe of ours.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let enter = self.host.enter();
        let mut words = enter.iter().chain(&self.under).chain(&self.words);
        let program = words.next().context("a first word")?;
        let child = Command::new(program)
            .args(words)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.child = Some(child.with_context(|| format!("cannot start {:?}", self.words))?);
        Ok(())
    }

    /// How much it has said until now.
    pub(crate) fn said(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Whether it has said one of these words since.
    pub(crate) fn has_said(&self, since: u64, words: &[&str]) -> bool {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let new = log.get(usize::try_from(since).unwrap_or(usize::MAX)..).unwrap_or_default();
        let new = String::from_utf8_lossy(new);
        words.iter().any(|word| new.contains(word))
    }

    /// Whether its last line has these words in it.
    pub(crate) fn has_ended_with(&self, words: &str) -> bool {
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().next_back().is_some_and(|last| last.contains(words))
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails when it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // Fails when it has ended by itself, which is seen elsewhere.
            let _ = kill_process(pid, signal);
        }
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_9();
    }
}
