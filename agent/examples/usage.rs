//! Measures what an agent and its supervisor cost while tasks do nothing: processor time, with the
//! usage of all tasks looked at every second as ever.
//!
//! `usage [TASKS [SECONDS]] [--no-cgroups]`: an agent in this process, with a scripted master, runs
//! TASKS (1000) that sleep. Needs root for cgroups. It leaves nothing behind.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]
#![allow(clippy::unwrap_used, reason = "a measurement that goes wrong ends")]

#[path = "../tests/shell/rig.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod rig;

use agent::Stop;
use proto::{CommandInfo, Resources, TaskInfo, TaskState};
use rig::{Agent, Master, command, config};
use std::path::Path;
use std::time::{Duration, Instant};

fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "supervise") {
        return agent::supervisor::main(arguments.into_iter().skip(1)).into();
    }
    let mut numbers = arguments.iter().filter_map(|word| word.to_str()?.parse::<u64>().ok());
    let tasks = numbers.next().unwrap_or(1000);
    let seconds = numbers.next().unwrap_or(20);
    let cgroups = !arguments.iter().any(|word| word == "--no-cgroups");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(tasks, Duration::from_secs(seconds), cgroups));
    std::process::ExitCode::SUCCESS
}

fn sleeper(number: u64) -> TaskInfo {
    let argument = |text: &str| text.into();
    let info = CommandInfo {
        value: Some("/bin/sleep".into()),
        arguments: vec![argument("sleep"), argument("100000")],
        ..CommandInfo::default()
    };
    TaskInfo { resources: Resources::cpus_mem(1, 4_000), ..command(&format!("t{number}"), info) }
}

/// Processor time of a process, from its own clock.
fn cpu_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Processor time of this process, all threads: agent and scripted master.
fn own_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn supervisor(work_dir: &Path) -> u32 {
    let lock = std::fs::read_to_string(work_dir.join("supervisor/supervisor.lock")).unwrap();
    lock.lines().next().unwrap().parse().unwrap()
}

async fn measure(tasks: u64, time: Duration, cgroups: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.resources = Some("cpus:100;mem:100000;disk:1000".to_owned());
    config.cgroups = cgroups;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    agent.registered().await;
    for number in 0..tasks {
        link.run(vec![sleeper(number)]);
        assert_eq!(link.acknowledged().await.state, TaskState::Running);
    }
    let (_, state) = agent.get("/state").await;
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    println!("{tasks} tasks that sleep, {}", state["isolation"].as_str().unwrap());
    // waits: until every task has gone to sleep and been looked at in full once
    tokio::time::sleep(Duration::from_secs(3)).await;
    let pid = supervisor(dir.path());
    let before = (Instant::now(), own_time(), cpu_time(pid));
    // waits: the measured time
    tokio::time::sleep(time).await;
    let wall = before.0.elapsed().as_secs_f64();
    let part = |used: Duration| 100.0 * used.as_secs_f64() / wall;
    let (agents, supervisors) = (part(own_time() - before.1), part(cpu_time(pid) - before.2));
    println!(
        "  agent {agents:.2} %, supervisor {supervisors:.2} %, together {:.2} % of a core",
        agents + supervisors
    );
    let begin = Instant::now();
    let (_, told) = agent.get("/containers").await;
    let told: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
    println!("  /containers: {} in {:.1} ms", told.len(), begin.elapsed().as_secs_f64() * 1e3);
    agent.stop(Stop::EndTasks).await;
}
