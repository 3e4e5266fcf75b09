//! One fetching process: started, told, listened to, and gone when nobody waits for it.

use fetch::{Answer, Failure, Fetched, Kind, MESSAGE_BYTES, Order};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;

/// How much longer than it has itself a process is waited for.
const LATER: Duration = Duration::from_secs(5);
/// What is shown of a process' words: it reads strangers.
const SHOWN: usize = 600;
/// Where certificates are, if the operator says so. No other variable is the process' business.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// How a process is started.
pub(super) struct Program {
    command: Vec<OsString>,
}

fn own(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Process, format!("the fetching process: {what}: {error}"))
}

impl Program {
    pub(super) fn new(command: Vec<OsString>) -> Self {
        Self { command }
    }

    /// Has an order done: what was fetched, or nothing when it is as it was.
    pub(super) async fn run(
        &self,
        order: &Order,
        output: File,
        kept: Option<File>,
    ) -> Result<Option<Fetched>, Failure> {
        let whole = Duration::from_millis(order.limits.whole_ms).saturating_add(LATER);
        match tokio::time::timeout(whole, self.answer(order, output, kept)).await {
            Ok(answer) => match answer? {
                Answer::Done(fetched) => Ok(Some(fetched)),
                Answer::Unchanged => Ok(None),
                Answer::Failed(failure) => Err(plain(failure)),
            },
            Err(_) => Err(Failure::new(Kind::Time, "the fetching process does not end")),
        }
    }

    async fn answer(
        &self,
        order: &Order,
        output: File,
        kept: Option<File>,
    ) -> Result<Answer, Failure> {
        let (ours, theirs) =
            std::os::unix::net::UnixStream::pair().map_err(|error| own("its socket", &error))?;
        ours.set_nonblocking(true).map_err(|error| own("its socket", &error))?;
        let mut ours = UnixStream::from_std(ours).map_err(|error| own("its socket", &error))?;
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::new(Kind::Process, "this agent has no fetching program"))?;
        let known = VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        // Dropped when the launch is: then it is killed.
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(known)
            .stdin(OwnedFd::from(theirs))
            .stdout(output)
            .stderr(kept.map_or_else(Stdio::null, Stdio::from))
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| own("starting it", &error))?;
        let mut line = serde_json::to_vec(order).unwrap_or_default();
        line.push(b'\n');
        let mut answer = Vec::new();
        let talked = async {
            ours.write_all(&line).await?;
            (&mut ours).take(MESSAGE_BYTES).read_to_end(&mut answer).await
        };
        let talked = talked.await;
        let status = child.wait().await.map_err(|error| own("waiting for it", &error))?;
        match serde_json::from_slice(&answer) {
            Ok(answer) => Ok(answer),
            Err(_) => {
                let why = talked.err().map(|error| format!(": {error}")).unwrap_or_default();
                let problem = format!("the fetching process said nothing ({status}){why}");
                Err(Failure::new(Kind::Process, problem))
            }
        }
    }
}

/// A failure whose words can be shown.
fn plain(mut failure: Failure) -> Failure {
    let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
    failure.problem = failure.problem.chars().take(SHOWN).map(shown).collect();
    failure
}
