//! When a member takes a snapshot: often enough for a short log, seldom enough for a big state.

use bytes::Bytes;
use proto::Time;
use registrar_core::{Effect, Input, Member, MemberId, Members, Options, Proposal, Restored};

/// A group of one, whose disk is as fast as can be.
struct Alone {
    member: Member,
    now: Time,
    /// Bytes that its snapshots have.
    state: usize,
    snapshots: usize,
    first: u64,
}

impl Alone {
    fn new(restored: Restored, state: usize, options: Options) -> Self {
        let id = MemberId::new(1).unwrap();
        let member = Member::new(id, options, restored, 1, Time::ZERO).unwrap();
        let mut alone = Self { member, now: Time::ZERO, state, snapshots: 0, first: 0 };
        alone.step(Input::Tick);
        alone
    }

    fn step(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.member.step(self.now, input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Write(write) => {
                        inputs.push_back(Input::Persisted { number: write.number });
                    }
                    Effect::TakeSnapshot(meta) => {
                        self.snapshots += 1;
                        let (index, bytes) = (meta.index, self.state);
                        inputs.push_back(Input::SnapshotTaken { index, bytes });
                    }
                    Effect::Compact { index, .. } => self.first = index + 1,
                    _ => {}
                }
            }
        }
    }

    /// Snapshots taken during so many entries of 1,000 bytes.
    fn propose(&mut self, entries: u64) -> usize {
        let before = self.snapshots;
        for id in 0..entries {
            let data = Bytes::from(vec![7; 1_000]);
            self.step(Input::Propose(vec![Proposal { id, data }]));
        }
        self.snapshots - before
    }
}

fn founder(content_bytes: usize) -> Restored {
    let id = MemberId::new(1).unwrap();
    let members = Members::of_voters([(id, String::new())]);
    Restored { content_bytes, ..Restored::founder(members) }
}

fn options() -> Options {
    let snapshot_entries = 1_000_000;
    Options { snapshot_bytes: 10_000, snapshot_entries, kept_entries: 0, ..Options::default() }
}

#[test]
fn a_small_state_is_taken_after_the_bytes_of_the_options_and_nothing_before_it_is_kept() {
    let mut alone = Alone::new(founder(0), 100, options());
    // The entry that is not applied yet when it is taken counts for the next one.
    assert!((9..=11).contains(&alone.propose(100)));
    let status = alone.member.status();
    assert_eq!(status.first, alone.first);
    assert!(status.last + 1 - status.first < 10, "{status:?}");
}

#[test]
fn what_is_written_for_a_big_state_stays_in_proportion() {
    let mut alone = Alone::new(founder(0), 100_000, options());
    // The first one finds out how big it is; then there is one for each 50,000 bytes.
    assert_eq!(alone.propose(10), 1);
    assert_eq!(alone.propose(100), 2);
    // A start is told by the disk.
    let mut again = Alone::new(founder(100_000), 100_000, options());
    assert_eq!(again.propose(45), 0);
    assert_eq!(again.propose(10), 1);
}
