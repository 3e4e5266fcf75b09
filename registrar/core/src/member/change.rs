//! Changes of the members, by entries of the log.

use super::Member;
use crate::codec::{Reader, Unreadable, Writer};
use crate::effect::{Effect, Refusal};
use crate::input::Change;
use crate::members::MemberId;
use crate::members::Members;
use bytes::Bytes;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType};
use std::collections::{BTreeMap, BTreeSet};

impl Member {
    pub(super) fn change(&mut self, id: u64, changes: &[Change], effects: &mut Vec<Effect>) {
        if let Err(reason) = self.check_change(changes) {
            effects.push(Effect::Dropped { id, reason });
            return;
        }
        let record = write(changes);
        let index = self.raw.raft.raft_log.last_index() + 1;
        match self.raw.propose_conf_change(record, to_raft(changes, &self.members)) {
            Ok(()) => self.expect(index, id, EntryType::EntryConfChangeV2),
            Err(_) => effects.push(Effect::Dropped { id, reason: Refusal::Busy }),
        }
    }

    fn check_change(&self, changes: &[Change]) -> Result<(), Refusal> {
        if !self.leads() {
            return Err(Refusal::NotLeading { leader: self.leader() });
        }
        if self.raw.raft.has_pending_conf() || !self.members.outgoing.is_empty() {
            return Err(Refusal::ChangeUnderWay);
        }
        let mut voters = self.members.voters.clone();
        let mut named = BTreeSet::new();
        let wrong = |why| Err(Refusal::Change(why));
        for change in changes {
            if !named.insert(change.member()) {
                return wrong("a member is named twice");
            }
            match change {
                Change::AddLearner { member, .. } if self.members.contains(*member) => {
                    return wrong("it is a member already");
                }
                Change::AddLearner { member, .. } if self.members.removed.contains(member) => {
                    return wrong(
                        "it was a member and was removed: with a new data directory it gets an id \
                         of its own",
                    );
                }
                Change::Readdress { address, .. } if address.is_empty() => {
                    return wrong("the address is missing");
                }
                Change::Readdress { member, .. } if !self.members.contains(*member) => {
                    return wrong("it is no member");
                }
                Change::AddLearner { .. } | Change::Readdress { .. } => {}
                Change::Promote { member } if !self.members.learners.contains(member) => {
                    return wrong("only a learner can become a voter");
                }
                Change::Promote { member } => {
                    voters.insert(*member);
                }
                Change::Remove { member } if *member == self.id => {
                    return wrong("the leader hands over before it is removed");
                }
                Change::Remove { member } if !self.members.contains(*member) => {
                    return wrong("it is no member");
                }
                Change::Remove { member } => {
                    voters.remove(member);
                }
            }
        }
        if changes.is_empty() || voters.is_empty() {
            return wrong("it would change nothing, or leave nobody");
        }
        Ok(())
    }

    /// A change was agreed upon: whether it was one.
    pub(super) fn apply_change(&mut self, entry: &Entry, effects: &mut Vec<Effect>) -> bool {
        // Raft's own entry, which completes a joint change, says nothing.
        let read = match entry.context.is_empty() {
            true => Ok(Vec::new()),
            false => read(entry.context.clone()),
        };
        let Ok(changes) = read else { return false };
        let change = to_raft(&changes, &self.members);
        let Ok(state) = self.raw.apply_conf_change(&change) else { return false };
        let addresses: BTreeMap<MemberId, String> = changes
            .into_iter()
            .filter_map(|change| match change {
                Change::AddLearner { member, address } | Change::Readdress { member, address } => {
                    Some((member, address))
                }
                Change::Promote { .. } | Change::Remove { .. } => None,
            })
            .collect();
        self.members = self.members.changed(&state, addresses);
        self.members_changed = true;
        self.members_index = entry.index;
        let (index, members) = (entry.index, self.members.clone());
        effects.push(Effect::Members { index, members });
        if self.is_removed() {
            self.step_aside();
        }
        true
    }
}

/// What raft is told. `members` are those before: for raft, a new address is the role over again.
fn to_raft(changes: &[Change], members: &Members) -> ConfChangeV2 {
    let singles: Vec<ConfChangeSingle> = changes
        .iter()
        .map(|change| {
            let (kind, member) = match change {
                Change::AddLearner { member, .. } => (ConfChangeType::AddLearnerNode, member),
                Change::Promote { member } => (ConfChangeType::AddNode, member),
                Change::Readdress { member, .. } if members.learners.contains(member) => {
                    (ConfChangeType::AddLearnerNode, member)
                }
                Change::Readdress { member, .. } => (ConfChangeType::AddNode, member),
                Change::Remove { member } => (ConfChangeType::RemoveNode, member),
            };
            let mut single = ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = member.get();
            single
        })
        .collect();
    let mut change = ConfChangeV2::default();
    change.set_changes(singles.into());
    change
}

const ADD: u8 = 1;
const PROMOTE: u8 = 2;
const REMOVE: u8 = 3;
const READDRESS: u8 = 4;

fn write(changes: &[Change]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.int(changes.len() as u64);
    for change in changes {
        let (kind, member, address) = match change {
            Change::AddLearner { member, address } => (ADD, member, address.as_str()),
            Change::Promote { member } => (PROMOTE, member, ""),
            Change::Remove { member } => (REMOVE, member, ""),
            Change::Readdress { member, address } => (READDRESS, member, address.as_str()),
        };
        writer.byte(kind);
        writer.int(member.get());
        writer.bytes(address.as_bytes());
    }
    writer.0
}

fn read(record: Bytes) -> Result<Vec<Change>, Unreadable> {
    let mut reader = Reader(record);
    let mut changes = Vec::new();
    for _ in 0..reader.int("number of changes")? {
        let field = "change of a member";
        let kind = reader.byte(field)?;
        let member = MemberId::new(reader.int(field)?).ok_or(Unreadable { field })?;
        let address = String::from_utf8(reader.bytes(field)?.to_vec());
        let address = address.map_err(|_| Unreadable { field })?;
        changes.push(match kind {
            ADD => Change::AddLearner { member, address },
            READDRESS => Change::Readdress { member, address },
            PROMOTE => Change::Promote { member },
            REMOVE => Change::Remove { member },
            _ => return Err(Unreadable { field }),
        });
    }
    reader.end("changes of the members")?;
    Ok(changes)
}
