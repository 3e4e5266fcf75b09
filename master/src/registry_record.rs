//! The registry's records: one for each fact, under a key that names it.
//!
//! | key | fact |
//! | --- | --- |
//! | `c` | the cluster |
//! | `e` | the newest epoch |
//! | `a/AGENT` | an admitted agent |
//! | `u/AGENT` | since when it is unreachable |
//! | `i/AGENT` | it is deactivated |
//! | `d/AGENT` | its drain |
//! | `h/AGENT` | what is reserved and made on it at run time |
//! | `g/AGENT` | since when it is gone for ever |
//! | `f/FRAMEWORK` | a framework whose scheduler is away |
//! | `x/TIME FRAMEWORK` | a completed framework, oldest first |
//! | `w/ROLE` | a weight |
//! | `q/ROLE` | a quota |
//! | `o/UUID` | an operation that is under way or not acknowledged |
//! | `s/FRAMEWORK` | a framework that keeps state |
//! | `k/FRAMEWORK NUL KEY` | a key of its state |
//! | `v/FRAMEWORK` | how far its versions had come with its last deletion |
//! | `m` | maintenance: the schedule and what is down |
//!
//! Values are private to this file: fields in order, integers in little endian, texts and messages
//! with their length before them. Their version is the format of the data directory.

mod fields;
mod kept;

use fields::{Fields, Reader};
use master_core::{Drain, Holdings, Maintenance, Quota, Registry, RegistryOp};
use proto::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Limits, MasterId, Role, StatusUuid, Time,
};
use std::collections::VecDeque;
use std::time::Duration;
use store::{Batch, Scan};

#[cfg(test)]
mod tests;

/// The keys of completed frameworks, oldest first: only so many are kept.
pub(crate) type Completed = VecDeque<Vec<u8>>;

/// The beginnings of the keys, in the order of the registry's own snapshot: agents before what is
/// said of them.
const KINDS: [&[u8]; 17] = [
    b"c", b"e", b"a/", b"h/", b"u/", b"i/", b"d/", b"g/", b"f/", b"x/", b"w/", b"q/", b"m", b"o/",
    b"s/", b"k/", b"v/",
];

/// Adds what `op` changes to `batch`.
pub(crate) fn write(op: &RegistryOp, completed: &mut Completed, batch: &mut Batch) {
    match op {
        RegistryOp::FoundCluster { cluster_id } => {
            batch.put(*b"c", Fields::default().bytes(cluster_id.as_bytes()).0);
        }
        RegistryOp::BeginEpoch { epoch, master_id } => {
            let fields = Fields::default().int(*epoch).bytes(master_id.as_str().as_bytes());
            batch.put(*b"e", fields.0);
        }
        RegistryOp::AdmitAgent { info, version, nonce, registered } => {
            let Some(id) = &info.id else { return };
            let fields = agent_fields(info, version, *nonce, *registered);
            batch.put(key(b'a', id.as_str()), fields.0);
        }
        RegistryOp::MarkUnreachable { agent_id, since } => {
            batch.put(key(b'u', agent_id.as_str()), Fields::default().int(since.as_nanos()).0);
        }
        RegistryOp::MarkReachable { agent_id } => batch.delete(key(b'u', agent_id.as_str())),
        RegistryOp::DeactivateAgent { agent_id } => {
            batch.put(key(b'i', agent_id.as_str()), Vec::new());
        }
        RegistryOp::ReactivateAgent { agent_id } => {
            batch.delete(key(b'i', agent_id.as_str()));
            batch.delete(key(b'd', agent_id.as_str()));
        }
        RegistryOp::DrainAgent { agent_id, drain } => {
            batch.put(key(b'd', agent_id.as_str()), drain_fields(drain).0);
        }
        RegistryOp::MarkGone { agent_id, since, kept } => {
            forget_agent(agent_id, batch);
            let fields = Fields::default().int(since.as_nanos()).int(u64::from(*kept));
            batch.put(key(b'g', agent_id.as_str()), fields.0);
        }
        RegistryOp::SetMaintenance { maintenance } => {
            batch.put(*b"m", maintenance_fields(maintenance).0);
        }
        RegistryOp::RemoveAgent { agent_id } => {
            forget_agent(agent_id, batch);
            batch.delete(key(b'g', agent_id.as_str()));
        }
        RegistryOp::HoldFramework { info, registered, deadline } => {
            let Some(id) = &info.id else { return };
            let fields = framework_fields(info, *registered, *deadline);
            batch.put(key(b'f', id.as_str()), fields.0);
        }
        RegistryOp::ReleaseFramework { framework_id } => {
            batch.delete(key(b'f', framework_id.as_str()));
        }
        RegistryOp::CompleteFramework { info, registered, unregistered } => {
            complete_framework(info, *registered, *unregistered, completed, batch);
        }
        RegistryOp::SetWeight { role, weight_milli } => {
            batch.put(key(b'w', role.as_str()), Fields::default().int(*weight_milli).0);
        }
        RegistryOp::SetQuota { role, quota } => {
            batch.put(key(b'q', role.as_str()), quota_fields(quota).0);
        }
        RegistryOp::RemoveQuota { role } => batch.delete(key(b'q', role.as_str())),
        RegistryOp::SetHoldings { agent_id, holdings } => {
            write_holdings(agent_id, holdings, batch);
        }
        RegistryOp::PutOperation { uuid, operation } => {
            batch.put(operation_key(*uuid), Fields::default().operation(operation).0);
        }
        RegistryOp::RemoveOperation { uuid } => batch.delete(operation_key(*uuid)),
        RegistryOp::OpenState { .. }
        | RegistryOp::PutState { .. }
        | RegistryOp::DeleteState { .. }
        | RegistryOp::ForgetState { .. } => kept::write(op, batch),
    }
}

fn write_holdings(agent_id: &AgentId, holdings: &Holdings, batch: &mut Batch) {
    let key = key(b'h', agent_id.as_str());
    match holdings.is_empty() {
        true => batch.delete(key),
        false => batch.put(key, Fields::default().holdings(holdings).0),
    }
}

fn agent_fields(info: &AgentInfo, version: &str, nonce: Option<u64>, registered: Time) -> Fields {
    Fields::default()
        .message(info)
        .bytes(version.as_bytes())
        .int(u64::from(nonce.is_some()))
        .int(nonce.unwrap_or(0))
        .int(registered.as_nanos())
}

/// A framework goes from those that are held to the completed ones, of which the oldest goes.
fn complete_framework(
    info: &FrameworkInfo,
    registered: Time,
    unregistered: Time,
    completed: &mut Completed,
    batch: &mut Batch,
) {
    let Some(id) = &info.id else { return };
    batch.delete(key(b'f', id.as_str()));
    let key = completed_key(unregistered, id);
    batch.put(key.clone(), framework_fields(info, registered, unregistered).0);
    completed.push_back(key);
    while completed.len() > Registry::COMPLETED_KEPT {
        completed.pop_front().into_iter().for_each(|oldest| batch.delete(oldest));
    }
}

/// Deletes all that is said of an admitted agent.
fn forget_agent(agent_id: &AgentId, batch: &mut Batch) {
    for kind in [b'a', b'h', b'u', b'i', b'd'] {
        batch.delete(key(kind, agent_id.as_str()));
    }
}

/// Reads all facts, as operations in an order that rebuilds the registry.
///
/// # Errors
/// The printable key of a damaged record, and what is wrong with it.
pub(crate) fn read<'a>(
    scan: impl Fn(&[u8]) -> Scan<'a>,
    limits: &Limits,
) -> Result<(Vec<RegistryOp>, Completed), (String, String)> {
    let mut ops = Vec::new();
    let mut completed = Completed::new();
    for prefix in KINDS {
        for record in scan(prefix) {
            let record = record.map_err(|damaged| {
                (printable(damaged.key.as_deref().unwrap_or(b"unknown")), damaged.problem)
            })?;
            let op = read_one(&record.key, &record.value, limits)
                .map_err(|problem| (printable(&record.key), problem))?;
            if prefix == b"x/" {
                completed.push_back(record.key);
            }
            ops.push(op);
        }
    }
    Ok((ops, completed))
}

fn read_one(key: &[u8], value: &[u8], limits: &Limits) -> Result<RegistryOp, String> {
    let mut fields = Reader(value);
    let name = || {
        let name = key.get(2..).and_then(|name| std::str::from_utf8(name).ok());
        name.ok_or_else(|| "has no readable name".to_owned())
    };
    let op = match key.first() {
        Some(b'c') => RegistryOp::FoundCluster { cluster_id: fields.text()? },
        Some(b'e') => {
            let epoch = fields.int()?;
            let master_id = MasterId::new(fields.text()?).map_err(|error| error.to_string())?;
            RegistryOp::BeginEpoch { epoch, master_id }
        }
        Some(b'a') => {
            let info: AgentInfo = fields.message(limits)?;
            let version = fields.text()?;
            let (has_nonce, nonce) = (fields.int()?, fields.int()?);
            let nonce = (has_nonce == 1).then_some(nonce);
            RegistryOp::AdmitAgent { info, version, nonce, registered: fields.time()? }
        }
        Some(b'u') => {
            let agent_id = AgentId::new(name()?).map_err(|error| error.to_string())?;
            RegistryOp::MarkUnreachable { agent_id, since: fields.time()? }
        }
        Some(b'i') => {
            let agent_id = AgentId::new(name()?).map_err(|error| error.to_string())?;
            RegistryOp::DeactivateAgent { agent_id }
        }
        Some(b'd') => {
            let agent_id = AgentId::new(name()?).map_err(|error| error.to_string())?;
            RegistryOp::DrainAgent { agent_id, drain: read_drain(&mut fields)? }
        }
        Some(b'h') => {
            let agent_id = AgentId::new(name()?).map_err(|error| error.to_string())?;
            RegistryOp::SetHoldings { agent_id, holdings: fields.holdings(limits)? }
        }
        Some(b'o') => {
            let uuid = key.get(2..).unwrap_or_default();
            let uuid = StatusUuid::from_slice(uuid).map_err(|error| error.to_string())?;
            RegistryOp::PutOperation { uuid, operation: fields.operation(limits)? }
        }
        Some(b'g') => {
            let agent_id = AgentId::new(name()?).map_err(|error| error.to_string())?;
            let since = fields.time()?;
            // A record that does not say it yet is kept.
            let kept = fields.0.is_empty() || fields.int()? == 1;
            RegistryOp::MarkGone { agent_id, since, kept }
        }
        Some(b'f') => {
            let info: FrameworkInfo = fields.message(limits)?;
            let registered = fields.time()?;
            RegistryOp::HoldFramework { info, registered, deadline: fields.time()? }
        }
        Some(b'x') => {
            let info: FrameworkInfo = fields.message(limits)?;
            let registered = fields.time()?;
            RegistryOp::CompleteFramework { info, registered, unregistered: fields.time()? }
        }
        Some(b'm') => RegistryOp::SetMaintenance { maintenance: fields.maintenance()? },
        Some(b'w') => {
            let role = Role::new(name()?).map_err(|error| error.to_string())?;
            RegistryOp::SetWeight { role, weight_milli: fields.int()? }
        }
        Some(b'q') => {
            let role = Role::new(name()?).map_err(|error| error.to_string())?;
            RegistryOp::SetQuota { role, quota: read_quota(&mut fields)? }
        }
        Some(b's' | b'k' | b'v') => kept::read(key, &mut fields, limits)?,
        _ => return Err("has an unknown kind".to_owned()),
    };
    if fields.0.is_empty() { Ok(op) } else { Err("is longer than its fields".to_owned()) }
}

fn read_drain(fields: &mut Reader<'_>) -> Result<Drain, String> {
    let since = fields.time()?;
    let (has_grace, grace) = (fields.int()?, fields.int()?);
    let max_grace = (has_grace == 1).then(|| Duration::from_nanos(grace));
    let (mark_gone, drained) = (fields.int()? == 1, fields.int()? == 1);
    Ok(Drain { since, max_grace, mark_gone, drained })
}

fn read_quota(fields: &mut Reader<'_>) -> Result<Quota, String> {
    let mut quota = Quota::default();
    for (name, milli) in fields.amounts()? {
        quota.guarantees.add(&name, milli);
    }
    quota.limits.extend(fields.amounts()?);
    Ok(quota)
}

fn key(kind: u8, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + name.len());
    key.extend_from_slice(&[kind, b'/']);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The identity itself, not as text.
fn operation_key(uuid: StatusUuid) -> Vec<u8> {
    let mut key = b"o/".to_vec();
    key.extend_from_slice(&uuid.0);
    key
}

/// Big endian, so that the order of keys is the order of time.
fn completed_key(unregistered: Time, id: &FrameworkId) -> Vec<u8> {
    let mut key = b"x/".to_vec();
    key.extend_from_slice(&unregistered.as_nanos().to_be_bytes());
    key.extend_from_slice(id.as_str().as_bytes());
    key
}

/// A framework, when it registered, and its deadline or when it went.
fn framework_fields(info: &FrameworkInfo, registered: Time, until: Time) -> Fields {
    Fields::default().message(info).int(registered.as_nanos()).int(until.as_nanos())
}

fn drain_fields(drain: &Drain) -> Fields {
    Fields::default()
        .int(drain.since.as_nanos())
        .int(u64::from(drain.max_grace.is_some()))
        .duration(drain.max_grace.unwrap_or_default())
        .int(u64::from(drain.mark_gone))
        .int(u64::from(drain.drained))
}

fn quota_fields(quota: &Quota) -> Fields {
    let guarantees = quota.guarantees.iter().collect::<Vec<_>>();
    let limits = quota.limits.iter().map(|(name, milli)| (name, *milli)).collect::<Vec<_>>();
    Fields::default().amounts(&guarantees).amounts(&limits)
}

fn maintenance_fields(maintenance: &Maintenance) -> Fields {
    let mut fields = Fields::default().int(maintenance.windows.len() as u64);
    for window in &maintenance.windows {
        let away = window.unavailability;
        fields = fields
            .int(away.start.as_nanos())
            .int(u64::from(away.duration.is_some()))
            .duration(away.duration.unwrap_or_default())
            .int(window.machines.len() as u64);
        fields = window.machines.iter().fold(fields, Fields::machine);
    }
    fields = fields.int(maintenance.down.len() as u64);
    maintenance.down.iter().fold(fields, Fields::machine)
}

fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
