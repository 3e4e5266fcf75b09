//! Room for records, where there is little of it: what is taken on must have room for its ends.
//!
//! A unit that was taken on has room for its record promised, whatever becomes of it. Histories
//! and messages are for people, and have half of the room: beyond it they are left out, so that
//! ends can always be recorded.

use super::Scheduler;
use crate::core::boundary::{Refusal, Write};
use crate::core::journal::{CAPACITY, record_bytes};
use std::sync::Arc;

/// Bytes promised for the record of a unit: its key, where it is, how it ended, without words.
const UNIT_BYTES: usize = 128;

/// How the room stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all records.
    pub used: usize,
    /// Why those who keep the records take none at the moment.
    pub refused: Option<Arc<str>>,
}

impl Scheduler {
    /// The most bytes of records that the masters keep for a framework of groups.
    pub const ROOM_BYTES: usize = CAPACITY;

    /// Says how much of the room is used; without it there is as much as is needed.
    pub fn set_room(&mut self, room: Option<Room>) {
        self.room = room;
    }

    /// Bytes of records that are used, and that are promised to units that have not ended; `None`
    /// where there is room enough.
    pub fn room(&self) -> Option<(usize, usize)> {
        let room = self.room.as_ref()?;
        let open = |group: &super::Group| {
            group.counts.total().saturating_sub(group.counts.ended()) as usize * UNIT_BYTES
        };
        Some((room.used, self.groups.values().map(open).sum()))
    }

    /// Whether `count` more units and a record of so many bytes may be taken on.
    pub(super) fn check_room(&self, bytes: usize, count: u32) -> Result<(), Refusal> {
        let Some((used, promised)) = self.room() else { return Ok(()) };
        if let Some(why) = self.room.as_ref().and_then(|room| room.refused.clone()) {
            return Err(Refusal::MastersFull(why));
        }
        let needs = bytes.saturating_add((count as usize).saturating_mul(UNIT_BYTES));
        if needs.saturating_add(used).saturating_add(promised) > CAPACITY {
            return Err(Refusal::NoRoom { needs, used, promised, capacity: CAPACITY });
        }
        Ok(())
    }

    /// Whether there is room for what is only for people.
    pub(super) fn has_room_for_words(&self) -> bool {
        self.room.as_ref().is_none_or(|room| room.used < CAPACITY / 2)
    }

    /// The step made these records; what they replace is known when the room is told anew.
    pub(super) fn fill_room(&mut self) {
        let Some(room) = &mut self.room else { return };
        let bytes =
            |write: &Write| write.value.as_ref().map_or(0, |value| record_bytes(&write.key, value));
        room.used += self.writes.iter().map(bytes).sum::<usize>();
    }
}
