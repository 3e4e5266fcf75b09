//! `tepui top`: what running tasks use, from their agents, refreshed every second.
//!
//! The master tells who runs where; each agent is asked by itself, with little time, so that one
//! that does not answer holds nobody up.

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table, milli};
use crate::{Print, Server, discover};
use futures_util::StreamExt;
use hyper::Method;
use proto::operator::{AgentStanding, AgentView, Call, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

/// How long one agent may take to answer.
const AGENT_TIMEOUT: Duration = Duration::from_secs(3);
/// Agents that are asked at one time.
const AT_ONCE: usize = 32;

/// What `tepui top` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
CPUS and MEM MB: what is used, and what the task was given; a dash where nothing is known yet.
THROTTLED: the part of the time in which a ceiling of cpus held it back.
READ/S and WRITE/S: bytes from and to disks.

Examples:
  tepui top                      until Ctrl-C
  tepui top --once --sort mem    once, the largest first
  tepui top -o json | jq '.[0]'")]
pub(crate) struct Options {
    /// Print once. So it is also when the output is no terminal.
    #[arg(long)]
    once: bool,
    /// By what tasks are sorted, the greatest first.
    #[arg(long, value_enum, default_value_t = Sort::Cpu)]
    sort: Sort,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// Cpus in use.
    Cpu,
    /// Memory in use.
    Mem,
    /// Bytes from and to disks.
    Io,
    /// Names of tasks, from A to Z.
    Name,
}

/// What one task uses.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    task: String,
    name: String,
    framework: String,
    role: String,
    agent: String,
    /// In thousandths; absent in the first second.
    cpus_used: Option<u64>,
    cpus_allocated: u64,
    memory: u64,
    memory_limit: Option<u64>,
    threads: u64,
    throttled: f64,
    read: f64,
    written: f64,
    cpu_seconds: f64,
}

/// One look at all agents.
struct Look {
    rows: Vec<Row>,
    agents: usize,
    /// Agents that did not answer, and why.
    silent: Vec<(String, String)>,
}

/// Prints the table, once or until Ctrl-C.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let lively = std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    if options.once || options.print.output == Form::Json || !lively {
        return once(&master, &options).await;
    }
    output::print("\x1b[2J");
    loop {
        let screen = match look(&master, options.sort).await {
            Ok(look) => screen(&look),
            Err(failure) => failure.to_string(),
        };
        output::print(&painted(&screen, lines()));
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(options.interval)) => {}
        }
    }
}

async fn once(master: &Client, options: &Options) -> Result<(), Failure> {
    let look = look(master, options.sort).await?;
    if look.agents > 0 && look.silent.len() == look.agents {
        let (agent, why) = &look.silent[0];
        let message = format!("none of {} agents answers; {agent}: {why}", look.agents);
        return Err(Failure::new(Code::Unavailable, message));
    }
    for (agent, why) in &look.silent {
        output::say(&format!("agent {agent} is missing: {why}"));
    }
    match options.print.output {
        Form::Table => table(&look.rows).print("no task is running"),
        Form::Json => output::print_json(&Value::Array(look.rows.iter().map(json_of).collect())),
    }
    Ok(())
}

async fn look(master: &Client, sort: Sort) -> Result<Look, Failure> {
    let mut agents = discover::agents(master).await?;
    let Response::Tasks(view) = master.operator(&Call::GetTasks).await? else {
        return Err(Failure::other_answer());
    };
    let key = |framework: &str, task: &str| (framework.to_owned(), task.to_owned());
    let roles: HashMap<_, _> = view
        .tasks
        .iter()
        .map(|task| (key(task.framework_id.as_str(), task.task_id.as_str()), task.role.to_string()))
        .collect();
    agents.retain(|agent| match agent.standing {
        AgentStanding::Active | AgentStanding::Suspect | AgentStanding::Disconnected => true,
        AgentStanding::Recovered | AgentStanding::Unreachable => false,
    });
    let asked = agents.iter().map(|agent| async move { (agent, ask(agent).await) });
    let answers: Vec<_> = futures_util::stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut look = Look { rows: Vec::new(), agents: agents.len(), silent: Vec::new() };
    for (agent, answer) in answers {
        let id = discover::id(agent);
        match answer {
            Err(failure) => look.silent.push((id.to_owned(), failure.message)),
            Ok(containers) => {
                look.rows.extend(containers.iter().map(|container| row(id, container)));
            }
        }
    }
    for row in &mut look.rows {
        let role = roles.get(&key(&row.framework, &row.task));
        row.role = role.cloned().unwrap_or_else(|| "-".to_owned());
    }
    sorted(&mut look.rows, sort);
    Ok(look)
}

async fn ask(agent: &AgentView) -> Result<Vec<Value>, Failure> {
    let client = Client::new("agent", format!("{}:{}", agent.info.hostname, agent.info.port));
    let answer = client.send(Method::GET, "/containers", None, AGENT_TIMEOUT).await?;
    match (answer.status, answer.json()?) {
        (200, Value::Array(containers)) => Ok(containers),
        (status, _) => Err(Failure::new(Code::Failed, format!("it answered {status}"))),
    }
}

fn row(agent: &str, container: &Value) -> Row {
    let (statistics, beside) = (&container["statistics"], &container["tepui"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let milli = |value: f64| (value.clamp(0.0, 1e9) * 1000.0).round() as u64;
    Row {
        task: text(&container["executor_id"]),
        name: text(&container["executor_name"]),
        framework: text(&container["framework_id"]),
        role: String::new(),
        agent: agent.to_owned(),
        cpus_used: beside["cpus_used"].as_f64().map(milli),
        cpus_allocated: milli(number(&beside["cpus_allocated"])),
        memory: statistics["mem_total_bytes"].as_u64().unwrap_or(0),
        memory_limit: statistics["mem_limit_bytes"].as_u64(),
        threads: statistics["threads"].as_u64().unwrap_or(0),
        throttled: number(&beside["throttled_ratio"]),
        read: number(&beside["read_bytes_per_sec"]),
        written: number(&beside["written_bytes_per_sec"]),
        cpu_seconds: number(&statistics["cpus_user_time_secs"])
            + number(&statistics["cpus_system_time_secs"]),
    }
}

fn sorted(rows: &mut [Row], sort: Sort) {
    rows.sort_by_cached_key(|row| (output::natural(&row.framework), output::natural(&row.task)));
    match sort {
        Sort::Cpu => rows.sort_by_key(|row| std::cmp::Reverse(row.cpus_used)),
        Sort::Mem => rows.sort_by_key(|row| std::cmp::Reverse(row.memory)),
        Sort::Io => rows.sort_by(|a, b| (b.read + b.written).total_cmp(&(a.read + a.written))),
        Sort::Name => rows.sort_by_cached_key(|row| output::natural(&row.task)),
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "TASK",
        "FRAMEWORK",
        "ROLE",
        "AGENT",
        "CPUS",
        "MEM MB",
        "THREADS",
        "THROTTLED",
        "READ/S",
        "WRITE/S",
        "NAME",
    ]);
    for row in rows {
        let used = row.cpus_used.map_or_else(|| "-".to_owned(), milli);
        let limit = row.memory_limit.map_or_else(|| "-".to_owned(), megabytes);
        table.row(vec![
            row.task.clone(),
            row.framework.clone(),
            row.role.clone(),
            row.agent.clone(),
            format!("{used}/{}", milli(row.cpus_allocated)),
            format!("{}/{limit}", megabytes(row.memory)),
            row.threads.to_string(),
            format!("{:.0}%", row.throttled * 100.0),
            size(row.read),
            size(row.written),
            row.name.clone(),
        ]);
    }
    table
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// Bytes as people read them: `0`, `512`, `1.5k`, `20M`.
fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["", "k", "M"] {
        if value < 1000.0 {
            let digits = usize::from(!unit.is_empty() && value < 10.0);
            return format!("{value:.digits$}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1}G")
}

/// A line about all, and the table.
fn screen(look: &Look) -> String {
    let cpus: u64 = look.rows.iter().filter_map(|row| row.cpus_used).sum();
    let given: u64 = look.rows.iter().map(|row| row.cpus_allocated).sum();
    let memory: u64 = look.rows.iter().map(|row| row.memory).sum();
    let silent = match look.silent.as_slice() {
        [] => String::new(),
        [(agent, why), ..] => {
            let why = output::plain(why.clone());
            format!(", {} without an answer ({agent}: {why})", look.silent.len())
        }
    };
    format!(
        "{} tasks on {} agents{silent}: {} of {} cpus, {} MB\n\n{}",
        look.rows.len(),
        look.agents,
        milli(cpus),
        milli(given),
        megabytes(memory),
        table(&look.rows).render()
    )
}

/// The text over what stood on the screen before, as many lines of it as fit.
fn painted(text: &str, lines: usize) -> String {
    let mut painted = String::from("\x1b[H");
    for (at, line) in text.lines().take(lines.max(2) - 1).enumerate() {
        if at > 0 {
            painted.push('\n');
        }
        painted.push_str(line);
        painted.push_str("\x1b[K");
    }
    painted.push_str("\x1b[J");
    painted
}

/// Lines of the terminal.
fn lines() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok().map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 1).unwrap_or(24)
}

fn json_of(row: &Row) -> Value {
    json!({
        "task_id": row.task,
        "name": row.name,
        "framework_id": row.framework,
        "role": row.role,
        "agent_id": row.agent,
        "cpus_used": row.cpus_used.map(|milli| milli as f64 / 1000.0),
        "cpus_allocated": row.cpus_allocated as f64 / 1000.0,
        "cpu_time_secs": row.cpu_seconds,
        "memory_bytes": row.memory,
        "memory_limit_bytes": row.memory_limit,
        "threads": row.threads,
        "throttled_ratio": row.throttled,
        "read_bytes_per_sec": row.read,
        "written_bytes_per_sec": row.written,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(task: &str, cpus: Option<u64>, memory: u64) -> Row {
        Row { task: task.into(), cpus_used: cpus, memory, ..Row::default() }
    }

    fn order(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.task.as_str()).collect()
    }

    #[test]
    fn the_greatest_come_first_and_equals_by_name() {
        let mut rows = vec![
            named("t10", Some(5), 1),
            named("t2", Some(5), 3),
            named("idle", None, 2),
            named("busy", Some(900), 0),
        ];
        sorted(&mut rows, Sort::Cpu);
        assert_eq!(order(&rows), ["busy", "t2", "t10", "idle"]);
        sorted(&mut rows, Sort::Mem);
        assert_eq!(order(&rows), ["t2", "idle", "t10", "busy"]);
        sorted(&mut rows, Sort::Name);
        assert_eq!(order(&rows), ["busy", "idle", "t2", "t10"]);
    }

    #[test]
    fn what_an_agent_tells_becomes_a_row() {
        let told = json!({
            "executor_id": "t", "executor_name": "n", "framework_id": "f",
            "statistics": { "mem_total_bytes": 2097152, "mem_limit_bytes": 33554432, "threads": 3,
                "cpus_user_time_secs": 1.5, "cpus_system_time_secs": 0.5 },
            "tepui": { "cpus_used": 0.25, "cpus_allocated": 0.5, "throttled_ratio": 0.4,
                "read_bytes_per_sec": 2048.0, "written_bytes_per_sec": 0.0 },
        });
        let row = row("S0", &told);
        let shown = table(std::slice::from_ref(&row)).render();
        let line = shown.lines().nth(1).unwrap();
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["t", "f", "S0", "0.25/0.5", "2.0/32.0", "3", "40%", "2.0k", "0", "n"]
        );
        assert_eq!(json_of(&row)["cpu_time_secs"], 2.0);
        // Whatever an agent says, nothing of it can stop the command.
        let odd = super::row("S0", &json!({ "statistics": [1], "tepui": { "cpus_used": -1e300 } }));
        assert_eq!((odd.cpus_used, odd.memory_limit), (Some(0), None));
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0.0, 999.0, 1536.0, 20_971_520.0, 5e9];
        assert_eq!(sizes.map(size), ["0", "999", "1.5k", "20M", "4.7G"]);
    }

    #[test]
    fn a_screen_holds_no_more_lines_than_the_terminal() {
        let painted = painted("a\nb\nc\nd\n", 3);
        assert_eq!(painted, "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
    }
}
