//! `torture`: a real cluster on machines of its own, faults by seed, a history, verdicts, one page.
//!
//! ```text
//! torture run --tepui PROGRAM --out DIR [--minutes N] [--seed S]
//! ```
//!
//! The process that a person starts makes the machines (network namespaces) and removes them again,
//! whatever happens to the one that it starts in their midst, which does everything else. What the
//! tool makes has names of its own; nothing else on the machine is touched. It is a tool for
//! developers, and must never be linked into a product.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool for developers talks on its terminal"
)]

mod check;
mod cluster;
mod dice;
mod faults;
mod history;
mod hosts;
mod http;
mod instance;
mod jobs;
mod keeper;
mod nemesis;
mod operator;
mod outside;
mod page;
mod process;
mod registers;
mod run;
mod scheduler;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("torture: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(words: &[String]) -> anyhow::Result<ExitCode> {
    let Some((command, rest)) = words.split_first() else {
        anyhow::bail!("torture run --tepui PROGRAM --out DIR [--minutes N] [--seed S]");
    };
    match command.as_str() {
        "run" => runtime()?.block_on(outside::run(rest)),
        "inside" => runtime()?.block_on(run::run(rest)),
        "scheduler" => runtime()?.block_on(scheduler::run(rest)).map(|()| ExitCode::SUCCESS),
        "task" => instance::run(rest).map(|()| ExitCode::SUCCESS),
        other => anyhow::bail!("there is no `torture {other}`"),
    }
}

/// Ends this process when the one that started it is gone: standard input is a pipe of its.
fn end_with_parent() {
    // A thread of its own: a blocked read cannot be cancelled, and dies with us.
    std::thread::spawn(|| {
        // Whatever is written is nothing to us; the end of it is.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(3);
    });
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
