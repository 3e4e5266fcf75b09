//! Messages of other members. What raft would not survive never reaches it.

use super::{Heard, Member};
use crate::effect::{Effect, Loss};
use crate::members::MemberId;
use crate::message::{Body, Message};
use raft::eraftpb::{self, MessageType};

/// Of so many that it does not know as members it remembers when it heard of them.
const MAX_STRANGERS: usize = 32;

impl Member {
    pub(super) fn receive(&mut self, message: Message, effects: &mut Vec<Effect>) {
        let Message { from, to, incarnation, body } = message;
        if to != self.id || from == self.id || self.stopped {
            return;
        }
        self.make_room_for(from);
        let heard =
            self.heard.entry(from).or_insert(Heard { incarnation, at: self.now, cut_off: false });
        // Said before it was started again: it may have forgotten it.
        if incarnation < heard.incarnation {
            return;
        }
        *heard = Heard { incarnation, at: self.now, cut_off: false };
        match body {
            Body::Raft(message) => self.receive_raft(*message, effects),
            Body::Hash { .. } if !self.members.contains(from) => {}
            Body::Hash { index, hash } => {
                self.agreement.note(from, index, hash);
                if let Some(loss) = self.agreement.check(index, self.id, None, &self.members) {
                    self.stop(loss, effects);
                }
            }
            Body::Forgot { term, last } => {
                self.strike_out(from, incarnation, term, last, effects);
            }
            Body::Recall { term, commit, asker } => self.recall(term, commit, asker),
        }
    }

    /// Of whoever is no member as far as this one knows, only some are remembered: it may be the
    /// leader, or somebody that makes up a new id each time.
    fn make_room_for(&mut self, from: MemberId) {
        if self.heard.contains_key(&from) || self.members.contains(from) {
            return;
        }
        let strangers = self.heard.iter().filter(|(id, _)| !self.members.contains(**id));
        if strangers.clone().count() >= MAX_STRANGERS {
            let oldest = strangers.min_by_key(|(_, heard)| heard.at).map(|(id, _)| *id);
            oldest.map(|id| self.heard.remove(&id));
        }
    }

    fn receive_raft(&mut self, mut message: eraftpb::Message, effects: &mut Vec<Effect>) {
        match self.admit(&mut message) {
            Ok(true) if self.grant(&mut message) => {
                // An error says that the sender is no member: it is not answered.
                drop(self.raw.step(message));
            }
            Ok(_) => {}
            Err(loss) => self.stop(loss, effects),
        }
    }

    /// Whether raft may see it.
    fn admit(&self, message: &mut eraftpb::Message) -> Result<bool, Loss> {
        let kind = message.get_msg_type();
        let is = |kinds: &[MessageType]| kinds.contains(&kind);
        let log = &self.raw.raft.raft_log;
        let (last, committed) = (log.last_index(), log.committed);
        let is_current = message.term >= self.raw.raft.term;
        if is(&[MessageType::MsgHeartbeat]) && message.commit > last && is_current {
            if self.forgetting.is_none() {
                return Err(Loss::Forgotten { acknowledged: message.commit, last });
            }
            message.commit = last;
        }
        if is(&[MessageType::MsgAppend]) && is_current {
            let differs = |entry: &&eraftpb::Entry| {
                let ours = log.term(entry.index).unwrap_or(0);
                entry.index <= committed && ours != 0 && ours != entry.term
            };
            if let Some(entry) = message.entries.iter().find(differs) {
                return Err(Loss::OtherHistory { index: entry.index });
            }
        }
        // It neither votes nor stands as long as it does not know what it acknowledged.
        let elections = [
            MessageType::MsgRequestVote,
            MessageType::MsgRequestPreVote,
            MessageType::MsgTimeoutNow,
        ];
        let is_barred = (self.forgetting.is_some() && is(&elections))
            // A candidate must have all that it acknowledged on its disk.
            || (!self.has_kept_its_word() && is(&[MessageType::MsgTimeoutNow]))
            // No member has what the leader has not.
            || (is(&[MessageType::MsgAppendResponse]) && message.index > last && !message.reject)
            || (is(&[MessageType::MsgSnapshot]) && self.incoming.is_none());
        Ok(!is_barred)
    }
}
