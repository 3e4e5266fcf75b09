//! Looks at tasks in virtual time: when, what is told, and when a task ends because of them.

use crate::testing::{World, agent_id, exited, killed_by, task};
use crate::{Effect, Input, Look, Options, Seen, Subject};
use proto::agent_link::AgentEvent;
use proto::{
    Check, CheckKind, CheckStatus, Checks, Exit, HealthCheck, MasterId, Reason, TaskInfo,
    TaskState, TaskStatus, Time,
};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const WELL: Seen = Seen::Connected;

fn unwell() -> Seen {
    Seen::Refused("nobody listens".into())
}

/// Part of a cluster whose master may be silent for long.
fn admitted(mut world: World) -> World {
    world.step(Input::LinkUp { link: world.link });
    let (agent_id, master_id) = (agent_id(), MasterId::new("M").unwrap());
    let ping_timeout = 3600 * SECOND;
    world.hear(match world.agent.agent_id() {
        None => AgentEvent::Registered { agent_id, master_id, ping_timeout },
        Some(_) => {
            let reconcile = Vec::new();
            AgentEvent::Reregistered { agent_id, master_id, ping_timeout, reconcile }
        }
    });
    world
}

/// Looks after 2 s, each 10 s later, for 5 s at the most.
fn tcp() -> Check {
    let kind = CheckKind::Tcp { port: 80, ipv6: false };
    Check { kind, delay: 2 * SECOND, interval: 10 * SECOND, timeout: 5 * SECOND }
}

/// A second later than the others, so that looks come one by one.
fn later() -> Check {
    Check { delay: 3 * SECOND, ..tcp() }
}

/// Three failures in a row; none counts for the first 20 s.
fn health() -> HealthCheck {
    HealthCheck { check: tcp(), consecutive_failures: 3, grace_period: 20 * SECOND }
}

fn checked(health: Option<HealthCheck>, check: Option<Check>) -> TaskInfo {
    let mut task = task("t");
    task.payload.checks = Some(Arc::new(Checks { health, check }));
    task
}

fn looks(world: &World) -> Vec<Look> {
    let look = |effect: &Effect| match effect {
        Effect::Look(look) => Some(Look::clone(look)),
        _ => None,
    };
    world.effects.iter().filter_map(look).collect()
}

fn between(from: Time, to: Time) -> Duration {
    Duration::from_nanos(to.as_nanos() - from.as_nanos())
}

/// Lets time pass until the next look, which must come, and says how long that was.
fn next_look(world: &mut World) -> (Duration, Look) {
    let (from, before) = (world.now, looks(world).len());
    while looks(world).len() == before {
        let at = world.agent.deadline().expect("something is due");
        assert!(between(from, at) < 100 * SECOND, "no look");
        world.pass(between(world.now, at));
    }
    (between(from, world.now), looks(world).pop().unwrap())
}

fn answer(world: &mut World, look: &Look, seen: Seen) {
    let container_id = look.launch.container_id.clone();
    world.step(Input::Looked { container_id, subject: look.subject, number: look.number, seen });
}

/// The next look, which sees that; what is told of it.
fn look(world: &mut World, seen: Seen) -> Option<TaskStatus> {
    let (_, look) = next_look(world);
    world.effects.clear();
    answer(world, &look, seen);
    let told = world.sent().into_iter().next();
    if told.is_some() {
        world.acknowledge_last();
    }
    told
}

/// A running task whose TASK_RUNNING is acknowledged.
fn running(task: TaskInfo) -> World {
    let mut world = admitted(World::fresh());
    world.run(task);
    world.launched("t");
    world.acknowledge_last();
    world
}

#[test]
fn looks_come_after_the_delay_and_an_interval_after_the_end_of_the_one_before() {
    let mut world = running(checked(Some(health()), None));
    let (after, first) = next_look(&mut world);
    assert_eq!((after, first.number, first.timeout), (2 * SECOND, 1, 5 * SECOND));
    assert_eq!(first.kind(), Some(&CheckKind::Tcp { port: 80, ipv6: false }));
    world.pass(3 * SECOND);
    answer(&mut world, &first, WELL);
    let (after, second) = next_look(&mut world);
    assert_eq!((after, second.number), (10 * SECOND, 2));
}

#[test]
fn being_well_is_told_once_and_again_after_a_failure() {
    let mut world = running(checked(Some(health()), None));
    let told = look(&mut world, WELL).unwrap();
    assert_eq!((told.state, told.healthy), (TaskState::Running, Some(true)));
    assert_eq!(told.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    assert_eq!(look(&mut world, WELL), None);
    // It was well once, so the grace period is over.
    for _ in 0..3 {
        for _ in 0..2 {
            let told = look(&mut world, unwell()).unwrap();
            assert_eq!((told.state, told.healthy), (TaskState::Running, Some(false)));
            assert_eq!(told.message.as_deref(), Some("nobody listens"));
        }
        assert_eq!(look(&mut world, WELL).unwrap().healthy, Some(true));
    }
    assert_eq!(world.kills, []);
}

#[test]
fn failures_in_the_grace_period_do_not_count() {
    let mut world = running(checked(Some(health()), None));
    // At 2 s and at 12 s.
    assert_eq!(look(&mut world, unwell()), None);
    assert_eq!(look(&mut world, unwell()), None);
    // At 22, 32 and 42 s.
    assert_eq!(look(&mut world, unwell()).unwrap().healthy, Some(false));
    assert_eq!(look(&mut world, unwell()).unwrap().healthy, Some(false));
    assert_eq!(world.kills, []);
    assert_eq!(look(&mut world, unwell()).unwrap().healthy, Some(false));
    assert_eq!(world.kills.len(), 1);
}

#[test]
fn too_many_failures_in_a_row_end_the_task_once() {
    let strict = HealthCheck { consecutive_failures: 2, grace_period: Duration::ZERO, ..health() };
    let mut task = checked(Some(strict), Some(later()));
    task.kill_grace = Some(7 * SECOND);
    let mut world = running(task);
    let look_for = |world: &mut World, subject| loop {
        let (_, look) = next_look(world);
        if look.subject == subject {
            break look;
        }
        answer(world, &look, WELL);
    };
    for _ in 0..2 {
        let look = look_for(&mut world, Subject::Health);
        answer(&mut world, &look, unwell());
    }
    assert_eq!(world.kills, [(world.container_of("t"), 7 * SECOND)]);
    // Nobody looks any more, and the framework's own kill changes nothing of the cause.
    let before = looks(&world).len();
    world.pass(100 * SECOND);
    assert_eq!(looks(&world).len(), before);
    world.kill("t", None);
    world.exit("t", killed_by(15));
    while world.agent.pending_updates() > 1 {
        world.acknowledge_last();
    }
    let end = world.last();
    assert_eq!((end.state, end.healthy), (TaskState::Failed, Some(false)));
    assert_eq!(end.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    assert_eq!(end.check_status, Some(CheckStatus::Tcp(Some(true))));
    let said = "Killed because its health check failed 2 times in a row: nobody listens";
    assert_eq!(end.message.as_deref(), Some(said));
}

#[test]
fn a_look_that_takes_too_long_has_failed_and_its_answer_is_not_heard() {
    let strict = HealthCheck { grace_period: Duration::ZERO, ..health() };
    let mut world = running(checked(Some(strict), None));
    let (_, late) = next_look(&mut world);
    world.effects.clear();
    world.pass(5 * SECOND);
    let told = world.last();
    assert_eq!(told.healthy, Some(false));
    assert_eq!(told.message.as_deref(), Some("no answer within 5 s"));
    world.effects.clear();
    world.acknowledge(&told);
    answer(&mut world, &late, WELL);
    assert_eq!(world.sent(), []);
    let (after, next) = next_look(&mut world);
    assert_eq!((after, next.number), (10 * SECOND, 2));
    answer(&mut world, &late, WELL);
    assert_eq!(world.sent(), []);
}

#[test]
fn a_host_that_cannot_look_says_nothing_of_the_task() {
    let strict = HealthCheck { consecutive_failures: 1, grace_period: Duration::ZERO, ..health() };
    let mut world = running(checked(Some(strict), None));
    assert_eq!(look(&mut world, WELL).unwrap().healthy, Some(true));
    for _ in 0..5 {
        assert_eq!(look(&mut world, Seen::Unable("too many open files".into())), None);
    }
    assert_eq!(world.kills, []);
}

#[test]
fn a_health_check_that_can_never_be_begun_fails_once_the_grace_is_over() {
    let strict = HealthCheck { consecutive_failures: 2, grace_period: Duration::ZERO, ..health() };
    let mut world = running(checked(Some(strict), None));
    let unable = || Seen::Unable("it has no such user".into());
    let told = look(&mut world, unable()).unwrap();
    assert_eq!(told.healthy, Some(false));
    let why = "its health cannot be looked at: it has no such user";
    assert_eq!(told.message.as_deref(), Some(why));
    look(&mut world, unable());
    assert_eq!(world.kills.len(), 1);
    // Within the grace it counts as little as any failure.
    let patient = HealthCheck { grace_period: 3_600 * SECOND, ..health() };
    let mut world = running(checked(Some(patient), None));
    for _ in 0..10 {
        assert_eq!(look(&mut world, unable()), None);
    }
    assert_eq!(world.kills, []);
}

#[test]
fn a_check_tells_what_it_sees_when_that_changes_and_ends_nothing() {
    let command = Box::default();
    let check = Check { kind: CheckKind::Command(command), ..tcp() };
    let mut world = admitted(World::fresh());
    world.run(checked(None, Some(check)));
    world.launched("t");
    assert_eq!(world.last().check_status, Some(CheckStatus::Command(None)));
    world.acknowledge_last();
    let exits = |code| Seen::Exited(Exit::Code(code));
    let told = look(&mut world, exits(3)).unwrap();
    assert_eq!(told.reason, Some(Reason::TaskCheckStatusUpdated));
    assert_eq!(told.check_status, Some(CheckStatus::Command(Some(3))));
    assert_eq!(told.healthy, None);
    assert_eq!(look(&mut world, exits(3)), None);
    let told = look(&mut world, Seen::Nothing("no such file".into())).unwrap();
    assert_eq!(told.check_status, Some(CheckStatus::Command(None)));
    assert_eq!(told.message.as_deref(), Some("no such file"));
    let told = look(&mut world, Seen::Exited(Exit::Signal(9))).unwrap();
    assert_eq!(told.check_status, Some(CheckStatus::Command(Some(137))));
    assert_eq!(world.kills, []);
    world.exit("t", exited(Exit::Code(0)));
    let end = world.last();
    assert_eq!((end.state, end.healthy), (TaskState::Finished, None));
    assert_eq!(end.check_status, Some(CheckStatus::Command(Some(137))));
}

#[test]
fn statuses_of_http_and_exits_are_well_or_not() {
    let well = |seen: Seen| super::failure(&seen).is_none();
    assert!([200, 204, 301, 399].into_iter().all(|status| well(Seen::Answered(status))));
    assert!([100, 199, 400, 404, 500].into_iter().all(|s| !well(Seen::Answered(s))));
    assert!(well(Seen::Exited(Exit::Code(0))));
    assert!(!well(Seen::Exited(Exit::Code(1))) && !well(Seen::Exited(Exit::Signal(15))));
}

#[test]
fn a_kill_ends_the_looking() {
    let mut world = running(checked(Some(health()), Some(later())));
    world.kill("t", None);
    world.effects.clear();
    world.pass(100 * SECOND);
    assert_eq!(looks(&world), []);
    world.exit("t", killed_by(15));
    while world.agent.pending_updates() > 1 {
        world.acknowledge_last();
    }
    assert_eq!((world.last().state, world.last().healthy), (TaskState::Killed, None));
}

#[test]
fn what_nobody_takes_fills_no_queue() {
    let mut world = running(checked(None, Some(tcp())));
    world.effects.clear();
    for round in 0..20 {
        let (_, look) = next_look(&mut world);
        answer(&mut world, &look, if round % 2 == 0 { WELL } else { unwell() });
    }
    assert_eq!(world.agent.pending_updates(), 2);
    world.acknowledge_last();
    // The newest, not the oldest of those that waited.
    assert_eq!(world.last().check_status, Some(CheckStatus::Tcp(Some(false))));
}

#[test]
fn no_pause_is_shorter_and_no_look_longer_than_the_agent_allows() {
    let forever = Check { interval: Duration::ZERO, timeout: Duration::ZERO, ..tcp() };
    let mut world = running(checked(None, Some(forever)));
    let (_, first) = next_look(&mut world);
    let options = Options::new(crate::testing::agent_info(), "", "");
    assert_eq!(first.timeout, options.check_timeout_max);
    answer(&mut world, &first, WELL);
    assert_eq!(next_look(&mut world).0, options.check_interval_min);
}

#[test]
fn a_restarted_agent_goes_on_looking_and_tells_only_news() {
    let mut world = running(checked(Some(health()), Some(later())));
    for _ in 0..2 {
        let (_, look) = next_look(&mut world);
        answer(&mut world, &look, WELL);
        world.acknowledge_last();
    }
    while world.agent.pending_updates() > 0 {
        world.acknowledge_last();
    }
    world.pass(3 * SECOND);
    let world = world.restart();
    let down = world.now;
    let mut world = admitted(world);
    world.effects.clear();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (_, look) = next_look(&mut world);
        seen.push(look.subject);
        answer(&mut world, &look, WELL);
    }
    assert!(between(down, world.now) <= 10 * SECOND, "within an interval");
    seen.sort();
    assert_eq!(seen, [Subject::Health, Subject::Check]);
    assert_eq!(world.sent(), [], "both were known");
    // It was well before the restart: the grace period is over.
    let told = loop {
        let (_, look) = next_look(&mut world);
        if look.subject == Subject::Health {
            answer(&mut world, &look, unwell());
            break world.last();
        }
        answer(&mut world, &look, WELL);
    };
    assert_eq!(
        (told.healthy, told.check_status),
        (Some(false), Some(CheckStatus::Tcp(Some(true))))
    );
}

#[test]
fn a_kill_that_was_lost_with_the_agent_is_ordered_again_and_its_cause_is_known() {
    let strict = HealthCheck { consecutive_failures: 1, grace_period: Duration::ZERO, ..health() };
    let mut world = running(checked(Some(strict), None));
    let (_, look) = next_look(&mut world);
    answer(&mut world, &look, unwell());
    assert_eq!(world.kills.len(), 1);
    let mut world = world.restart();
    assert_eq!(world.kills.len(), 1, "the new agent's own");
    let mut again = admitted(world.restart());
    again.exit("t", killed_by(9));
    while again.agent.pending_updates() > 1 {
        again.acknowledge_last();
    }
    let end = again.last();
    assert_eq!((end.state, end.healthy), (TaskState::Failed, Some(false)));
    assert_eq!(end.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    world = again.restart();
    assert_eq!(world.kills, []);
}

#[test]
fn a_task_without_checks_has_no_status_of_one() {
    let mut world = admitted(World::fresh());
    world.running("t");
    assert_eq!((world.last().healthy, world.last().check_status), (None, None));
}
