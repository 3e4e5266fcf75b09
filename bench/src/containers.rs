//! Containers on an image, with all namespaces, cgroups and the filter of system calls, through the
//! whole cluster: one after the other, from ACCEPT to TASK_FINISHED, and as many a second as it can.
//!
//! Beside them, in the same run: the floor (`walls`), plain tasks of the same cluster, and what
//! others do with the same image, where they are installed: `runc run`, and `docker run` where an
//! engine answers.

use crate::framework::{Framework, Program, block_on};
use crate::parts::{Parts, installed, is_root};
use crate::{floor, stats, tasks, walls};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const BUSYBOX: [&str; 2] = ["/usr/bin/busybox", "/bin/busybox"];
/// The image's name in the store.
const IMAGE: &str = "bench";
/// Launches one after the other, containers of one job, and how often that is run.
const CYCLES: usize = 500;
const JOB: usize = 2_000;
const RUNS: usize = 3;
/// Containers of one measurement of the floor, and how many at a time.
const FLOOR: usize = 1_000;
const AT_ONCE: usize = 4;
/// What others run: they are slower.
const OTHERS: usize = 40;
/// What we make for an engine, and remove.
const DOCKER_IMAGE: &str = "tepui-bench:walls";

/// Prints milliseconds and rates.
pub(crate) fn run() {
    if !is_root() {
        println!("containers: not measured: agents make containers as root");
        return;
    }
    let Some(busybox) = installed(&BUSYBOX) else {
        println!("containers: not measured: no busybox here (the package busybox-static has it)");
        return;
    };
    let store = tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
    let root = image(store.path(), busybox);
    floors(&root, "before");
    {
        let store = store.path().display().to_string();
        let parts = Parts::start(tasks::AGENT, &["--image-store", &store]);
        for (what, image) in [("containers", Some(IMAGE)), ("plain tasks", None)] {
            ours(&parts, what, image);
        }
    }
    runc(&root);
    docker(&root);
    floors(&root, "after");
}

/// A root file system with one program.
fn image(store: &Path, busybox: &Path) -> PathBuf {
    let root = store.join(IMAGE).join("rootfs");
    for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "mnt/mesos/sandbox"] {
        std::fs::create_dir_all(root.join(name)).expect("a fresh directory");
    }
    std::fs::copy(busybox, root.join("bin/true")).expect("it was there");
    root
}

fn floors(root: &Path, when: &str) {
    let rates = [1, AT_ONCE].map(|at_once| walls::container_rate(root, FLOOR, at_once));
    match rates {
        [Some(alone), Some(many)] => println!(
            "  floor {when} (six namespaces, pivot_root, five cgroups, exec): {:.2} ms each, {many:.0}/s {AT_ONCE} at a time",
            1e3 / alone
        ),
        _ => println!("  floor {when}: not measured: no five hierarchies of cgroups v1 to write"),
    }
}

fn ours(parts: &Parts, what: &str, image: Option<&str>) {
    let program = Program { words: &["/bin/true"], image };
    let times = block_on(async {
        let mut framework = Framework::subscribe(parts.master()).await;
        // The first ones pay for pages, caches and connections.
        let mut times = Vec::new();
        for _ in 0..CYCLES + 50 {
            times.push(framework.until_finished(program).await);
        }
        framework.teardown().await;
        times.split_off(50)
    });
    let in_image = image.map_or_else(String::new, |image| format!(r#""image":"{image}","#));
    let task = format!(r#"{in_image}{}"#, tasks::TASK);
    let rates: Vec<f64> = (0..RUNS)
        .map(|run| {
            JOB as f64
                / tasks::job_of(
                    &parts.jobs,
                    &format!("{}-{run}", image.unwrap_or("plain")),
                    JOB,
                    &task,
                )
        })
        .collect();
    println!(
        "  {what}: ACCEPT to TASK_FINISHED p50 {:.2} ms, p99 {:.2} ms ({CYCLES} launches); {:.0}/s in a job of {JOB} (median of {RUNS})",
        stats::percentile(&times, 0.5),
        stats::percentile(&times, 0.99),
        stats::median(&rates)
    );
}

/// `runc run` of a bundle with the same root, in the same number of namespaces.
fn runc(root: &Path) {
    let Some(bundle) = root.parent().filter(|_| is_installed("runc")) else {
        println!("  runc run: not measured: no runc here");
        return;
    };
    // It writes a specification with a shell, a terminal and a read-only root.
    let made = Command::new("runc").arg("spec").current_dir(bundle).status();
    assert!(made.is_ok_and(|status| status.success()), "runc spec");
    let file = bundle.join("config.json");
    let text = std::fs::read_to_string(&file).expect("runc spec made it");
    let mut spec: serde_json::Value = serde_json::from_str(&text).expect("runc writes JSON");
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = ["/bin/true"].into();
    std::fs::write(&file, spec.to_string()).expect("it was written before");
    let own = std::process::id();
    others("runc run", |number| {
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(bundle).arg(format!("tepui-bench-{own}-{number}"));
        command
    });
    // It would be an image's configuration.
    let _ = std::fs::remove_file(&file);
}

fn docker(root: &Path) {
    let quiet = |words: &[&str]| {
        let mut command = Command::new("docker");
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !quiet(&["info"]) {
        println!("  docker run: not measured: no docker engine answers here");
        return;
    }
    let tar = root.with_file_name("rootfs.tar");
    let (tar, root) = (tar.display().to_string(), root.display().to_string());
    let packed = Command::new("tar").args(["-C", &root, "-cf", &tar, "."]).status();
    assert!(packed.is_ok_and(|status| status.success()), "tar");
    assert!(quiet(&["import", &tar, DOCKER_IMAGE]), "docker import");
    others("docker run", |_| {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--network", "none", DOCKER_IMAGE, "/bin/true"]);
        command
    });
    // Ours; left behind it would only be an image of 2 MB.
    quiet(&["rmi", DOCKER_IMAGE]);
}

fn is_installed(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Some one after the other, and as many with some at a time.
fn others(what: &str, command: impl Fn(usize) -> Command + Sync) {
    let one = |number| {
        let begin = Instant::now();
        let mut command = command(number);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().is_ok_and(|status| status.success()), "{what}");
        begin.elapsed().as_secs_f64() * 1e3
    };
    let times: Vec<f64> = (0..OTHERS).map(one).collect();
    let many = floor::rate(OTHERS, AT_ONCE, |_, number| {
        one(OTHERS + number);
    });
    println!(
        "  {what}: p50 {:.1} ms, p99 {:.1} ms ({OTHERS} times); {many:.0}/s {AT_ONCE} at a time",
        stats::percentile(&times, 0.5),
        stats::percentile(&times, 0.99)
    );
}
