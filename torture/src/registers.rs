//! Clients that write and read registers that the masters keep: the limits of roles that nobody
//! uses. Each value is written once, so that a read tells which write it saw.

use crate::cluster::{Cluster, master_addresses, pause};
use crate::history::{Fact, Outcome, now};
use crate::operator::Operator;
use proto::operator::{Call, Response};
use proto::{Quantities, QuotaConfig, ResourceName, Role};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many registers there are.
pub(crate) const REGISTERS: usize = 4;
/// How many clients write and read them.
pub(crate) const CLIENTS: usize = 3;
/// Between two turns of a client: the machine is to be loaded, not full.
const PAUSE_MILLIS: u64 = 25;

/// The call that limits a role to so many thousandths of a cpu.
pub(crate) fn limit(role: &str, cpus: u64) -> Call {
    let config = QuotaConfig {
        role: Role::new(role).expect("our own names are good"),
        guarantees: Quantities::default(),
        limits: [(ResourceName::new("cpus"), cpus)].into(),
    };
    Call::UpdateQuota { force: false, configs: vec![config] }
}

fn name(register: usize) -> String {
    format!("register-{register}")
}

/// The values of all registers in an answer.
fn values(answer: &Response) -> Option<[u64; REGISTERS]> {
    let Response::Quota(all) = answer else { return None };
    let value = |register: usize| {
        let name = name(register);
        let config = all.iter().find(|config| config.role.as_str() == name);
        config.and_then(|config| config.limits.values().next().copied()).unwrap_or(0)
    };
    Some(std::array::from_fn(value))
}

/// Writes and reads until it is told to stop.
pub(crate) async fn client(
    cluster: Arc<Cluster>,
    client: usize,
    next_value: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let mut operator = Operator::beginning_at(master_addresses(), client);
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let register = turn % REGISTERS;
        let value = next_value.fetch_add(1, Ordering::Relaxed);
        let began = now();
        let answer = operator.call(limit(&name(register), value)).await;
        let outcome =
            if matches!(answer, Ok(Response::Ok)) { Outcome::Done } else { Outcome::Unknown };
        cluster.history.note(Fact::Wrote { client, register, value, began, outcome });
        read(&cluster, &mut operator, client, false).await;
        // Who leads is being found out: asking faster would not find it sooner.
        pause(if outcome == Outcome::Done { PAUSE_MILLIS } else { 4 * PAUSE_MILLIS }).await;
    }
}

/// Reads all registers once; whether there was an answer.
pub(crate) async fn read(
    cluster: &Cluster,
    operator: &mut Operator,
    client: usize,
    last: bool,
) -> bool {
    let began = now();
    let Ok(answer) = operator.call(Call::GetQuota).await else { return false };
    let at = now();
    let Some(values) = values(&answer) else { return false };
    for (register, value) in values.into_iter().enumerate() {
        cluster.history.note_at(at, Fact::Read { client, register, value, began, last });
    }
    true
}
