//! The life of a fetching process: it is told what to do, gives up what it does not need, does it,
//! and says what came of it.

use crate::http;
use crate::order::{Answer, Job, MESSAGE_BYTES, Marks, Order, Source};
use crate::put::{self, Writing};
use crate::uri::Uri;
use crate::{Failure, Kind, confine};
use libc::sock_filter;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What it exits with when nobody waits for an answer.
const UNWANTED: i32 = 3;

/// Does one order, in a process that was started for it: standard input is the agent's socket,
/// standard output what may be written, standard error what may be read. `filter` is what it may ask
/// of the kernel. Must be called before any thread is made.
pub fn main(filter: &[sock_filter]) -> u8 {
    let Ok(agent) = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return 2;
    };
    let Ok(order) = read(&agent) else { return 2 };
    let answer = match work(&agent, order, filter) {
        Ok(answer) => answer,
        Err(failure) => Answer::Failed(failure),
    };
    let Ok(mut line) = serde_json::to_vec(&answer) else { return 1 };
    line.push(b'\n');
    u8::from((&agent).write_all(&line).is_err())
}

fn read(agent: &UnixStream) -> std::io::Result<Order> {
    let mut line = String::new();
    BufReader::new(agent.take(MESSAGE_BYTES)).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(std::io::Error::other)
}

fn work(agent: &UnixStream, order: Order, filter: &[sock_filter]) -> Result<Answer, Failure> {
    let own = |what: &'static str| {
        move |error: std::io::Error| {
            Failure::new(Kind::Process, format!("the fetching process: {what}: {error}"))
        }
    };
    // A session of its own: no terminal of the agent is its own.
    let _ = rustix::process::setsid();
    let Order { user, limits, job } = order;
    let output: OwnedFd =
        std::io::stdout().as_fd().try_clone_to_owned().map_err(own("its output"))?;
    let kept = std::io::stderr().as_fd().try_clone_to_owned().map_err(own("its input"))?;
    confine::bound(&limits).map_err(own("limits"))?;
    confine::become_user(user).map_err(own("becoming the user"))?;
    let (writable, readable) = match &job {
        Job::Get { .. } => (None, None),
        Job::Put { source: Source::File { root, .. }, .. } => (Some(output.as_fd()), Some(root)),
        Job::Put { .. } => (Some(output.as_fd()), None),
    };
    confine::enclose(writable, readable.map(|root| root.as_path())).map_err(own("Landlock"))?;
    confine::filter(filter).map_err(own("seccomp"))?;
    watch(agent).map_err(own("watching the agent"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(own("its runtime"))?;
    let whole = Duration::from_millis(limits.whole_ms);
    let done = runtime.block_on(async {
        let doing = async {
            match job {
                Job::Get { uri, known } => get(&uri, &known, File::from(output), &limits).await,
                Job::Put { source, name, finish } => {
                    let source = (&source, File::from(kept));
                    put::put(source, output, &name, &finish, &limits).await.map(Answer::Done)
                }
            }
        };
        let late = |_| Failure::new(Kind::Time, format!("it takes longer than {whole:?}"));
        tokio::time::timeout(whole, doing).await.map_err(late)?
    });
    // A name that is still being looked up is of no interest any more.
    runtime.shutdown_background();
    done
}

async fn get(
    uri: &str,
    known: &Marks,
    output: File,
    limits: &crate::Limits,
) -> Result<Answer, Failure> {
    let uri = Uri::parse(uri)?;
    let mut writing = Writing::new(&output, limits);
    let got = http::download(&uri, known, limits, |data| writing.write(data)).await?;
    Ok(match got {
        None => Answer::Unchanged,
        Some(marks) => Answer::Done(writing.finish(marks)),
    })
}

/// Ends the process when the agent lets go of its socket, or ends itself.
fn watch(agent: &UnixStream) -> std::io::Result<()> {
    let mut agent = agent.try_clone()?;
    let waiting = move || {
        let _ = agent.read(&mut [0]);
        std::process::exit(UNWANTED);
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(waiting).map(|_| ())
}
