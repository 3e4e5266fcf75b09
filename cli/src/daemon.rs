//! What all long-running components share: the runtime, the log, and the ways to be told to stop.

use crate::anew;
use crate::failure::{Code, Failure};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// After so long a component has recovered and registered; too early would only be of less use.
const STARTED: Duration = Duration::from_secs(1);

/// For a signal that has come to be heard of.
const HEARD: Duration = Duration::from_millis(10);

/// What every component takes.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DaemonOptions {
    /// What to log to standard error: error, warn, info, debug, or filters such as 'master=debug'.
    #[arg(long, env = "TEPUI_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log JSON lines rather than text.
    #[arg(long)]
    log_json: bool,
    /// Stop when standard input ends: what 'tepui up' starts must not outlive it.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    /// Stop as soon as it has started: it was told so while the former program ended for this one.
    #[arg(long, hide = true)]
    stop_at_once: bool,
}

/// Why a component ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was told to stop.
    Stop,
    /// Another release of it takes over, as this same process.
    Anew,
}

/// Runs a component until it ends by itself or is told to stop. `component` gets a future that
/// resolves when it is time to stop, and must then end in good order. At SIGUSR2 it is told so as
/// well, and the program that is at the path of this one by then takes over; with `protocol` it
/// must speak this version of it with supervisors.
pub(crate) fn run<C, F>(
    options: &DaemonOptions,
    protocol: Option<u8>,
    component: C,
) -> Result<(), Failure>
where
    C: FnOnce(Stop) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    log(options)?;
    let program = anew::own_program().map_err(|problem| Failure::new(Code::Failed, problem))?;
    let successor = Successor { program, protocol, chosen: Arc::default() };
    let chosen = Arc::clone(&successor.chosen);
    let (tell, told) = oneshot::channel();
    // One thread carries loop, connections and timers: what one hands to another wakes nobody, and
    // what comes together is taken together. A second worker cost each task of a busy cluster as
    // much again as the work itself (measured: 388 us of all components a task, 243 with one).
    let runtime = tokio::runtime::Builder::new_current_thread()
        // Few blocking calls: each idle thread would only cost memory.
        .max_blocking_threads(8)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Code::Failed, format!("cannot start threads: {e}")))?;
    let is_told = runtime.block_on(async {
        let stop = listen(options, successor, tell)?;
        tokio::spawn(async {
            tokio::time::sleep(STARTED).await;
            crate::memory::give_back_code();
        });
        component(stop).await?;
        if chosen.get().is_none() {
            return Ok::<bool, Failure>(false);
        }
        anew::let_signals_kill();
        // Of those that came before it is heard at once.
        Ok(tokio::time::timeout(HEARD, told).await.is_ok_and(|told| told.is_ok()))
    })?;
    drop(runtime);
    match chosen.get() {
        // Its caller has a sentence and an exit code for what goes on here.
        Some(program) => {
            // How a component stops, and what becomes of its tasks then, is for the new one to say.
            let more = is_told.then_some("--stop-at-once");
            Err(Failure::new(Code::Failed, anew::become_it(program, more)))
        }
        None => Ok(()),
    }
}

fn log(options: &DaemonOptions) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&options.log).map_err(|e| {
        Failure::new(Code::Usage, format!("--log '{}' is no filter: {e}", options.log))
            .next("try --log info, or --log 'master=debug,info'")
    })?;
    crate::log::start(filter, options.log_json);
    Ok(())
}

/// Resolves when the process is told to stop.
pub(crate) type Stop = std::pin::Pin<Box<dyn Future<Output = Ending> + Send>>;

/// Who takes over at SIGUSR2.
struct Successor {
    program: PathBuf,
    protocol: Option<u8>,
    /// Set when it is certain: the program.
    chosen: Arc<OnceLock<PathBuf>>,
}

impl Successor {
    /// Whether it can take over; if not, that is said, and all goes on as it was.
    async fn is_fit(&self) -> bool {
        match anew::successor(&self.program, self.protocol).await {
            Ok(version) => {
                tracing::info!(%version, "another program takes over, as this process");
                self.chosen.set(self.program.clone()).is_ok()
            }
            Err(problem) => {
                tracing::error!(%problem, "told to start anew, and goes on as it is");
                false
            }
        }
    }
}

/// `tell` says when the process is told to stop while it ends for another to take over.
fn listen(
    options: &DaemonOptions,
    successor: Successor,
    tell: oneshot::Sender<()>,
) -> Result<Stop, Failure> {
    let failed = |e: std::io::Error| Failure::new(Code::Failed, format!("signals: {e}"));
    let (with_parent, at_once) = (options.exit_with_parent, options.stop_at_once);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut anew = signal(SignalKind::user_defined2()).map_err(failed)?;
    Ok(Box::pin(async move {
        let parent_gone = async move {
            if at_once {
                return;
            }
            if !with_parent {
                return std::future::pending().await;
            }
            // A thread of its own: a blocked read cannot be cancelled, and dies with us.
            let (gone, wait) = oneshot::channel();
            std::thread::spawn(move || {
                // Whatever is written is nothing to us; the end of it is.
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                let _ = gone.send(());
            });
            let _ = wait.await;
        };
        let taken_over = async {
            loop {
                let _ = anew.recv().await;
                if successor.is_fit().await {
                    return;
                }
            }
        };
        let mut stopped = Box::pin(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = parent_gone => {}
            }
        });
        tokio::select! {
            () = &mut stopped => Ending::Stop,
            () = taken_over => {
                tokio::spawn(async move {
                    stopped.await;
                    // Without it there was no time left to hear of it.
                    let _ = tell.send(());
                });
                Ending::Anew
            }
        }
    }))
}
