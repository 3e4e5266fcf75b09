//! Each check is shown a good history, and then the same with a violation planted in it.

use super::*;
use crate::history::Outcome;

fn at(at: u64, fact: Fact) -> Entry {
    Entry { at, fact }
}

fn wrote(value: u64, began: u64, ended: u64) -> Entry {
    at(ended, Fact::Wrote { client: 0, register: 0, value, began, outcome: Outcome::Done })
}

fn unknown(value: u64, began: u64, ended: u64) -> Entry {
    at(ended, Fact::Wrote { client: 0, register: 0, value, began, outcome: Outcome::Unknown })
}

fn read(value: u64, began: u64, ended: u64) -> Entry {
    at(ended, Fact::Read { client: 1, register: 0, value, began, last: ended > 90 })
}

fn launched(task: &str, spent: bool) -> Entry {
    let framework = task.split('-').next().unwrap().to_owned();
    let offer = format!("m1-O{task}");
    at(5, Fact::Launched { framework, task: task.to_owned(), offer, cpus: 200, spent })
}

fn told(when: u64, task: &str, state: &str, uuid: &str) -> Entry {
    at(
        when,
        Fact::Told {
            framework: "alpha".to_owned(),
            task: task.to_owned(),
            state: state.to_owned(),
            uuid: Some(uuid.to_owned()),
            why: String::new(),
        },
    )
}

fn instance(task: &str, agent: &str, cpus: u64, began: u64, ended: Option<u64>) -> Entry {
    let (task, agent) = (task.to_owned(), agent.to_owned());
    let alive = ended.unwrap_or(began + 10);
    at(began, Fact::Instance { task, agent, cpus, pid: 1, began, alive, ended })
}

fn books(when: u64, used: u64, offered: u64) -> Entry {
    let (agent, began, active) = ("agent-1".to_owned(), when - 1, true);
    let (total, used, offered) = ([2_000, 100], [used, 1], [offered, 1]);
    at(when, Fact::Books { agent, began, active, tasks: used[0], total, used, offered })
}

fn kept(value: u64, expected: u64, began: u64, ended: u64, version: Option<u64>) -> [Entry; 2] {
    let (framework, key) = (|| "alpha".to_owned(), 0);
    let keeping = Fact::Keeping { framework: framework(), key, value };
    let kept = Fact::Kept { framework: framework(), key, value, expected, began, version };
    [at(began, keeping), at(ended, kept)]
}

fn held(value: u64, version: u64, began: u64, ended: u64) -> Entry {
    let (framework, last) = ("alpha".to_owned(), ended > 90);
    at(ended, Fact::Held { framework, key: 0, value, version, began, last })
}

fn subscribed(when: u64, id: &str) -> Entry {
    at(when, Fact::Subscribed { framework: "alpha".to_owned(), id: id.to_owned() })
}

fn led(epoch: u64, leader: &str) -> Entry {
    at(1, Fact::Lead { master: 0, epoch, leader: leader.to_owned() })
}

fn fault(when: u64, id: u32, row: &str) -> Entry {
    let (row, name, on) = (row.to_owned(), "x".to_owned(), String::new());
    at(when, Fact::Fault { id, row, name, on })
}

fn offered(when: u64, framework: &str, offer: &str, cpus: u64) -> Entry {
    let (framework, agent) = (framework.to_owned(), "a1".to_owned());
    at(when, Fact::Offered { framework, offer: offer.to_owned(), agent, cpus })
}

fn leads(master: usize, term: u64) -> Entry {
    at(3, Fact::Master { master, role: "leader".to_owned(), term })
}

/// A small run in which everything went well.
fn good() -> Vec<Entry> {
    let job = || "j".to_owned();
    let mut good = vec![
        at(1, Fact::Asked { faults: vec!["I10 x".to_owned()] }),
        led(1, "m1"),
        led(2, "m2"),
        subscribed(2, "f"),
        subscribed(33, "f"),
        leads(0, 1),
        at(3, Fact::Epoch { agent: 0, epoch: 1 }),
        offered(4, "alpha", "m1-Oalpha-1", 2_000),
        offered(4, "beta", "m1-Obeta-1", 800),
        launched("beta-1", false),
        told(12, "beta-1", "TASK_FINISHED", "b1"),
        launched("alpha-1", false),
        launched("alpha-2", true),
        at(6, Fact::Submitted { job: job(), units: 3 }),
        told(7, "alpha-1", "TASK_RUNNING", "u1"),
        told(8, "alpha-1", "TASK_RUNNING", "u1"),
        told(8, "alpha-2", "TASK_DROPPED", "u9"),
        books(9, 1_500, 500),
        books(13, 2_000, 0),
        books(39, 1_900, 100),
        instance("alpha-1", "agent-1", 1_900, 10, Some(40)),
        instance("beta-1", "agent-2", 800, 11, Some(38)),
        fault(15, 1, "I10"),
        wrote(1, 10, 20),
        read(1, 21, 24),
        at(30, Fact::Healed { id: 1 }),
        leads(1, 2),
        at(31, Fact::Epoch { agent: 0, epoch: 2 }),
        at(32, Fact::Whole { id: 1 }),
        unknown(2, 30, 40),
        told(41, "alpha-1", "TASK_FINISHED", "u2"),
        told(42, "alpha-1", "TASK_FINISHED", "u2"),
        instance("alpha-3", "agent-1", 2_000, 40, Some(50)),
        at(60, Fact::Ended { job: job(), succeeded: 3 }),
        // What nobody knew of may turn up at any time, once.
        read(1, 50, 60),
        read(2, 70, 80),
        wrote(3, 81, 90),
        read(3, 91, 95),
        held(0, 0, 9, 10),
        held(100, 5, 31, 34),
        held(103, 8, 91, 95),
    ];
    good.extend(kept(100, 0, 11, 30, Some(5)));
    good.extend(kept(101, 0, 12, 31, None));
    // Nobody knows of it, and it was made.
    good.extend([kept(102, 5, 35, 90, None)[0].clone(), held(102, 7, 50, 52)]);
    good.extend(kept(103, 7, 55, 60, Some(8)));
    good
}

fn verdict(history: &[Entry], id: &str) -> Verdict {
    let mut history = history.to_vec();
    history.sort_by_key(|entry| entry.at);
    all(&history).into_iter().find(|verdict| verdict.id == id).unwrap()
}

fn planted(id: &str, entries: Vec<Entry>, says: &str) {
    let mut history = good();
    history.extend(entries);
    let found = verdict(&history, id);
    assert_eq!(found.word(), "violated", "{found:?}");
    assert!(found.violations.iter().any(|violation| violation.contains(says)), "{found:?}");
}

#[test]
fn a_good_history_has_good_verdicts_and_each_of_them_saw_something() {
    for verdict in all(&good()) {
        assert_eq!(verdict.word(), "ok", "{verdict:?}");
    }
}

#[test]
fn an_empty_history_proves_nothing() {
    assert!(all(&[]).iter().all(|verdict| verdict.word() == "not tested"));
}

#[test]
fn a_lost_write_is_found_at_the_end_and_in_between() {
    planted("I1", vec![wrote(4, 96, 97), read(3, 98, 99)], "4 was written");
    planted("I1", vec![read(3, 98, 99), read(1, 96, 97)], "both there");
    planted("I1", vec![read(7, 98, 99)], "never written");
    planted("I1", vec![read(5, 61, 62), wrote(5, 63, 64)], "before it was written");
}

#[test]
fn a_stale_read_is_found() {
    planted("I12", vec![read(1, 92, 96)], "read 1 at 96 although");
    planted("I12", vec![read(0, 25, 26)], "read 0 at 26 although 1");
    planted("I12", vec![read(9, 25, 26)], "never written");
}

#[test]
fn a_launch_without_an_end_is_found_unless_it_never_left() {
    planted("I2", vec![launched("alpha-7", false)], "never told");
    planted("I2", vec![told(43, "alpha-1", "TASK_FAILED", "u3")], "ended as");
    let only_said = vec![launched("alpha-7", false), told(9, "alpha-7", "TASK_FINISHED", "u7")];
    planted("I2", only_said, "did not come to its end");
    planted("I2", vec![at(9, Fact::Submitted { job: "k".to_owned(), units: 2 })], "job k: None");
    let mut history = good();
    history.extend([launched("alpha-7", false), fault(6, 2, "F28")]);
    assert_eq!(verdict(&history, "I2").word(), "ok");
}

#[test]
fn a_second_instance_is_found() {
    let second = |began, ended| vec![instance("alpha-1", "agent-2", 100, began, Some(ended))];
    planted("I3", second(30, 35), "agent-1 and on agent-2, at one time");
    planted("I3", second(45, 55), "one after the other");
}

#[test]
fn an_overcommitted_agent_is_found_in_the_books_and_at_work() {
    planted("I4", vec![books(9, 1_500, 501)], "501");
    planted("I4", vec![books(13, 1_899, 0)], "1899 thousandths of a cpu on agent-1, where 1900");
    planted("I4", vec![instance("jobs-1", "agent-1", 200, 20, Some(25))], "2100 of 2000");
}

#[test]
fn an_offer_that_is_used_or_made_twice_is_found() {
    planted("I5", vec![instance("alpha-2", "agent-3", 100, 20, Some(25))], "used before");
    planted("I5", vec![offered(4, "alpha", "m1-Oalpha-1", 1)], "once more");
}

#[test]
fn a_role_above_its_quota_is_found() {
    planted("I6", vec![instance("beta-2", "agent-3", 200, 20, Some(25))], "used 1000 of 800");
    let two = ["m1-O7", "m1-O8"].map(|offer| offered(7, "beta", offer, 500));
    planted("I6", two.into(), "offered 1000 of 800");
}

#[test]
fn an_update_out_of_order_is_found() {
    planted("I7", vec![told(43, "alpha-1", "TASK_RUNNING", "u1")], "RUNNING after TASK_FINISHED");
    planted("I7", vec![told(40, "alpha-1", "TASK_STARTING", "u0")], "STARTING after TASK_RUNNING");
    planted("I7", vec![told(40, "alpha-1", "TASK_KILLING", "u1")], "u1 said TASK_RUNNING, then");
}

#[test]
fn a_killed_task_is_found() {
    planted("I9", vec![instance("jobs-1", "agent-3", 100, 20, None)], "was killed");
    let ran = instance("alpha-8", "agent-3", 100, 20, Some(25));
    planted("I9", vec![ran, told(44, "alpha-8", "TASK_LOST", "u8")], "TASK_LOST");
    planted("I9", vec![subscribed(50, "g")], "alpha was not known any more");
    planted("I10", vec![instance("jobs-1", "agent-3", 100, 12, None)], "in the outage");
}

#[test]
fn an_agent_that_goes_back_and_two_leaders_of_a_term_are_found() {
    planted("I13", vec![at(33, Fact::Epoch { agent: 0, epoch: 1 })], "from epoch 2 to 1");
    planted("I13", vec![leads(2, 1)], "both led in term 1");
    planted("I13", vec![led(2, "m3")], "epoch 2 had several leaders");
    planted("I13", vec![led(3, "m2")], "m2 led in epochs 2 and 3");
    let later = Entry { at: 35, ..launched("alpha-3", false) };
    planted("I13", vec![later], "knew epoch 2 before");
}

#[test]
fn a_lost_or_stale_state_of_a_framework_is_found() {
    planted("I1", vec![held(100, 5, 96, 97)], "version 8 is lost, 5 is there");
    planted("I1", vec![held(999, 9, 96, 97)], "had 999, never written");
    planted("I1", vec![held(101, 5, 40, 41)], "version 5 is");
    planted("I1", kept(104, 0, 61, 62, Some(9)).into(), "was to replace 0, and 5 was there");
    planted("I1", kept(104, 3, 61, 62, Some(4)).into(), "version 4 was written after 8");
    planted("I12", vec![held(100, 5, 53, 54)], "5 was read at 54 although 7");
}

#[test]
fn a_fault_that_never_came_is_found() {
    let asked = at(1, Fact::Asked { faults: vec!["F9 fsync fails".to_owned()] });
    planted("rows", vec![asked], "F9 fsync fails: it never came");
}

#[test]
fn a_fault_that_is_not_got_over_is_found() {
    let what = "the cluster is whole again".to_owned();
    planted("I16", vec![at(50, Fact::Expect { id: 1, what, ok: false })], "fault 1");
}

#[test]
fn numbers_are_for_people() {
    assert_eq!([7, 3_412, 1_000_000].map(number), ["7", "3,412", "1,000,000"]);
}
