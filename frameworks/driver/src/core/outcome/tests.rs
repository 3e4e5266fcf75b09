//! The golden table of the classifier: one row for each kind of end that a unit can meet.

use super::*;
use proto::{LimitHit, Source, TaskId, TaskOutcome, Time};

type Row = (TaskState, Option<Reason>, Option<Exit>, Option<KillCause>, &'static str);

fn status(state: TaskState, reason: Option<Reason>, exit: Option<Exit>) -> TaskStatus {
    let task = TaskId::new("t").unwrap();
    let mut status = TaskStatus::new(task, state, Source::Agent, Time::ZERO);
    status.reason = reason;
    status.outcome = exit.map(|exit| TaskOutcome { exit: Some(exit), ..TaskOutcome::default() });
    status
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    use KillCause::{Owner, RunLimit};
    use Reason as R;
    use TaskState as S;
    let code = |code| Some(Exit::Code(code));
    let signal = |signal| Some(Exit::Signal(signal));
    vec![
        (S::Finished, None, code(0), None, "succeeded free=Never"),
        (S::Finished, None, None, None, "succeeded free=Never"),
        (S::Finished, Some(R::Reconciliation), None, None, "succeeded free=Never"),
        // Success after a disruption or a kill stays success.
        (S::Finished, Some(R::AgentDraining), code(0), None, "succeeded free=Never"),
        (S::Finished, None, code(0), Some(Owner), "succeeded free=Never"),
        (S::Finished, None, code(0), Some(RunLimit), "succeeded free=Never"),
        (S::Failed, None, code(1), None, "failed free=User"),
        (S::Failed, None, None, None, "failed free=User"),
        (S::Failed, None, signal(11), None, "failed free=User"),
        (S::Failed, Some(R::CommandExecutorFailed), code(2), None, "failed free=User"),
        (S::Failed, Some(R::ExecutorTerminated), signal(9), None, "failed free=User"),
        (S::Failed, Some(R::Reconciliation), code(3), None, "failed free=User"),
        (S::Failed, Some(R::ContainerLimitation), code(1), None, "failed free=User"),
        (S::Failed, Some(R::ContainerLimitationDisk), signal(9), None, "failed free=User"),
        (S::Failed, Some(R::ContainerLimitationMemory), signal(9), None, "oom_killed free=User"),
        (S::Failed, Some(R::MaxCompletionTimeReached), signal(9), None, "timed_out free=Timeout"),
        (S::Failed, Some(R::TaskInvalid), None, None, "rejected free=Never"),
        (S::Failed, Some(R::TaskUnauthorized), None, None, "rejected free=Never"),
        (S::Failed, Some(R::TaskGroupInvalid), None, None, "rejected free=Never"),
        (S::Failed, Some(R::AgentDraining), None, None, "disrupted free=Free"),
        (S::Failed, Some(R::ContainerPreempted), None, None, "disrupted free=Free"),
        (S::Failed, Some(R::AgentRebooted), None, None, "disrupted free=Free"),
        (S::Failed, Some(R::AgentRestarted), None, None, "disrupted free=Free"),
        (S::Failed, Some(R::AgentRemoved), None, None, "disrupted free=Free"),
        (S::Failed, Some(R::ContainerLaunchFailed), None, None, "system_local free=Platform"),
        (S::Failed, Some(R::ContainerUpdateFailed), None, None, "system_local free=Platform"),
        (S::Failed, Some(R::ExecutorRegistrationTimeout), None, None, "system_local free=Platform"),
        (S::Failed, Some(R::IoSwitchboardExited), None, None, "system_local free=Platform"),
        (S::Failed, Some(R::SupervisorLost), None, None, "system_local free=Platform"),
        (S::Failed, Some(R::CheckpointCorrupt), None, None, "system_local free=Platform"),
        // It failed by itself while our TERM was on its way.
        (S::Failed, None, code(1), Some(RunLimit), "failed free=User"),
        (S::Error, Some(R::TaskInvalid), None, None, "rejected free=Never"),
        (S::Error, Some(R::TaskUnauthorized), None, None, "rejected free=Never"),
        (S::Error, None, None, None, "rejected free=Never"),
        (S::Error, None, None, Some(Owner), "rejected free=Never"),
    ]
}

#[rustfmt::skip]
fn table_of_places_that_are_gone() -> Vec<Row> {
    use KillCause::{Owner, RunLimit, Stuck};
    use Reason as R;
    use TaskState as S;
    let signal = |signal| Some(Exit::Signal(signal));
    vec![
        (S::Killed, None, signal(15), Some(Owner), "killed free=Never"),
        (S::Killed, None, signal(9), Some(RunLimit), "timed_out free=Timeout"),
        (S::Killed, None, signal(9), Some(Stuck), "stuck free=Platform"),
        (S::Killed, None, signal(15), None, "killed free=Never"),
        (S::Killed, Some(R::TaskKilledDuringLaunch), None, Some(Owner), "killed free=Never"),
        (S::Killed, Some(R::TaskKilledDuringLaunch), None, Some(Stuck), "stuck free=Platform"),
        (S::Killed, Some(R::AgentDraining), signal(15), None, "disrupted free=Free"),
        (S::Killed, Some(R::AgentDraining), signal(15), Some(Owner), "killed free=Never"),
        (S::Killed, Some(R::ContainerPreempted), signal(9), None, "disrupted free=Free"),
        (S::Killed, Some(R::MaxCompletionTimeReached), signal(9), None, "timed_out free=Timeout"),
        (S::Killed, Some(R::FrameworkRemoved), None, None, "killed free=Never"),
        (S::Lost, Some(R::InvalidOffers), None, None, "disrupted free=Free"),
        (S::Lost, Some(R::AgentRemoved), None, None, "disrupted free=Free"),
        (S::Lost, Some(R::MasterDisconnected), None, None, "disrupted free=Free"),
        (S::Lost, None, None, Some(Owner), "killed free=Never"),
        (S::Lost, Some(R::SupervisorLost), None, None, "system_local free=Platform"),
        (S::Dropped, Some(R::InvalidOffers), None, None, "disrupted free=Free"),
        (S::Dropped, Some(R::AgentDisconnected), None, None, "disrupted free=Free"),
        (S::Dropped, Some(R::AgentRestarted), None, None, "disrupted free=Free"),
        (S::Dropped, Some(R::AgentDraining), None, None, "disrupted free=Free"),
        (S::Dropped, Some(R::Reconciliation), None, None, "disrupted free=Free"),
        (S::Dropped, Some(R::ResourcesUnknown), None, None, "system_local free=Platform"),
        (S::Dropped, Some(R::GcError), None, None, "system_local free=Platform"),
        (S::Dropped, Some(R::ExecutorTerminated), None, None, "system_transient free=Platform"),
        (S::Gone, Some(R::Reconciliation), None, None, "disrupted free=Free"),
        (S::Gone, Some(R::ContainerPreempted), None, None, "disrupted free=Free"),
        (S::Gone, None, None, Some(RunLimit), "timed_out free=Timeout"),
        (S::Gone, None, None, Some(Stuck), "disrupted free=Free"),
        (S::GoneByOperator, Some(R::AgentRemovedByOperator), None, None, "disrupted free=Free"),
        (S::GoneByOperator, None, None, Some(Owner), "killed free=Never"),
        (S::Unknown, Some(R::Reconciliation), None, None, "disrupted free=Free"),
        (S::Unreachable, Some(R::AgentRemoved), None, None, "disrupted free=Free"),
    ]
}

#[test]
fn the_table_of_ends_is_as_written() {
    let mut rows = table();
    rows.extend(table_of_places_that_are_gone());
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for (state, reason, exit, kill, expected) in rows {
        let verdict = classify(&status(state, reason, exit), kill, &BTreeMap::new());
        let got = format!("{} free={:?}", verdict.outcome.name(), verdict.budget);
        assert_eq!(got, expected, "{state} {reason:?} {exit:?} {kill:?}");
    }
}

#[test]
fn a_memory_limit_is_out_of_memory_with_its_figures() {
    let mut hit = status(TaskState::Failed, Some(Reason::ExecutorTerminated), None);
    let limit = LimitHit { resource: "mem".into(), usage: 70, limit: 64 };
    hit.outcome =
        Some(TaskOutcome { exit: Some(Exit::Signal(9)), limit: Some(limit), usage: None });
    let verdict = classify(&hit, None, &BTreeMap::new());
    assert_eq!(verdict.outcome, Outcome::OomKilled { limit: 64, usage: 70 });
    assert_eq!(verdict.outcome.to_string(), "out of memory: used 70 of 64 bytes");
}

#[test]
fn exit_codes_are_remapped_and_signals_count_from_128() {
    let rules = BTreeMap::from([
        (42, ExitRule::Fail),
        (75, ExitRule::Retry),
        (143, ExitRule::Disrupted),
        (3, ExitRule::Succeed),
        (0, ExitRule::Fail),
    ]);
    let of = |state, exit| {
        let verdict = classify(&status(state, None, Some(exit)), None, &rules);
        (verdict.outcome, verdict.budget)
    };
    let failed = |exit| Outcome::Failed(Some(exit));
    let (code, signal) = (Exit::Code, Exit::Signal);
    assert_eq!(of(TaskState::Failed, code(42)), (failed(code(42)), Budget::Never));
    assert_eq!(of(TaskState::Failed, code(75)), (failed(code(75)), Budget::Free));
    assert_eq!(of(TaskState::Failed, code(143)), (Outcome::Disrupted, Budget::Free));
    assert_eq!(of(TaskState::Failed, signal(15)), (Outcome::Disrupted, Budget::Free));
    assert_eq!(of(TaskState::Failed, code(3)), (Outcome::Succeeded, Budget::Never));
    assert_eq!(of(TaskState::Failed, code(4)), (failed(code(4)), Budget::User));
    // A success is never remapped.
    assert_eq!(of(TaskState::Finished, code(0)), (Outcome::Succeeded, Budget::Never));
}
