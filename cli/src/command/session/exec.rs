//! `tepui exec`: a command in the container of a task.

use super::channel::{Channel, Records};
use super::{find, terminal};
use crate::Server;
use crate::failure::{Code, Failure};
use hyper::body::Bytes;
use proto::agent_api::{self, AttachInput, Call, ContainerPath, ProcessIo, StandardStream};
use proto::{CommandInfo, ContainerId};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes that are read at a time, and pieces of them that may wait for the agent.
const PIECE: usize = 16 << 10;
const WAITING: usize = 4;
/// How long the end of a command that takes no more input may take to arrive.
const END: Duration = Duration::from_secs(5);

/// What `tepui exec` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui exec web/0 -- ps aux             a command, and its exit code
  tepui exec -it web/0 -- sh             a shell, with this terminal
  tepui exec -i db/0 -- tar x < a.tar    what is read here is read there

It runs within the walls and limits of the task, as its user. It ends with the task, and when this
command does.")]
pub(crate) struct Options {
    /// Pass standard input on. Without it, the command reads none.
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal: this one.
    #[arg(short, long)]
    tty: bool,
    /// The framework whose task it is, where several have one of that id.
    #[arg(long, value_name = "ID")]
    framework: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JOB, JOB/INDEX when it has several units, or the id of any framework's task.
    task: String,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs the command, and passes its exit code on.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    if options.tty && options.interactive && !terminal::is_there() {
        let message = "-it wants a terminal, and standard input is none";
        return Err(Failure::new(Code::Usage, message).next("leave -t out to pass a pipe on"));
    }
    let place = find(&options.server, &options.task, options.framework.as_deref()).await?;
    let path = ContainerPath { parent: Some(place.container.clone()), id: name()? };
    let size = terminal::size().filter(|_| options.tty);
    let call = Call::LaunchNestedContainerSession {
        container: path.clone(),
        command: Box::new(command(&options)),
        terminal: options.tty.then_some(size),
    };
    // Signals are ours before the terminal is: whatever ends this command restores it.
    let mut signals = Signals::new()?;
    let (agent, output) = tokio::select! {
        opened = place.records(&call) => opened?,
        number = ending(&mut signals.ends) => return Err(Failure::exit(128 + number)),
    };
    let raw = if options.tty && options.interactive {
        let raw = terminal::Raw::begin().map_err(|error| {
            Failure::new(Code::Failed, format!("the terminal cannot be made raw: {error}"))
        })?;
        Some(raw)
    } else {
        None
    };
    let outcome = converse(agent, &path, output, &options, &mut signals).await;
    // Before a word is said.
    drop(raw);
    outcome?;
    let wait = Call::WaitContainer { container: path, nested: true };
    let waited = tokio::select! {
        waited = agent.call(&wait) => waited?,
        number = ending(&mut signals.ends) => return Err(Failure::exit(128 + number)),
    };
    let agent_api::Response::Waited { exit_status, .. } = waited else {
        return Err(Failure::other_answer());
    };
    match exit_status {
        Some(0) => Ok(()),
        Some(status) => Err(Failure::exit(code_of(status))),
        None => {
            let message = "nobody can tell how the command ended: its supervisor was lost";
            Err(Failure::new(Code::Failed, message))
        }
    }
}

/// What a shell makes of a status as wait(2) has it.
fn code_of(status: i32) -> u8 {
    let (signal, code) = (status & 0x7f, status >> 8 & 0xff);
    let code = if signal == 0 { code } else { 128 + signal };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// A name that no other session of the container has.
fn name() -> Result<ContainerId, Failure> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("exec-{}-{:x}", std::process::id(), since_epoch.as_nanos());
    ContainerId::new(name).map_err(|error| Failure::new(Code::Failed, error.to_string()))
}

fn command(options: &Options) -> CommandInfo {
    let words: Vec<Arc<str>> = options.command.iter().map(|word| Arc::from(&**word)).collect();
    let term = std::env::var("TERM").ok().filter(|_| options.tty);
    CommandInfo {
        shell: false,
        value: words.first().cloned(),
        arguments: words,
        environment: term.map(|term| (Arc::from("TERM"), term.into())).into_iter().collect(),
        ..CommandInfo::default()
    }
}

/// The signals that concern a session.
struct Signals {
    resized: Signal,
    /// Those that end this command, with their numbers.
    ends: [(u8, Signal); 4],
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let handler = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Code::Failed, format!("signals cannot be listened to: {error}"))
            })
        };
        let ends = [
            (1, handler(SignalKind::hangup())?),
            (2, handler(SignalKind::interrupt())?),
            (3, handler(SignalKind::quit())?),
            (15, handler(SignalKind::terminate())?),
        ];
        Ok(Self { resized: handler(SignalKind::window_change())?, ends })
    }
}

/// Waits for a signal that ends this command; its number.
async fn ending(signals: &mut [(u8, Signal); 4]) -> u8 {
    let [hup, int, quit, term] = signals;
    tokio::select! {
        _ = hup.1.recv() => hup.0,
        _ = int.1.recv() => int.0,
        _ = quit.1.recv() => quit.0,
        _ = term.1.recv() => term.0,
    }
}

/// Carries both ways until the command has ended.
async fn converse(
    agent: &Channel,
    path: &ContainerPath,
    mut output: Records<'_>,
    options: &Options,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let (sender, input) = mpsc::channel(WAITING);
    // There is room for the first ones.
    let _ = sender.try_send(AttachInput::Container(path.clone()));
    if options.interactive {
        read_input(sender.clone());
    } else if !options.tty {
        let _ = sender.try_send(stdin(Bytes::new()));
    }
    let giving = agent.give(input);
    tokio::pin!(giving);
    let mut is_given = false;
    // Its size may have changed since the session was asked for.
    let mut is_resized = options.tty;
    let mut lost: Option<(Failure, Instant)> = None;
    loop {
        let until = lost.as_ref().map_or_else(Instant::now, |(_, until)| *until);
        tokio::select! {
            record = output.next() => match record? {
                Some(record) => print(record)?,
                None => return Ok(()),
            },
            given = &mut giving, if !is_given => {
                is_given = true;
                // A command that has ended takes none, and its end is about to be told. One that
                // goes on would wait for ever for what was lost.
                lost = given.err().map(|failure| (failure, Instant::now() + END));
            }
            () = sleep_until(until), if lost.is_some() => {
                let (failure, _) = lost.take().unwrap_or_else(|| (Failure::other_answer(), until));
                let message = format!("the input of the session was lost: {}", failure.message);
                return Err(Failure { message, ..failure });
            }
            // However often it changes meanwhile: the last size is sent once there is room.
            room = sender.reserve(), if is_resized && !is_given => {
                is_resized = false;
                if let (Ok(room), Some(size)) = (room, terminal::size()) {
                    room.send(AttachInput::Io(ProcessIo::Resized(size)));
                }
            }
            _ = signals.resized.recv(), if options.tty => is_resized = true,
            number = ending(&mut signals.ends) => return Err(Failure::exit(128 + number)),
        }
    }
}

fn print(record: ProcessIo) -> Result<(), Failure> {
    let written = match record {
        ProcessIo::Data(StandardStream::Stderr, bytes) => io::stderr().write_all(&bytes),
        ProcessIo::Data(_, bytes) => {
            let mut out = io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())
        }
        ProcessIo::Resized(_) | ProcessIo::Heartbeat { .. } => Ok(()),
    };
    // A reader that went away ends the command, as for any Unix tool; the terminal is restored.
    written.map_err(|_| Failure::exit(0))
}

fn stdin(bytes: Bytes) -> AttachInput {
    AttachInput::Io(ProcessIo::Data(StandardStream::Stdin, bytes))
}

/// Reads standard input on a thread of its own, which nobody waits for: it may never end.
fn read_input(sender: mpsc::Sender<AttachInput>) {
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        loop {
            let n = match rustix::io::read(rustix::stdio::stdin(), &mut piece) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => {
                    crate::output::say(&format!("standard input cannot be read: {error}"));
                    0
                }
                Ok(n) => n,
            };
            let sent = sender.blocking_send(stdin(Bytes::copy_from_slice(&piece[..n])));
            if n == 0 || sent.is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::code_of;

    #[test]
    fn a_status_is_a_code_as_shells_have_it() {
        assert_eq!((code_of(0), code_of(3 << 8), code_of(9)), (0, 3, 137));
        assert_eq!(code_of(255 << 8), 255);
    }
}
