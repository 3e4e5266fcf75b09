//! A new release in the place of this one: at SIGUSR2 a component ends in good order and executes
//! the program that is at its own path by then, with the same arguments, as the same process.
//!
//! What cannot take over is found before anything ends, and this release goes on.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Saying its version takes a program a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The path at which this program was when it was started; later it may be another's.
pub(crate) fn own_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("cannot find the own program: {error}"))
}

/// The version of the program that would take over.
///
/// # Errors
/// Why it cannot, as a clause. `protocol` is the one that it must speak with supervisors, if it
/// will have one: tasks are with a supervisor of this release, which goes on.
pub(crate) async fn successor(program: &Path, protocol: Option<u8>) -> Result<String, String> {
    let version = answer(program, &["--version"]).await?;
    let Some(own) = protocol else { return Ok(version) };
    let theirs = answer(program, &["supervise", "--protocol"]).await;
    let Some(theirs) = theirs.ok().and_then(|said| said.parse::<u8>().ok()) else {
        return Err(format!("{version} does not say which protocol it speaks with supervisors"));
    };
    if theirs != own {
        return Err(format!(
            "{version} speaks protocol version {theirs} with supervisors, and tasks are with one \
             that speaks {own}: drain the agent (tepui drain), and start the new release when \
             nothing runs"
        ));
    }
    Ok(version)
}

async fn answer(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let name = program.display();
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{name} cannot be executed: {error}")),
        Err(_) => return Err(format!("{name} says no version in {} s", PATIENCE.as_secs())),
    };
    if !output.status.success() {
        let words = arguments.join(" ");
        return Err(format!("{name} {words} ends with {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// From now on SIGTERM and SIGINT kill this process, as they do any program that is not ready for them
/// yet: nobody would hear of them, and nobody must be told to stop for nothing.
pub(crate) fn let_signals_kill() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the action is the kernel's own, and no handler of ours is run by it.
        #[allow(unsafe_code, reason = "no crate here sets a signal's action back")]
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Becomes that program, with what is said to this one and perhaps something more. Returns only if
/// that is impossible, with the reason.
pub(crate) fn become_it(program: &Path, more: Option<&str>) -> String {
    let mut words = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    let error = command.args(words).args(more).exec();
    format!("cannot execute {}: {error}", program.display())
}
