//! The table of task states in docs/protocol.md is printed from the code.
//! `UPDATE=1 cargo test -p proto task_states` rewrites it.

use proto::{Encoding, Reason, Source, TaskId, TaskState, TaskStatus, Time, Transition, Wire};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- task-states -->\n";
const END: &str = "<!-- /task-states -->";

fn short(state: TaskState) -> &'static str {
    state.name().trim_start_matches("TASK_")
}

fn table() -> String {
    let mut out = String::from("\n| recorded \\ reported |");
    for to in TaskState::ALL {
        write!(out, " {} |", short(to)).unwrap();
    }
    out.push_str("\n| --- |");
    out.push_str(&" --- |".repeat(TaskState::ALL.len()));
    out.push('\n');
    for from in TaskState::ALL {
        let kind = if from.is_terminal() { " (final)" } else { "" };
        write!(out, "| {}{kind} |", short(from)).unwrap();
        for to in TaskState::ALL {
            let cell = match from.transition(to) {
                Transition::Advance => "advance",
                Transition::Repeat => "repeat",
                Transition::Stale => "-",
            };
            write!(out, " {cell} |").unwrap();
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

#[test]
fn the_table_in_the_docs_is_the_table_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table begins with its marker");
    let (there, after) = rest.split_once(END).expect("the table ends with its marker");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(
            there == table,
            "the table is stale; run UPDATE=1 cargo test -p proto task_states\n{table}"
        );
    }
}

#[test]
fn final_states_stay() {
    for from in TaskState::ALL.into_iter().filter(|state| state.is_terminal()) {
        for to in TaskState::ALL {
            assert_ne!(from.transition(to), Transition::Advance, "{from} -> {to}");
        }
    }
}

#[test]
fn every_living_state_can_end_in_every_final_one() {
    for from in TaskState::ALL.into_iter().filter(|state| !state.is_terminal()) {
        for to in TaskState::ALL.into_iter().filter(|state| state.is_terminal()) {
            assert_eq!(from.transition(to), Transition::Advance, "{from} -> {to}");
        }
    }
}

#[test]
fn names_and_numbers_are_those_of_the_schema() {
    let task_id = TaskId::new("t").unwrap();
    // The transcoder takes the name from the schema, by the number.
    let written = |state: TaskState, reason: Reason| {
        let mut status = TaskStatus::new(task_id.clone(), state, Source::Agent, Time::ZERO);
        status.reason = Some(reason);
        String::from_utf8(status.encode(Encoding::Json).to_vec()).unwrap()
    };
    for state in TaskState::ALL {
        let text = written(state, Reason::Reconciliation);
        assert!(text.contains(&format!("\"state\":\"{}\"", state.name())), "{text}");
        assert_eq!(TaskState::from_name(state.name()), Some(state));
    }
    for reason in Reason::ALL {
        let text = written(TaskState::Lost, *reason);
        assert!(text.contains(&format!("\"reason\":\"{}\"", reason.name())), "{text}");
    }
}
