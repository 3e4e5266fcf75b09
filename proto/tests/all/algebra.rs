//! Resources add and subtract exactly, and ranges do what sets of numbers do.

use proptest::prelude::*;
use proto::{Ranges, Resources, testing};
use std::collections::BTreeSet;

/// A failure is printed with its smallest input; nothing is written beside the tests.
fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn small() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..40_u64, 0..6_u64).prop_map(|(b, len)| (b, b + len)), 0..6)
}

fn set(pairs: &[(u64, u64)]) -> BTreeSet<u64> {
    pairs.iter().flat_map(|(begin, end)| *begin..=*end).collect()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn ranges_are_sets_of_numbers(a in small(), b in small()) {
        let (sa, sb) = (set(&a), set(&b));
        let (ra, rb) = (Ranges::new(a), Ranges::new(b));
        prop_assert_eq!(set(ra.pairs()), sa.clone());
        prop_assert_eq!(ra.count(), sa.len() as u64);
        // Sorted, and no two that touch.
        prop_assert!(ra.pairs().windows(2).all(|w| w[0].1 + 1 < w[1].0));
        let mut sum = ra.clone();
        sum.add(&rb);
        prop_assert_eq!(set(sum.pairs()), &sa | &sb);
        let mut rest = ra.clone();
        rest.subtract(&rb);
        prop_assert_eq!(set(rest.pairs()), &sa - &sb);
        prop_assert_eq!(ra.contains_all(&rb), sa.is_superset(&sb));
    }

    #[test]
    fn ranges_reach_the_ends_of_the_numbers(a in testing::ranges(), b in testing::ranges()) {
        let mut sum = a.clone();
        sum.add(&b);
        prop_assert!(sum.contains_all(&a) && sum.contains_all(&b));
        sum.subtract(&b);
        prop_assert!(a.contains_all(&sum));
        sum.subtract(&a);
        prop_assert!(sum.is_empty());
    }

    #[test]
    fn subtraction_undoes_addition(a in testing::resources(), b in testing::resources()) {
        let sum = a.plus(&b);
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        prop_assert_eq!(&sum, &b.plus(&a));
        let mut rest = sum.clone();
        prop_assert!(rest.subtract(&b).is_ok());
        // Ranges and sets that both held are gone with `b`: they are no sums.
        prop_assert!(a.contains(&rest));
        for name in ["cpus", "mem", "disk", "gpus"] {
            prop_assert_eq!(rest.scalar(name), a.scalar(name));
        }
    }

    #[test]
    fn a_copy_does_not_change_with_its_original(
        a in testing::resources(),
        b in testing::resources(),
    ) {
        let (copy, as_it_was) = (a.clone(), a.to_string());
        let mut changed = a;
        changed.add(&b);
        prop_assert_eq!(copy.to_string(), as_it_was.clone());
        prop_assert!(changed.subtract(&b).is_ok());
        prop_assert_eq!(copy.to_string(), as_it_was);
        // The same amounts are equal, however they came about.
        let anew: Resources = copy.pieces().iter().cloned().collect();
        prop_assert_eq!(&anew, &copy);
        prop_assert!(anew.contains(&copy) && copy.contains(&anew));
        let mut none = copy.clone();
        prop_assert!(none.subtract(&copy).is_ok());
        prop_assert_eq!(none, Resources::new());
    }

    #[test]
    fn what_is_not_there_cannot_be_taken(a in testing::resources(), b in testing::resources()) {
        let mut rest = a.clone();
        match rest.subtract(&b) {
            Ok(()) => prop_assert_eq!(rest.plus(&b), a),
            Err(shortfall) => {
                prop_assert!(!a.contains(&b));
                prop_assert_eq!(a.shortfall(&b), Some(shortfall));
                prop_assert_eq!(rest, a);
            }
        }
    }

    #[test]
    fn quantities_add_up(a in testing::resources(), b in testing::resources()) {
        // Sums saturate; here they shall not.
        let huge = |r: &Resources| r.quantities().iter().any(|(_, milli)| milli > u64::MAX / 2);
        prop_assume!(!huge(&a) && !huge(&b));
        let mut sum = a.quantities();
        sum.add_all(&b.quantities());
        let both = a.plus(&b).quantities();
        // Ranges and sets that overlap count once.
        prop_assert!(sum.contains(&both));
        sum.subtract_all(&b.quantities());
        prop_assert_eq!(sum, a.quantities());
    }

    #[test]
    fn nothing_changes_nothing(a in testing::resources()) {
        prop_assert_eq!(&a.plus(&Resources::new()), &a);
        prop_assert!(a.contains(&Resources::new()) && a.contains(&a));
        let mut rest = a.clone();
        prop_assert!(rest.subtract(&a).is_ok());
        prop_assert!(rest.is_empty());
    }
}
