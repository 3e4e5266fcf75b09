//! Checks and what they see.

use super::task::command;
use super::{maybe, text};
use crate::{Check, CheckKind, CheckStatus, Checks, CommandInfo, HealthCheck};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Any checks, or none.
pub(super) fn checks() -> impl Strategy<Value = Option<Arc<Checks>>> {
    let health = (check(true), 0..9_u32, timing()).prop_map(|(check, failures, grace_period)| {
        HealthCheck { check, consecutive_failures: failures, grace_period }
    });
    (maybe(health), maybe(check(false))).prop_map(|(health, check)| {
        let asked = health.is_some() || check.is_some();
        asked.then(|| Arc::new(Checks { health, check }))
    })
}

/// What a check has seen.
pub(super) fn check_status() -> impl Strategy<Value = CheckStatus> {
    prop_oneof![
        maybe(any::<i32>()).prop_map(CheckStatus::Command),
        maybe(any::<u16>()).prop_map(CheckStatus::Http),
        maybe(any::<bool>()).prop_map(CheckStatus::Tcp),
    ]
}

fn timing() -> impl Strategy<Value = Duration> {
    (0..100_000_u64).prop_map(Duration::from_millis)
}

/// Only a health check can say which family of addresses.
fn check(family: bool) -> impl Strategy<Value = Check> {
    let path = maybe("/[a-z/%?=]{0,8}".prop_map(Arc::<str>::from));
    let run = (command(), text()).prop_map(|(command, value)| {
        let value = Some(if value.is_empty() { "true".into() } else { value });
        let command = CommandInfo { value, uris: Vec::new(), rlimits: Vec::new(), ..command };
        CheckKind::Command(Box::new(command))
    });
    let ipv6 = any::<bool>().prop_map(move |ipv6| ipv6 && family);
    let http = (1..=u16::MAX, path, ipv6.clone()).prop_map(|(port, path, ipv6)| CheckKind::Http {
        port,
        path,
        ipv6,
    });
    let tcp = (1..=u16::MAX, ipv6).prop_map(|(port, ipv6)| CheckKind::Tcp { port, ipv6 });
    (prop_oneof![run, http, tcp], timing(), timing(), timing())
        .prop_map(|(kind, delay, interval, timeout)| Check { kind, delay, interval, timeout })
}
