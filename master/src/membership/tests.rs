//! What masters do by themselves about who they are.

use super::*;
use ::registrar::Members;
use std::collections::BTreeMap;

fn id(n: u64) -> MemberId {
    MemberId::new(n).unwrap()
}

/// Master 1 leads at `h:1`; master 2 at `h:2` is told everything and does not vote.
fn leading() -> Status {
    let mut members = Members::of_voters([(id(1), "h:1".to_owned())]);
    members.learners.insert(id(2));
    members.addresses.insert(id(2), "h:2".to_owned());
    Status {
        role: Role::Leader,
        leader: Some(id(1)),
        last: 1_000,
        members,
        removed: false,
        matched: BTreeMap::from([(id(1), 1_000), (id(2), 1_000)]),
        heard: BTreeMap::from([(id(2), Duration::ZERO)]),
        ..Standing::of_nobody().status()
    }
}

#[test]
fn who_has_the_log_is_given_a_vote() {
    let status = leading();
    assert_eq!(due(&status, "h:1"), Some(Change::Promote { member: id(2) }));
    let mut behind = leading();
    behind.matched.insert(id(2), 1_000 - BEHIND - 1);
    assert_eq!(due(&behind, "h:1"), None);
    let mut nothing = leading();
    nothing.last = 10;
    nothing.matched.insert(id(2), 0);
    assert_eq!(due(&nothing, "h:1"), None, "it has not said what it has");
    let mut silent = leading();
    silent.heard.insert(id(2), ALIVE);
    assert_eq!(due(&silent, "h:1"), None);
    let mut voter = leading();
    voter.members.learners.clear();
    voter.members.voters.insert(id(2));
    assert_eq!(due(&voter, "h:1"), None);
}

#[test]
fn a_master_that_moved_has_itself_found() {
    let moved = Change::Readdress { member: id(1), address: "h:9".to_owned() };
    assert_eq!(due(&leading(), "h:9"), Some(moved));
    let following = Status { role: Role::Follower, ..leading() };
    assert_eq!(due(&following, "h:9"), None, "it cannot change anything by itself");
    assert!(lacks(&following, "h:9"));
    assert!(!lacks(&following, "h:1"));
    let nobody = Standing::of_nobody().status();
    assert!(lacks(&nobody, "h:1"), "one that is to be taken in");
    assert!(!lacks(&leading(), "h:9"), "who leads does it without asking");
    let mut out = Status { role: Role::Follower, ..leading() };
    out.members.voters = [id(2)].into();
    out.members.learners.clear();
    out.members.addresses.remove(&id(1));
    assert!(!lacks(&out, "h:1"), "who was taken out does not come back by itself");
}
