//! The registry of a data directory of format 1, in which the store of the directory itself had
//! the records: read once, when a newer version takes the directory over.
//!
//! Each commit had, in a record of its own, its number and how many facts there were after it; and
//! its number was kept once more in a file beside the database. Facts that are missing are so seen,
//! and then nothing is taken over.

use super::records::Records;
use super::{RegistrarError, damaged, read_facts};
use crate::Config;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use store::{Batch, Home, Options, Storage, Store};

/// The format whose registry this is.
pub(super) const FORMAT: u32 = 1;
/// The key of the record that counts.
const COUNT: &[u8] = b"n";
/// The file beside the database.
const WITNESS: &str = "commits";
/// Where the database goes once all of it was taken over.
const RETIRED: &str = "registry.old";

/// All facts, as records.
pub(super) fn read(home: &Arc<Home>, config: &Config) -> Result<Records, RegistrarError> {
    let options = Options { cache_bytes: config.cache_bytes, ..Options::new("master", FORMAT) };
    let store = Store::within(Arc::clone(home), &options)?;
    let (mut facts, mut count) = (Batch::new(), None);
    for record in store.scan(b"") {
        let record = record.map_err(|problem| {
            let key = problem.key.unwrap_or_else(|| b"unknown".to_vec());
            damaged(config, &format!("record {}", key.escape_ascii()), problem.problem)
        })?;
        match record.key == COUNT {
            true => count = Some(record.value),
            false => facts.put(record.key, record.value),
        }
    }
    let mut records = Records::default();
    records.change(&facts);
    let (registry, ..) = read_facts(&records, config)?;
    if let (None, Some(bound)) = (registry.cluster_id(), home.identity().cluster) {
        let problem = format!("is missing, though the directory belongs to cluster {bound}");
        return Err(damaged(config, "record c", problem));
    }
    let seen = seen(home.dir()).map_err(RegistrarError::Witness)?;
    check(facts.len() as u64, count.as_deref(), seen)
        .map_err(|problem| damaged(config, "record n", problem))?;
    Ok(records)
}

/// Whether the facts are as many as the newest commit left.
fn check(facts: u64, count: Option<&[u8]>, seen: Option<u64>) -> Result<(), String> {
    let Some(count) = count else {
        // Facts from before there were counts have neither.
        return seen.map_or(Ok(()), |seen| Err(format!("is missing, after {seen} commits")));
    };
    let (commits, counted) = parse(count).ok_or("has not its two numbers")?;
    if facts != counted {
        return Err(format!("counts {counted} facts, and {facts} are there"));
    }
    match seen {
        Some(seen) if seen > commits => Err(format!(
            "is of commit {commits}, though {seen} were durable: the newest facts are gone"
        )),
        _ => Ok(()),
    }
}

/// The number of the newest commit, as the file has it.
fn seen(dir: &Path) -> io::Result<Option<u64>> {
    match fs::read(dir.join(WITNESS)) {
        // Not whole, or torn: then it proves nothing.
        Ok(bytes) => Ok(parse(&bytes).and_then(|(seen, check)| (check == !seen).then_some(seen))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Two numbers of eight bytes.
fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = bytes.split_first_chunk()?;
    let second = second.try_into().ok()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(second)))
}

/// Moves out of the way what was taken over. It is of no use any more, and does no harm.
pub(super) fn retire(home: &Home) {
    if let Err(error) = home.retire_store(RETIRED) {
        tracing::warn!(%error, "cannot move the registry of before away");
        return;
    }
    let dir = home.dir();
    match fs::rename(dir.join(WITNESS), dir.join(RETIRED).join(WITNESS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot move {WITNESS} away");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
