//! What limits and headroom leave of an agent that has reserved resources: with those, amounts
//! that are not worth an offer by themselves are worth one.

use crate::testing::*;
use proto::{FrameworkInfo, Resources, TaskState};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn mem(mb: u64) -> Resources {
    cpus_mem(0, mb)
}

/// One cpu that is kept for the role by the agent's configuration.
fn kept(to: &str) -> Resources {
    cpus_mem(1, 0).push_reservation(&static_reservation(to))
}

fn named(name: &str) -> FrameworkInfo {
    framework_info(name, &[name], &[])
}

#[test]
fn a_little_more_to_spare_is_offered_with_what_is_reserved() {
    let mut c = Cluster::default();
    let r = c.framework_from(named("r"));
    c.quota(&[("q", "mem:90", "")]);
    c.agent(mem(100).plus(&kept("r")));
    let lines = c.decline(&r, &["m-O0"], HOUR);
    assert_eq!(lines, [] as [&str; 0], "10 MB and the cpu were refused");
    // By itself worth no offer, but it is to spare.
    c.agent(mem(5));
    let offer = "c1 <- OFFERS [m-O1 m-S0 r cpus(reservations: [(STATIC,r)]):1; mem:15]";
    assert!(c.lines().contains(&offer.to_owned()), "{:?}", c.lines());
}

#[test]
fn a_little_more_to_spare_is_offered_on_top_of_what_a_guarantee_lacks() {
    let mut c = Cluster::default();
    c.framework_from(named("q"));
    c.quota(&[("q", "mem:30", ""), ("p", "mem:20", "")]);
    c.agent(mem(40));
    assert_eq!(c.master.offers.len(), 0, "30 MB are not worth an offer");
    c.agent(mem(15));
    let offer = "c1 <- OFFERS [m-O0 m-S0 q mem:35]".to_owned();
    assert!(c.lines().contains(&offer), "{:?}", c.lines());
}

#[test]
fn what_nobody_lacks_and_is_not_cut_is_no_reason_to_look_again() {
    let mut c = Cluster::default();
    let r = c.framework_from(named("r"));
    c.quota(&[("q", "mem:90", "")]);
    c.agent(mem(100).plus(&disk(10)).plus(&kept("r")));
    c.decline(&r, &["m-O0"], HOUR);
    let before = c.master.counters.agents_considered;
    c.agent(disk(1000));
    assert_eq!(c.master.counters.agents_considered, before, "more disk is no more of that agent");
}

#[test]
fn a_little_more_room_below_a_limit_is_offered_with_what_is_reserved() {
    let mut c = Cluster::default();
    let q = c.framework_from(named("q"));
    c.quota(&[("q", "", "mem:40")]);
    let first = c.agent(mem(40));
    let tasks = [("t", 30), ("u", 10)].map(|(id, mb)| task_info(id, "m-S0", mem(mb)));
    c.launch(&q, &["m-O0"], tasks.to_vec());
    // The limit leaves nothing but what is reserved.
    c.agent(mem(100).plus(&kept("q")));
    c.decline(&q, &["m-O1"], HOUR);
    // What ends leaves room for less than is worth an offer by itself.
    let lines = c.update(&first, &q, "u", TaskState::Finished, 1);
    let offer = "c1 <- OFFERS [m-O2 m-S1 q cpus(reservations: [(STATIC,q)]):1; mem:10]";
    assert!(lines.contains(&offer.to_owned()), "{lines:?}");
}

#[test]
fn room_below_a_limit_is_used_up_by_few_looks_however_many_are_free() {
    let looks = |agents: usize| {
        let mut c = Cluster::default();
        let q = c.framework_from(named("q"));
        c.quota(&[("q", "", "mem:40")]);
        let first = c.agent(mem(40));
        c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", mem(40))]);
        for _ in 0..agents {
            // Part of them is nothing but plain.
            c.agent(mem(100).plus(&kept("r")));
            c.agent(mem(100));
        }
        assert_eq!(c.master.offers.len(), 0, "there is no room");
        let before = c.master.counters.agents_considered;
        c.update(&first, &q, "t", TaskState::Finished, 1);
        assert_eq!(c.master.offers.len(), 1);
        let ended = c.master.counters.agents_considered;
        c.decline(&q, &["m-O1"], HOUR);
        let other = c.master.offers.values().next().unwrap();
        assert_eq!(other.resources.mem(), 40_000, "another agent is offered");
        (ended - before, c.master.counters.agents_considered - ended)
    };
    assert_eq!(looks(100), looks(200));
    let (ended, refused) = looks(200);
    assert_eq!(ended, 1, "what was freed uses it up");
    assert!(refused < 150, "{refused} looks");
}

#[test]
fn room_goes_round_until_somebody_wants_it() {
    let mut c = Cluster::default();
    let q = c.framework_from(named("q"));
    c.quota(&[("q", "", "mem:40")]);
    let first = c.agent(mem(40));
    c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", mem(40))]);
    for _ in 0..150 {
        c.agent(mem(35));
    }
    c.update(&first, &q, "t", TaskState::Finished, 1);
    // Whatever it is offered it refuses, until there is nothing else.
    for number in 1..=151 {
        assert_eq!(c.master.offers.len(), 1, "offer {number}");
        c.decline(&q, &[&format!("m-O{number}")], HOUR);
    }
    assert_eq!(c.master.offers.len(), 0, "all was refused");
}

#[test]
fn room_for_a_guarantee_that_is_refused_wakes_everybody_once() {
    for agents in [100, 200] {
        let mut c = Cluster::default();
        let q = c.framework_from(named("q"));
        let first = c.agent(cpus_mem(1, 40));
        (0..agents).for_each(|_| drop(c.agent(cpus_mem(1, 100))));
        c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(1, 40))]);
        let others: Vec<String> = (1..=agents).map(|number| format!("m-O{number}")).collect();
        c.decline(&q, &others.iter().map(String::as_str).collect::<Vec<_>>(), HOUR);
        // All the others are held.
        let (own, all) = ("cpus:1;mem:40", "cpus:1000;mem:1000000");
        c.quota(&[("q", own, own), ("h", all, "")]);
        c.update(&first, &q, "t", TaskState::Finished, 1);
        assert_eq!(c.master.offers.len(), 1, "what was freed serves the guarantee");
        let before = c.master.counters.agents_considered;
        c.decline(&q, &[&format!("m-O{}", agents + 1)], HOUR);
        assert_eq!(c.master.offers.len(), 0, "all was refused");
        let looks = c.master.counters.agents_considered - before;
        // For the guarantee, and in the round.
        assert!((agents..=2 * agents + 1).contains(&looks), "{looks} looks at {agents} agents");
    }
}

#[test]
fn room_below_a_limit_is_used_on_an_agent_whose_reserved_resources_went_to_others() {
    let mut c = Cluster::default();
    let q = c.framework_from(named("q"));
    c.quota(&[("q", "", "cpus:1"), ("r", "", "cpus:1")]);
    let first = c.agent(cpus_mem(1, 0));
    c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(1, 0))]);
    c.agent(cpus_mem(1, 0).plus(&kept("r")));
    // It is woken alone, and what is kept for it is all that its limit allows.
    c.framework_from(named("r"));
    let offer = "c6 <- OFFERS [m-O1 m-S1 r cpus(reservations: [(STATIC,r)]):1]";
    assert!(c.lines().contains(&offer.to_owned()), "{:?}", c.lines());
    c.update(&first, &q, "t", TaskState::Finished, 1);
    let lines = c.decline(&q, &["m-O2"], HOUR);
    assert_eq!(lines, ["c1 <- OFFERS [m-O3 m-S1 q cpus:1]"], "nothing but plain is free there now");
}

#[test]
fn room_is_used_on_an_agent_that_lost_its_reserved_resources_between_two_rounds() {
    let mut c = Cluster::default();
    let cpus = |n| cpus_mem(n, 0);
    let q = c.framework_from(named("q"));
    c.quota(&[("q", "", "cpus:3"), ("r", "", "cpus:1")]);
    let first = c.agent(cpus(1));
    c.launch(&q, &["m-O0"], vec![task_info("t", "m-S0", cpus(1))]);
    c.agent(cpus(4).plus(&kept("r")));
    c.decline(&q, &["m-O1"], HOUR);
    let third = c.agent(cpus(2));
    c.launch(&q, &["m-O2"], vec![task_info("u", "m-S2", cpus(2))]);
    c.agent(cpus(1));
    // A round over those with nothing but plain resources, which the second one is not yet.
    c.update(&first, &q, "t", TaskState::Finished, 1);
    c.decline(&q, &["m-O3"], HOUR);
    c.decline(&q, &["m-O4"], HOUR);
    assert_eq!(c.master.offers.len(), 0, "all was refused");
    c.framework_from(named("r"));
    assert_eq!(c.master.offers.len(), 1, "what is kept for r");
    c.update(&third, &q, "u", TaskState::Finished, 2);
    let lines = c.decline(&q, &["m-O6"], HOUR);
    assert_eq!(lines, ["c1 <- OFFERS [m-O7 m-S1 q cpus:3]"], "one more than was refused");
}
