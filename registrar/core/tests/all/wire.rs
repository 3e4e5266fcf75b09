//! What comes from the wire or a disk: read as it was written, or refused; never a panic.

use bytes::Bytes;
use proptest::prelude::*;
use proto::Time;
use registrar_core::{
    Effect, Entry, Input, Member, MemberId, Members, Message, Options, Proposal, Restored,
    SnapshotMeta,
};

fn id(id: u64) -> MemberId {
    MemberId::new(id).unwrap()
}

fn founders() -> Members {
    Members::of_voters([1, 2, 3].map(|n| (id(n), format!("host-{n}:5050"))))
}

fn member(n: u64) -> Member {
    Member::new(id(n), Options::default(), Restored::founder(founders()), n, Time::ZERO).unwrap()
}

/// Messages of all kinds that occur while three members elect a leader and agree on entries.
fn conversation() -> Vec<Message> {
    let mut members: Vec<Member> = (1..=3).map(member).collect();
    let (mut said, mut queue) = (Vec::new(), std::collections::VecDeque::new());
    for round in 0..200 {
        for n in 0..3 {
            queue.push_back((n, Input::Tick));
        }
        if round > 40 {
            let proposal = Proposal { id: round, data: Bytes::from_static(b"an entry") };
            queue.push_back((round as usize % 3, Input::Propose(vec![proposal])));
            queue.push_back((round as usize % 3, Input::Read(vec![round])));
        }
        while let Some((n, input)) = queue.pop_front() {
            let mut effects = Vec::new();
            members[n].step(Time::from_millis(round * 50), input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Write(write) => {
                        queue.push_back((n, Input::Persisted { number: write.number }));
                    }
                    Effect::Send(message) => {
                        said.push(message.clone());
                        queue.push_back((
                            message.to().get() as usize - 1,
                            Input::Messages(vec![message]),
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(members.iter().any(|member| member.status().commit > 50));
    said
}

#[test]
fn messages_are_read_as_they_were_written() {
    let said = conversation();
    assert!(said.len() > 1_000);
    for message in &said {
        assert_eq!(Message::decode(message.encode()).as_ref(), Ok(message));
    }
}

#[test]
fn a_message_cut_off_or_changed_is_refused_or_survived() {
    let said = conversation();
    let mut listener = member(1);
    for (n, message) in said.iter().enumerate().step_by(7) {
        let bytes = message.encode();
        for cut in 0..bytes.len() {
            assert!(Message::decode(bytes.slice(..cut)).is_err());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << (n % 8);
            if let Ok(message) = Message::decode(changed.into()) {
                let mut effects = Vec::new();
                listener.step(Time::ZERO, Input::Messages(vec![message]), &mut effects);
                if effects.iter().any(|effect| matches!(effect, Effect::Stop(_))) {
                    listener = member(1);
                }
            }
        }
    }
}

#[test]
fn of_strangers_without_end_only_some_are_remembered() {
    let said = conversation();
    let mut listener = member(1);
    for (n, message) in said.iter().cycle().take(10_000).enumerate() {
        let mut bytes = message.encode().to_vec();
        bytes[..8].copy_from_slice(&(1_000 + n as u64).to_le_bytes());
        bytes[8..16].copy_from_slice(&1u64.to_le_bytes());
        let message = Message::decode(bytes.into()).unwrap();
        listener.step(Time::ZERO, Input::Messages(vec![message]), &mut Vec::new());
        assert!(listener.strangers() <= 32, "{n}");
    }
    assert_eq!(listener.strangers(), 32);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = Message::decode(bytes.clone());
        let _ = Entry::decode_run(bytes.clone());
        let _ = SnapshotMeta::decode(bytes.clone());
        if let Ok(members) = Members::decode(bytes.clone()) {
            prop_assert_eq!(members.encode(), bytes.to_vec());
        }
    }
}

#[test]
fn members_that_raft_could_not_work_with_are_refused() {
    let good = founders();
    assert_eq!(Members::decode(good.encode().into()), Ok(good.clone()));
    let after = Members { removed: vec![id(9), id(7)], ..good.clone() };
    assert_eq!(Members::decode(after.encode().into()), Ok(after.clone()));
    let longest = (100..101 + Members::MAX_REMOVED as u64).map(id).collect();
    for bad in [
        Members::default(),
        Members { learners: [id(1)].into(), ..good.clone() },
        Members { auto_leave: true, ..good.clone() },
        Members { next_learners: [id(9)].into(), ..good.clone() },
        Members { removed: longest, ..good.clone() },
    ] {
        assert!(Members::decode(bad.encode().into()).is_err(), "{bad:?}");
    }
}
