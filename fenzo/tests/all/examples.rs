//! The examples print what they are there to show.

#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/autoscale.rs"]
mod autoscale;
#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/bin_pack.rs"]
mod bin_pack;
#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/capacity.rs"]
mod capacity;
#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/constraints.rs"]
mod constraints;
#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/gang_and_preempt.rs"]
mod gang_and_preempt;
#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/queue.rs"]
mod queue;
#[allow(dead_code, reason = "its main function is for those who run it by hand")]
#[path = "../../examples/why.rs"]
mod why;

/// A line that begins with each of `wanted` is among what was printed, in this order.
fn tells(printed: &str, wanted: &[&str]) {
    let mut lines = printed.lines();
    for line in wanted {
        let told = lines.any(|printed| printed.starts_with(line));
        assert!(told, "{line:?} is not where it should be:\n{printed}");
    }
}

#[test]
fn autoscale_grows_and_shrinks() {
    let wanted = ["12 tasks do not fit", "add 3 hosts to workers", "take ["];
    tells(&autoscale::report().unwrap(), &wanted);
}

#[test]
fn bin_pack_packs() {
    let wanted = ["a1 takes ", "  web-0: 1 cpus, ports [31000]", "23 placed, 1 failed"];
    tells(&bin_pack::report().unwrap(), &wanted);
}

#[test]
fn capacity_is_told_by_trial() {
    let wanted = [
        "web: 4 more fit now, then 8 constraint: one task of the group a rack",
        "train: 4 more fit now, then 8 not enough cpus",
        "train: 10 more are wanted; 2 more hosts of 16 cpus are enough",
        "without agent-0: its 2 tasks would find room elsewhere",
        "without agent-0, agent-1, agent-2: 2 of their 6 tasks would find no room",
        "nothing was changed by asking: 8 leases are held",
    ];
    tells(&capacity::report().unwrap(), &wanted);
}

#[test]
fn constraints_hold() {
    tells(&constraints::report().unwrap(), &["agent-0: database-0"]);
}

#[test]
fn gangs_are_whole_and_the_head_of_the_queue_keeps_its_room() {
    let wanted = [
        "agent-0: four-0, four-1",
        "agent-1: four-2, four-3",
        "agent-2: rest-0",
        "5 not placed: 0 of at least 5 tasks of the gang found a host",
        "for an urgent task end ",
        "large-0 waits for agent-0, at 20000000000 ns",
        "large-0: waits",
        "small-0: waits",
        "small-1: agent-0",
    ];
    tells(&gang_and_preempt::report().unwrap(), &wanted);
}

#[test]
fn the_queue_shares() {
    let wanted = ["urgent: 1 placed", "25 wait; tick again at "];
    tells(&queue::report().unwrap(), &wanted);
}

#[test]
fn why_says_why_and_what_would_help() {
    let wanted = [
        "too-large: none of 5 hosts fits: 5 not enough cpus; nearest host agent-4: wanted 9 cpus, 6 free",
        "  it would fit with 3 cpus more on agent-4, or less wanted (5 hosts in all)",
        "in-the-east: none of 5 hosts fits: 3 not enough cpus, 2 constraint: zone = east",
        "  it would fit with 1 cpus more on agent-2, or less wanted (3 hosts in all)",
        "  it would fit with agent-3 without \"constraint: zone = east\" (2 hosts in all)",
        "  agent-0: wanted 5 cpus, 2 free",
        "  agent-3: constraint: zone = east",
        "with one more host of 16 cpus in the east, 2 of 3 would be placed",
    ];
    tells(&why::report().unwrap(), &wanted);
}
