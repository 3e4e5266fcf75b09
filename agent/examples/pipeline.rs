//! Measures the agent between a master and its supervisor: tasks a second, the latency of one
//! task, and the processor time of the agent's process.
//!
//! `pipeline [TASKS [WINDOW]]`: a master in this process keeps 64 tasks under way on an agent in a process
//! of its own, acknowledges at once, and then runs single tasks one after the other. Without
//! cgroups. It leaves nothing behind.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]
#![allow(clippy::unwrap_used, reason = "a measurement that goes wrong ends")]

#[path = "../tests/shell/rig.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod rig;

use agent::Stop;
use proto::CommandInfo;
use rig::{Agent, Connection, Master, command, config};
use std::time::{Duration, Instant};

/// Tasks under way unless the second argument says otherwise.
const WINDOW: usize = 64;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_ref().is_some_and(|word| word == "supervise") {
        return agent::supervisor::main(arguments).into();
    }
    let number = |word: Option<std::ffi::OsString>| word.and_then(|n| n.to_str()?.parse().ok());
    let tasks = number(first).unwrap_or(5_000);
    let window = number(arguments.next()).unwrap_or(WINDOW);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(tasks, window));
    std::process::ExitCode::SUCCESS
}

fn job(name: String) -> proto::TaskInfo {
    let command_info = CommandInfo { value: Some("/bin/true".into()), ..CommandInfo::default() };
    command(&name, command_info)
}

async fn measure(tasks: usize, window: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.resources = Some("cpus:100;mem:100000;disk:1000".to_owned());
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    agent.registered().await;
    throughput(&mut link, tasks, window).await;
    latency(&mut link, 500).await;
    let (_, metrics) = agent.get("/metrics").await;
    for line in metrics.lines().filter(|line| line.starts_with("tepui_agent_checkpoint")) {
        println!("{line}");
    }
    agent.stop(Stop::EndTasks).await;
}

/// Processor time of this process: master's script, streams and agent together, no tasks.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

async fn throughput(link: &mut Connection, tasks: usize, window: usize) {
    let (begin, cpu) = (Instant::now(), cpu_time());
    let mut launched = window.min(tasks);
    link.run((0..launched).map(|n| job(format!("a{n}"))).collect());
    let mut ended = 0;
    while ended < tasks {
        let status = link.acknowledged().await;
        if status.state.is_terminal() {
            ended += 1;
            if launched < tasks {
                link.run(vec![job(format!("a{launched}"))]);
                launched += 1;
            }
        }
    }
    let (wall, cpu) = (begin.elapsed(), cpu_time() - cpu);
    println!(
        "{tasks} tasks in {:.2} s: {:.0}/s; agent and script {:.0} us of cpu a task",
        wall.as_secs_f64(),
        tasks as f64 / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / tasks as f64
    );
}

async fn latency(link: &mut Connection, count: usize) {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let begin = Instant::now();
        link.run_to_end(job(format!("b{n}"))).await;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("one task, launch to FINISHED: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}
