//! `cargo xtask bench`: builds the benchmarks in release and lets them print.
//!
//! A benchmark prints figures (the floor, ours, the floor again); it is no test and judges
//! nothing. The runner never invents a figure, and an absent benchmark is an error, not a skip.

use std::process::Command;

use crate::options::Options;
use crate::workspace::Workspace;
use crate::{Failure, step};

/// One line of the table.
struct Bench {
    /// The name on the command line.
    name: &'static str,
    /// What it measures, for the list.
    about: &'static str,
    /// The package and its binary, or its example as `examples/NAME`, built in release.
    package: &'static str,
    binary: &'static str,
    /// Arguments of the binary.
    arguments: &'static [&'static str],
}

/// Where examples are built. They measure themselves, without a running Tepui.
const EXAMPLES: &str = "examples/";

/// All benchmarks. A new one is a line here and a binary, or a hidden subcommand, behind it.
const BENCHES: &[Bench] = &[
    Bench {
        name: "allocator",
        about: "allocation passes of the master's core, at the sizes of Mesos' benchmarks",
        package: "bench",
        binary: "bench",
        arguments: &["allocator"],
    },
    Bench {
        name: "failover",
        about: "a restarted master until 40,000 agents with 400,000 tasks are back",
        package: "bench",
        binary: "bench",
        arguments: &["failover"],
    },
    Bench {
        name: "fenzo",
        about: "placing tasks, over cluster sizes, beside Netflix Fenzo",
        package: "fenzo",
        binary: "examples/workload",
        arguments: &["--table"],
    },
    Bench {
        name: "flood",
        about: "a task that prints without end: what is kept, what it costs, and launches beside it",
        package: "bench",
        binary: "bench",
        arguments: &["flood"],
    },
    Bench {
        name: "floors",
        about: "what this machine can do with nobody scheduling",
        package: "bench",
        binary: "bench",
        arguments: &["floors"],
    },
    Bench {
        name: "offers",
        about: "SUBSCRIBE to first offer; freed resources to their next offer",
        package: "bench",
        binary: "bench",
        arguments: &["offers"],
    },
    Bench {
        name: "latency",
        about: "one task, submit to FINISHED, idle and with a million queued",
        package: "bench",
        binary: "bench",
        arguments: &["latency"],
    },
    Bench {
        name: "running",
        about: "ACCEPT to TASK_RUNNING, alone and beside launches, bare and with cgroups",
        package: "bench",
        binary: "bench",
        arguments: &["running"],
    },
    Bench {
        name: "idle",
        about: "1,000 idle tasks: memory and processor of their agent, and until a new one has them",
        package: "bench",
        binary: "bench",
        arguments: &["idle"],
    },
    Bench {
        name: "containers",
        about: "containers on an image, beside bare system calls, runc and docker",
        package: "bench",
        binary: "bench",
        arguments: &["containers"],
    },
    Bench {
        name: "masters",
        about: "three masters: the leading one killed until offers flow; all of them killed",
        package: "bench",
        binary: "bench",
        arguments: &["masters"],
    },
    Bench {
        name: "elections",
        about: "three masters on a busy machine, no fault: elections that nobody needed",
        package: "bench",
        binary: "bench",
        arguments: &["masters", "calm"],
    },
    Bench {
        name: "launches",
        about: "N x /bin/true with three masters beside one",
        package: "bench",
        binary: "bench",
        arguments: &["tasks", "masters"],
    },
    Bench {
        name: "memory",
        about: "resident memory, idle and with a million queued tasks",
        package: "bench",
        binary: "bench",
        arguments: &["memory"],
    },
    Bench {
        name: "outage",
        about: "three masters killed until up to 10,000 agents with 100,000 tasks are back",
        package: "bench",
        binary: "bench",
        arguments: &["masters", "outage"],
    },
    Bench {
        name: "reads",
        about: "calls of a framework, alone and while ten clients read the whole state",
        package: "bench",
        binary: "bench",
        arguments: &["reads"],
    },
    Bench {
        name: "registrar",
        about: "commits of the replicated log, three members and one, beside fdatasync",
        package: "bench",
        binary: "bench",
        arguments: &["registrar"],
    },
    Bench {
        name: "snapshot",
        about: "the snapshot of 50,000 agents and 5,000 frameworks, to another master and back",
        package: "bench",
        binary: "bench",
        arguments: &["registrar", "snapshot"],
    },
    Bench {
        name: "day",
        about: "room that the registry takes over a day of changes",
        package: "bench",
        binary: "bench",
        arguments: &["registrar", "day"],
    },
    Bench {
        name: "tasks",
        about: "N x /bin/true in one job, of the floor, bare and with cgroups",
        package: "bench",
        binary: "bench",
        arguments: &["tasks", "--large"],
    },
    Bench {
        name: "wire",
        about: "offers delivered and declined over gRPC, a second, up to 1,000 frameworks",
        package: "bench",
        binary: "bench",
        arguments: &["wire"],
    },
];

/// Runs the benches named, or all.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &[], &[])?;
    run_table(workspace, BENCHES, &options.words)
}

fn run_table(workspace: &Workspace, table: &[Bench], names: &[String]) -> Result<(), Failure> {
    let chosen = select(table, names)?;
    for bench in &chosen {
        if !workspace.has_binary(bench.package, bench.binary) {
            return Err(Failure::Failed(format!(
                "bench `{}` is absent: package `{}` has no binary `{}`",
                bench.name, bench.package, bench.binary
            )));
        }
    }
    if chosen.iter().any(|bench| !bench.binary.starts_with(EXAMPLES)) {
        // What is measured, beside what measures.
        step::run("build tepui", workspace.cargo(&["build", "--release", "-p", "tepui"]))?;
    }
    for bench in chosen {
        println!("\n{}: {}", bench.name, bench.about);
        let (kind, name) = match bench.binary.strip_prefix(EXAMPLES) {
            Some(example) => ("--example", example),
            None => ("--bin", bench.binary),
        };
        let build = ["build", "--release", "-p", bench.package, kind, name];
        step::run(&format!("build {}", bench.binary), workspace.cargo(&build))?;
        let mut command = Command::new(workspace.target.join("release").join(bench.binary));
        command.args(bench.arguments).current_dir(&workspace.root);
        step::shown(&format!("bench {}", bench.name), command)?;
    }
    Ok(())
}

fn select<'t>(table: &'t [Bench], names: &[String]) -> Result<Vec<&'t Bench>, Failure> {
    if table.is_empty() {
        return Err(Failure::Failed("the table of benchmarks is empty".to_owned()));
    }
    if names.is_empty() {
        return Ok(table.iter().collect());
    }
    let find = |name: &String| {
        table.iter().find(|bench| bench.name == name).ok_or_else(|| {
            let list: Vec<String> =
                table.iter().map(|bench| format!("  {:12} {}", bench.name, bench.about)).collect();
            Failure::Usage(format!("no bench `{name}`; there are\n{}", list.join("\n")))
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Bench] = &[Bench {
        name: "floor",
        about: "nothing at all",
        package: "no-such-package",
        binary: "no-such-binary",
        arguments: &[],
    }];

    #[test]
    fn an_absent_binary_is_an_error_that_names_it() {
        let workspace = Workspace { root: "/".into(), target: "/".into(), packages: Vec::new() };
        let Err(Failure::Failed(text)) = run_table(&workspace, TABLE, &[]) else {
            panic!("an absent bench passed");
        };
        assert!(text.contains("no-such-package") && text.contains("no-such-binary"));
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let Err(Failure::Usage(text)) = select(TABLE, &["x".to_owned()]) else {
            panic!("an unknown bench passed");
        };
        assert!(text.contains("floor"));
    }

    #[test]
    fn an_empty_table_is_no_success() {
        assert!(select(&[], &[]).is_err());
    }
}
