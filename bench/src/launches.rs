//! Launching with three masters beside launching with one: the same job on two clusters of one
//! agent each, in turns, so that both see the same hour of the machine.
//!
//! A launch waits for no agreement of the masters: what three cost is what two more processes and
//! the signs of life take.

use crate::cluster::program;
use crate::master::{Master, free_address};
use crate::masters::{health, joined};
use crate::{stats, tasks};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Processes of one job, and how often each cluster runs it.
const TASKS: usize = 5_000;
const RUNS: usize = 7;
/// Nothing takes longer to start.
const BOUND: Duration = Duration::from_secs(60);

/// Some masters, an agent and the jobs framework.
struct Small {
    masters: Vec<Master>,
    parts: Vec<Child>,
    jobs: String,
    place: tempfile::TempDir,
}

/// Prints launches a second.
pub(crate) fn run() {
    let (one, three) = (Small::start(1), Small::start(3));
    for small in [&one, &three] {
        // The first job pays for pages, caches and connections.
        tasks::job(&small.jobs, "warm-up", 1_000);
    }
    let (mut of_one, mut of_three) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        // Who is first, is second the next time.
        for turn in [run % 2, 1 - run % 2] {
            let (small, rates) =
                if turn == 0 { (&one, &mut of_one) } else { (&three, &mut of_three) };
            rates.push(TASKS as f64 / tasks::job(&small.jobs, &format!("n{run}"), TASKS));
        }
    }
    let ratios: Vec<f64> = of_three.iter().zip(&of_one).map(|(three, one)| three / one).collect();
    let (one, three) = (stats::median(&of_one), stats::median(&of_three));
    println!(
        "{TASKS} x /bin/true, in turns (medians of {RUNS}): one master {one:.0}/s, three masters {three:.0}/s: {:.3} of it; run by run {:.3} (from {:.3} to {:.3})",
        three / one,
        stats::median(&ratios),
        stats::percentile(&ratios, 0.0),
        stats::percentile(&ratios, 1.0)
    );
}

impl Small {
    fn start(count: usize) -> Self {
        let place =
            tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
        let mut masters = vec![Master::start(&[])];
        let first = masters[0].address.clone();
        for _ in 1..count {
            masters.push(Master::join(&free_address(), &first, &[]));
            joined(&masters);
        }
        until(|| health(&first).is_some_and(|health| health["role"] == "leader"));
        let all: Vec<&str> = masters.iter().map(|master| master.address.as_str()).collect();
        let all = all.join(",");
        let (agent, jobs) = (free_address(), free_address());
        let part = |words: &[&str], dir: &str| {
            let dir = place.path().join(dir);
            spawn(words, &dir)
        };
        let agent = [
            "agent",
            "--master",
            &all,
            "--listen",
            &agent,
            "--resources",
            tasks::AGENT,
            "--no-cgroups",
            "--allow-root",
            "--work-dir",
        ];
        let serve = ["jobs", "serve", "--master", &all, "--listen", &jobs, "--data"];
        let parts = vec![part(&agent, "agent"), part(&serve, "jobs")];
        until(|| TcpStream::connect(&jobs).is_ok());
        Self { masters, parts, jobs, place }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        for part in &mut self.parts {
            // Fails only if it is gone, which `wait` tells.
            let _ = part.kill();
            let _ = part.wait();
        }
        // An agent's supervisor outlives it, as it must.
        for pid in crate::cluster::processes_of(self.place.path()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        self.masters.clear();
    }
}

fn spawn(words: &[&str], dir: &Path) -> Child {
    let mut command = Command::new(program());
    command.args(words).arg(dir).args(["--log", "error"]).stdin(Stdio::null());
    command.stdout(Stdio::null()).spawn().expect("tepui starts")
}

fn until(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < BOUND, "it does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
}
