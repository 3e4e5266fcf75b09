//! Many frameworks refuse agents: who is passed over is who has a filter, and nobody else is.

use crate::allocator::sorter::{Sorter, Walk};
use crate::table::{FrameworkOrd, OrdSet, Ordinal, SeatOrd};
use crate::testing::*;
use proptest::prelude::*;
use proto::scheduler::CallBody;
use proto::{Filters, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const ROLES: [&str; 6] = ["*", "a", "a/b", "a/b/c", "a/d", "e"];
/// So many that filters have bits.
const FRAMEWORKS: usize = 48;

fn few_cases(cases: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few_cases(256))]

    #[test]
    fn a_set_of_ordinals_is_a_set(
        a in prop::collection::btree_set(0_usize..300, 0..40),
        b in prop::collection::btree_set(0_usize..300, 0..40),
        removed in prop::collection::vec(0_usize..300, 0..40),
    ) {
        let set = |all: &BTreeSet<usize>| {
            let mut set: OrdSet<SeatOrd> = OrdSet::default();
            for at in all {
                assert!(set.insert(SeatOrd::from_index(*at)));
                assert!(!set.insert(SeatOrd::from_index(*at)));
            }
            set
        };
        let numbers = |set: &OrdSet<SeatOrd>| set.iter().map(|o| o.index()).collect::<Vec<_>>();
        let (mut left, right) = (set(&a), set(&b));
        prop_assert_eq!(numbers(&left), a.iter().copied().collect::<Vec<_>>());
        let without: Vec<usize> = left.without(&right).map(|o| o.index()).collect();
        prop_assert_eq!(&without, &a.difference(&b).copied().collect::<Vec<_>>());
        prop_assert_eq!(left.count_without(&right), without.len());
        for from in [0, 1, 63, 64, 130, 299, 300, 1_000] {
            let later: Vec<usize> = left.without_from(&right, from).map(|o| o.index()).collect();
            let wanted = without.iter().copied().filter(|at| *at >= from);
            prop_assert_eq!(later, wanted.collect::<Vec<_>>());
        }
        left.add_all(&right);
        let mut both: BTreeSet<usize> = a.union(&b).copied().collect();
        prop_assert_eq!((left.len(), numbers(&left)), (both.len(), both.iter().copied().collect()));
        for at in removed {
            prop_assert_eq!(left.remove(SeatOrd::from_index(at)), both.remove(&at));
        }
        prop_assert_eq!((left.len(), left.is_empty()), (both.len(), both.is_empty()));
    }

    /// However many refuse: the walk past them finds whom a plain walk finds.
    #[test]
    fn the_first_who_does_not_refuse_is_found(
        held in prop::collection::vec((0..FRAMEWORKS, 0_u64..5), 0..60),
        silent in prop::collection::btree_set(0..FRAMEWORKS, 0..10),
        taking in prop::collection::btree_set(0..FRAMEWORKS, 0..6),
        full in 0_usize..6,
    ) {
        let quotas = BTreeMap::from([(role(ROLES[full.max(1)]), quota("", "cpus:0"))]);
        let least = [quota("cpus:1", "").guarantees];
        let mut sorter = Sorter::new(BTreeMap::new(), &quotas, &least);
        let total = sorter.parts(&cpus_mem(100, 100));
        sorter.add_total(&total);
        let of = |n: usize| role(ROLES[n % ROLES.len()]);
        for n in 0..FRAMEWORKS {
            sorter.subscribe(&of(n), FrameworkOrd::from_index(n), !silent.contains(&n));
        }
        for (n, cpus) in held {
            let parts = sorter.parts(&cpus_mem(cpus, 0));
            let seat = sorter.seat_in(FrameworkOrd::from_index(n), &of(n)).unwrap();
            sorter.allocate(seat, &parts);
        }
        sorter.refresh();
        let mut refusing = OrdSet::default();
        for n in (0..FRAMEWORKS).filter(|n| !taking.contains(n)) {
            refusing.insert(sorter.seat_in(FrameworkOrd::from_index(n), &of(n)).unwrap());
        }
        for walk in [Walk::All, Walk::Open] {
            let (mut all, mut plain) = (Vec::new(), Vec::new());
            sorter.first_but(walk, &refusing, |seat| {
                all.push(seat);
                false
            });
            sorter.first(walk, |seat| {
                plain.extend((!refusing.contains(seat)).then_some(seat));
                false
            });
            prop_assert_eq!(all, plain, "{:?}", walk);
        }
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Decline { share: u8, seconds: u8 },
    Revive { who: u8 },
    Resubscribe { who: u8 },
    Wait { seconds: u8 },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (1_u8..5, 0_u8..4).prop_map(|(share, seconds)| Deed::Decline { share, seconds }),
        2 => any::<u8>().prop_map(|who| Deed::Revive { who }),
        1 => any::<u8>().prop_map(|who| Deed::Resubscribe { who }),
        1 => (0_u8..3).prop_map(|seconds| Deed::Wait { seconds }),
    ]
}

/// Answers every offer; a part of them with filters of some length.
fn decline_all(c: &mut Cluster, sides: &[FrameworkSide], share: u8, seconds: u8) {
    let mut own: BTreeMap<usize, Vec<(proto::OfferId, u64)>> = BTreeMap::new();
    for (number, offer) in &c.master.offers {
        let id = &c.master.frameworks[offer.framework].id;
        let at = sides.iter().position(|side| side.id == *id).unwrap();
        own.entry(at).or_default().push((offer.id.clone(), *number));
    }
    for (at, offers) in own {
        for (id, number) in offers {
            let refuse = if number % 4 < u64::from(share) { 1000 * u64::from(seconds) } else { 0 };
            let filters = Filters { refuse: Duration::from_millis(refuse) };
            c.call(&sides[at], CallBody::Decline { offer_ids: vec![id], filters });
        }
    }
}

proptest! {
    #![proptest_config(few_cases(24))]

    /// The invariants are checked after every step: that nobody is forgotten (M24), and that bits
    /// and filters agree (M10).
    #[test]
    fn nobody_is_passed_over_without_a_filter(deeds in prop::collection::vec(deed(), 10..40)) {
        let mut c = Cluster::default();
        let info = |n: usize| framework_info("f", &[ROLES[n % ROLES.len()]], &[]);
        let mut sides: Vec<FrameworkSide> =
            (0..FRAMEWORKS).map(|n| c.framework_from(info(n))).collect();
        for _ in 0..3 {
            c.agent(cpus_mem(4, 1024));
        }
        // Enough of them refuse for ever.
        for _ in 0..40 {
            decline_all(&mut c, &sides, 4, 200);
        }
        let most = c.master.agents.iter().map(|(_, a)| a.filters.iter().count()).max();
        prop_assert!(most >= Some(32), "{:?} filters on an agent", most);
        for deed in deeds {
            match deed {
                Deed::Decline { share, seconds } => decline_all(&mut c, &sides, share, seconds),
                Deed::Revive { who } => {
                    let side = sides[usize::from(who) % FRAMEWORKS].clone();
                    c.call(&side, CallBody::Revive { roles: Vec::<Role>::new() });
                }
                Deed::Resubscribe { who } => {
                    c.resubscribe(&mut sides[usize::from(who) % FRAMEWORKS]);
                }
                Deed::Wait { seconds } => {
                    c.advance_alive(Duration::from_secs(u64::from(seconds)));
                }
            }
        }
    }
}
