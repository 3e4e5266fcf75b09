//! The life of the supervisor process: detach, lock, listen, serve, clean up.
//!
//! The command returns to its caller once the detached process listens, or with the reason why
//! it does not, so that whoever started it needs neither to poll nor to guess.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::pipe::{PipeFlags, pipe_with};

use super::cgroup::{CgroupError, Tree};
use super::enclosing;
use super::network;
use super::options::{Options, UsageError};
use super::peer;
use super::remains::{self, Remains};
use super::roll::{Entry, Roll};
use super::server::Supervisor;
use super::strays;
use super::sys::{self, Fork};

/// How long a supervisor that has stopped answering may take to end.
const HANDOVER: Duration = Duration::from_secs(5);

/// Why a supervisor does not serve.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("cannot {doing} {path}: {source}")]
    Io { doing: &'static str, path: String, source: io::Error },
    #[error("another supervisor (pid {pid}) serves {dir}; give this agent its own directory")]
    Taken {
        pid: String,
        dir: String,
        /// Whether it listens where we were to.
        listens: bool,
    },
    #[error("cannot use {0}")]
    Cgroup(CgroupError),
    #[error("a supervisor must be started before its process has threads")]
    Threads,
    #[error("{0}")]
    GaveUp(String),
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServeError {
    let path = path.display().to_string();
    move |source| ServeError::Io { doing, path, source }
}

/// Runs a supervisor with the arguments that follow the subcommand; returns the exit code:
/// 0 when it listens (or, in the foreground, has ended), 1 when it cannot, 2 for wrong usage.
///
/// To be called before the process has any thread, because it forks to detach.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|argument| argument == "--protocol").is_some() {
        // For an agent that asks whether another release may take its place.
        return u8::from(writeln!(io::stdout(), "{}", super::protocol()).is_err());
    }
    let ended = Options::from_arguments(arguments).map_err(ServeError::from).and_then(|options| {
        if sys::thread_count() > 1 {
            Err(ServeError::Threads)
        } else if options.foreground {
            sys::take_over_signals();
            serve(options, || {})
        } else {
            detach(options)
        }
    });
    let Err(error) = ended else { return 0 };
    // Nobody else would say it, and a closed stderr is not a reason to fail otherwise.
    let _ = writeln!(io::stderr(), "tepui supervise: {error}");
    if matches!(error, ServeError::Usage(_)) { 2 } else { 1 }
}

/// Forks; the parent waits until the child listens or gives up.
fn detach(options: Options) -> Result<(), ServeError> {
    let here = Path::new("this process");
    let (ready, tell) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("make a pipe for", here)(e.into()))?;
    match sys::fork().map_err(failed("fork", here))? {
        Fork::Parent => {
            drop(tell);
            let mut said = String::new();
            File::from(ready).read_to_string(&mut said).map_err(failed("hear from", here))?;
            match said.as_str() {
                "listening" => Ok(()),
                "" => Err(ServeError::GaveUp("it ended before it listened; see its log".into())),
                reason => Err(ServeError::GaveUp(reason.to_owned())),
            }
        }
        Fork::Child => {
            drop(ready);
            let mut tell = Some(File::from(tell));
            let served = background(&options).and_then(|()| {
                // The parent may have been killed meanwhile; we serve all the same.
                serve(options, || drop(tell.take().map(|mut t| t.write_all(b"listening"))))
            });
            let code = served.map_or_else(
                |error| {
                    super::log(&error.to_string());
                    // What was asked for is there: an agent that has ended meanwhile started it.
                    let is_there = matches!(error, ServeError::Taken { listens: true, .. });
                    let said = if is_there { "listening".to_owned() } else { error.to_string() };
                    drop(tell.take().map(|mut t| t.write_all(said.as_bytes())));
                    u8::from(!is_there).into()
                },
                |()| 0,
            );
            std::process::exit(code)
        }
    }
}

/// A session of our own, and the log instead of the caller's terminal.
fn background(options: &Options) -> Result<(), ServeError> {
    sys::take_over_signals();
    // Fails only for a group leader, which a fresh child is not.
    let _ = rustix::process::setsid();
    make_private_dir(&options.dir)?;
    let path = options.dir.join("supervisor.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = log.map_err(failed("open", &path))?;
    let null = File::open("/dev/null").map_err(failed("open", Path::new("/dev/null")))?;
    let redirect = || -> rustix::io::Result<()> {
        rustix::stdio::dup2_stdin(null.as_fd())?;
        rustix::stdio::dup2_stdout(log.as_fd())?;
        rustix::stdio::dup2_stderr(log.as_fd())
    };
    redirect().map_err(|e| failed("redirect to", &path)(e.into()))
}

fn make_private_dir(dir: &Path) -> Result<(), ServeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(failed("make the directory", dir))
}

/// Takes the lock, the cgroups and the socket, and serves.
fn serve(options: Options, listening: impl FnOnce()) -> Result<(), ServeError> {
    make_private_dir(&options.dir)?;
    let _lock = lock(&options)?;
    // The working directory of whoever started us may be unmounted one day.
    let _ = std::env::set_current_dir("/");
    sys::raise_descriptor_limit();
    sys::become_subreaper().map_err(failed("adopt orphans of", &options.dir))?;
    fs::create_dir_all(&options.sandboxes)
        .map_err(failed("make the directory", &options.sandboxes))?;
    let (mut tree, warning) = isolation(&options)?;
    let (mut roll, entries) =
        Roll::take(&options.dir).map_err(failed("note tasks in", &options.dir))?;
    let (mark, left) = match &mut tree {
        Some(tree) => (None, remains::of_groups(&std::mem::take(&mut tree.left), &entries)),
        None => {
            let mark = strays::mark(&options.dir);
            let mark = mark.map_err(failed("keep the mark of tasks in", &options.dir))?;
            let (killed, left) = strays::clear(&mark, &entries);
            if killed > 0 {
                super::log(&format!("killed {killed} processes that a lost supervisor left"));
            }
            (Some(mark), remains::of_processes(left, &entries))
        }
    };
    match network::clear(&options.dir) {
        Ok(false) => {}
        Ok(true) => super::log("removed port mappings of a lost supervisor"),
        Err(error) => super::log(&format!("port mappings may be left: {error}")),
    }
    enclosing::clear(&options.dir);
    let noted: Vec<Entry> = left.iter().filter_map(Remains::entry).collect();
    roll.begin(noted.iter()).map_err(failed("note tasks in", &options.dir))?;
    let listener = peer::listen(&options.socket).map_err(failed("listen on", &options.socket))?;
    let next_directory = clear_sandboxes(&options.sandboxes);
    let dir = options.dir.clone();
    let mut supervisor = Supervisor::new(options, tree, warning, listener)
        .map_err(failed("set up the loop in", &dir))?;
    supervisor.next_directory = next_directory;
    supervisor.mark = mark;
    supervisor.roll = roll;
    supervisor.inherit(left);
    super::log(&format!("listening, pid {}", std::process::id()));
    fail::fail_point!("supervisor-listens");
    listening();
    supervisor.run().map_err(failed("wait for events in", &dir))?;
    super::log("ended");
    Ok(())
}

/// The lock file, held by the process that serves a directory. It names the process and its
/// socket.
///
/// A supervisor that is ending closes its socket before its lock is free: one that no longer
/// answers is waited for.
fn lock(options: &Options) -> Result<File, ServeError> {
    let path = options.dir.join("supervisor.lock");
    let mut how = OpenOptions::new();
    how.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = how.open(&path).map_err(failed("open", &path))?;
    let until = Instant::now() + HANDOVER;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let (pid, socket) = text.split_once('\n').unwrap_or((&text, ""));
        let answers = UnixStream::connect(socket.trim_end()).is_ok();
        if answers || Instant::now() > until {
            let dir = options.dir.display().to_string();
            let listens = answers && Path::new(socket.trim_end()) == options.socket;
            return Err(ServeError::Taken { pid: pid.to_owned(), dir, listens });
        }
        // Start-up only, and the kernel has no event for it that could be bounded.
        std::thread::sleep(Duration::from_millis(2));
    }
    file.set_len(0).map_err(failed("write", &path))?;
    let text = format!("{}\n{}\n", std::process::id(), options.socket.display());
    file.write_all_at(text.as_bytes(), 0).map_err(failed("write", &path))?;
    Ok(file)
}

/// What tasks have to live with where there are none.
const WITHOUT_CGROUPS: &str = "cpu and pids limits of tasks are NOT enforced, and memory of each \
                               of their processes only (RLIMIT_DATA)";

/// cgroups if we may use them; otherwise a sentence that says what is missing.
fn isolation(options: &Options) -> Result<(Option<Tree>, Option<String>), ServeError> {
    if !options.cgroups {
        let text = format!("cgroups are switched off: {WITHOUT_CGROUPS}");
        return Ok((None, Some(text)));
    }
    match Tree::open(&options.name, options.extras) {
        Ok(tree) => {
            let lacks = tree.lacks.join(". ");
            Ok((Some(tree), Some(lacks).filter(|text| !text.is_empty())))
        }
        // Starting without limits would hide these two from the operator.
        Err(error @ (CgroupError::Taken(_) | CgroupError::Stuck(_))) => {
            Err(ServeError::Cgroup(error))
        }
        Err(error) => Ok((
            None,
            Some(format!(
                "cgroups cannot be used ({error}): {WITHOUT_CGROUPS}. Run the agent as root for \
                 real limits"
            )),
        )),
    }
}

/// Removes empty sandboxes of a former supervisor; returns a number above all that are left.
fn clear_sandboxes(sandboxes: &Path) -> u64 {
    let mut next = 0;
    for entry in fs::read_dir(sandboxes).into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        let Some(number) = number else { continue };
        // Fails, as it must, for every directory that holds something.
        if fs::remove_dir(entry.path()).is_err() {
            next = next.max(number + 1);
        }
    }
    next
}
