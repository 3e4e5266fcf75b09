//! Nothing that was asked is lost or told twice, and a write whose answer was lost is told right.

use super::*;
use std::sync::Arc;

fn put(value: &str, version: u64) -> StateAsk {
    let (key, value) = (Arc::from("k"), Arc::from(value.as_bytes()));
    StateAsk::Put { key, value, version, write: Some(version), fence: None }
}

fn conflict(version: u64) -> StateOutcome {
    StateOutcome::Conflict { key: Arc::from("k"), version }
}

fn done(version: u64) -> StateOutcome {
    StateOutcome::Done { key: Arc::from("k"), version }
}

fn answer(calls: &mut StateCalls, number: u64, outcome: StateOutcome) -> Follows {
    calls.answered(StateAnswer { number, outcome })
}

fn told(request: u64, outcome: StateOutcome) -> Follows {
    Follows::Tell { request, outcome }
}

#[test]
fn an_answer_finds_its_request_once() {
    let mut calls = StateCalls::default();
    assert_eq!(calls.ask(7, put("a", 0), true).unwrap().number, 1);
    assert_eq!(calls.ask(8, put("b", 0), true).unwrap().number, 2);
    assert_eq!(answer(&mut calls, 2, conflict(1)), told(8, conflict(1)));
    assert_eq!(answer(&mut calls, 1, done(1)), told(7, done(1)));
    assert_eq!(answer(&mut calls, 1, done(1)), Follows::Nothing);
    assert_eq!(calls.again(), []);
}

#[test]
fn what_waits_is_asked_on_the_next_connection_in_its_order() {
    let mut calls = StateCalls::default();
    assert_eq!(calls.ask(7, put("a", 0), false), None);
    calls.ask(8, put("b", 1), true).unwrap();
    let asks: Vec<StateAsk> = calls.again().into_iter().map(|call| call.ask).collect();
    assert_eq!(asks, [put("a", 0), put("b", 1)]);
    // It was said once only: what it finds is somebody else's.
    assert_eq!(answer(&mut calls, 1, conflict(3)), told(7, conflict(3)));
}

#[test]
fn a_write_whose_answer_was_lost_is_said_again_as_it_was_and_told_as_the_masters_tell_it() {
    for outcome in [done(4), conflict(5)] {
        let mut calls = StateCalls::default();
        let first = calls.ask(7, put("mine", 3), true).unwrap();
        assert_eq!(calls.again(), [first]);
        assert_eq!(answer(&mut calls, 1, outcome.clone()), told(7, outcome));
    }
}

#[test]
fn a_deletion_whose_answer_was_lost_is_done_when_nothing_is_there() {
    let mut calls = StateCalls::default();
    for number in [1, 2] {
        calls.ask(number, StateAsk::Delete { key: Arc::from("k"), version: 3 }, true);
    }
    calls.again();
    assert_eq!(answer(&mut calls, 1, conflict(0)), told(1, done(0)));
    assert_eq!(answer(&mut calls, 2, conflict(9)), told(2, conflict(9)));
}
