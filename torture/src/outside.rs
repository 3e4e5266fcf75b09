//! The process that a person starts: it makes the machines, starts the run in their midst, and
//! removes them again, however the run ends.

use crate::hosts::{Network, TOOL};
use crate::run::Options;
use anyhow::Context as _;
use std::fs::File;
use std::process::{ExitCode, Stdio};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Held while a run is under way: the names of the machines are there once.
const LOCK: &str = "/run/tepui-torture.lock";

/// Runs, and gives the exit code of the run: 0 when all held, 1 when something was violated.
pub(crate) async fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    // What is wrong with them is better said before anything is made.
    let options = Options::parse(words)?;
    let lock = File::create(LOCK).with_context(|| format!("{LOCK}: root is needed"))?;
    lock.try_lock().context("another run is under way on this machine")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let network = Network::make()?;
    let own = std::env::current_exe()?.display().to_string();
    let [program, arguments @ ..] = TOOL.enter();
    // A mount namespace of its own: the small disks go with the last process that sees them.
    let mut child = Command::new(program)
        .args(arguments)
        .args(["unshare", "--mount", "--propagation", "private", &own, "inside"])
        .args(words)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the run")?;
    // Waiting would close it, and the run ends when it is closed.
    let pipe = child.stdin.take();
    let status = tokio::select! {
        status = child.wait() => Some(status?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    child.kill().await.or_else(|error| if status.is_some() { Ok(()) } else { Err(error) })?;
    drop(pipe);
    drop(network);
    remove_data(&options)?;
    let Some(status) = status else {
        eprintln!("torture: told to stop; the machines are removed");
        return Ok(ExitCode::from(130));
    };
    Ok(status
        .code()
        .map_or(ExitCode::from(2), |code| ExitCode::from(u8::try_from(code).unwrap_or(2))))
}

/// What is left for people are the page, the history and the logs.
fn remove_data(options: &Options) -> anyhow::Result<()> {
    for name in ["data", "tasks"] {
        let dir = options.out.join(name);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
    }
    Ok(())
}
