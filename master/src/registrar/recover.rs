//! After most masters of a cluster are lost for good: one of those that are left goes on alone.
//!
//! What only the lost ones had is gone, so this is never done by itself. That it was done is
//! written into the registry, and the epochs of masters begin anew far above all that there were:
//! agents have seen epochs of masters that are lost, and obey no older one.

use super::{
    FORMAT, Member, RegistrarError, member_config, member_dir, of_directory, of_disk, read_facts,
};
use crate::registry_record::{self, Completed};
use crate::{Config, Error};
use ::registrar::Role;
use clock::Clock;
use master_core::{Kept, RegistryOp};
use proto::MasterId;
use std::sync::Arc;
use store::{Batch, Home};

/// More epochs than masters that are lost can have begun without this one.
const EPOCHS: u64 = 1_000_000;

/// What there was, and what is left.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The cluster.
    pub cluster: String,
    /// The master that goes on.
    pub member: u64,
    /// The last entry of the log that it has.
    pub last: u64,
    /// The newest term that it knew.
    pub term: u64,
    /// The other masters, as far as it knew: their ids and addresses. They are none any more.
    pub lost: Vec<(u64, String)>,
    /// Entries that it once had were damaged, and are lost.
    pub lost_entries: bool,
}

/// Makes the master whose data directory `config` names the only one of its cluster. It must not
/// run.
///
/// # Errors
/// Why not, in a sentence for the operator; where the directory is none of a master, or its
/// promises are damaged, nothing was changed.
pub fn recover(config: &Config) -> Result<Recovered, Error> {
    Ok(recover_member(config).map_err(|error| of_directory(config, error))?)
}

fn recover_member(config: &Config) -> Result<Recovered, RegistrarError> {
    let home = Arc::new(Home::open(&config.data_dir, "master", FORMAT, None)?);
    let identity = home.identity();
    let Some(cluster) = identity.cluster.filter(|_| identity.format == FORMAT) else {
        return Err(RegistrarError::Nobody { dir: config.data_dir.clone() });
    };
    let (id, dir) = member_dir(&home)?;
    // Where it is to be found, it says itself at its next start.
    let address = format!("{}:5050", config.hostname);
    let found = ::registrar::recover(&dir, &cluster, id, &address).map_err(of_disk)?;
    let lost = found.members.all().into_iter().filter(|member| *member != id);
    let lost = lost.map(|member| {
        let address = found.members.addresses.get(&member).cloned();
        (member.get(), address.unwrap_or_default())
    });
    let recovered = Recovered {
        lost: lost.collect(),
        cluster: cluster.clone(),
        member: id.get(),
        last: found.last,
        term: found.term,
        lost_entries: found.lost_entries,
    };
    let member = Member::start(member_config(config, (id, dir), &cluster), &home)?;
    member.block_on(note(&member, config, &recovered))?;
    Ok(recovered)
}

/// Writes down that it was done, and begins an epoch that is newer than all of the lost masters.
async fn note(
    member: &Member,
    config: &Config,
    recovered: &Recovered,
) -> Result<(), RegistrarError> {
    let mut status = member.status();
    let leads = status.wait_for(|now| now.role == Role::Leader).await;
    leads.map_err(|_| member.end())?;
    let (registry, ..) = read_facts(&member.records().await?, config)?;
    let master_id = MasterId::new(uuid::Uuid::new_v4().to_string());
    let master_id = master_id.expect("a UUID is a valid id");
    let now = Clock::start().now();
    // Another one when the same past is gone back to a second time.
    let ahead = EPOCHS + now.as_secs_f64() as u64;
    renumber(member, registry.kept(), ahead).await?;
    let epoch = registry.epoch() + ahead;
    let mut batch = Batch::new();
    let op = RegistryOp::BeginEpoch { epoch, master_id };
    registry_record::write(&op, &mut Completed::new(), &mut batch);
    let lost: Vec<String> = recovered.lost.iter().map(|(id, at)| format!("{id}@{at}")).collect();
    let words = format!(
        "member {} went on alone after entry {} of term {}, without {}",
        recovered.member,
        recovered.last,
        recovered.term,
        lost.join(" ")
    );
    batch.put(format!("{NOTES}{:020}", now.as_nanos()).into_bytes(), words.into_bytes());
    member.write(&batch).await
}

/// Gives all that frameworks keep versions far above all that there were. What a framework was told
/// of what is lost must not come true again with another meaning: whoever relies on a version, with
/// a comparison or a fence, finds out and reads anew.
async fn renumber(member: &Member, kept: &Kept, ahead: u64) -> Result<(), RegistrarError> {
    for (framework_id, state) in kept.of() {
        let puts = state.entries.iter().map(|(key, held)| RegistryOp::PutState {
            framework_id: framework_id.clone(),
            key: Arc::clone(key),
            value: Arc::clone(&held.value),
            version: held.version.saturating_add(ahead),
            write: held.write,
        });
        let counter = RegistryOp::DeleteState {
            framework_id: framework_id.clone(),
            // No key is empty: this says only how far the versions have come.
            key: Arc::from(""),
            version: state.version.saturating_add(ahead),
        };
        for op in puts.chain([counter]) {
            let mut batch = Batch::new();
            registry_record::write(&op, &mut Completed::new(), &mut batch);
            member.write(&batch).await?;
        }
    }
    Ok(())
}

/// The beginning of the keys under which recoveries are noted; when, in nanoseconds since 1970,
/// follows.
pub(super) const NOTES: &str = "r/";
