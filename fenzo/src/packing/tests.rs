//! The measures against their definitions, told slowly.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::device::WHOLE;
use crate::resources::Resources;

/// What a task demands: thousandths of a cpu, share, devices, model.
type Demand = (u64, u16, u32, Option<u8>);

fn class((cpus, share, devices, model): Demand) -> TaskClass {
    let resources = Resources { cpus: Milli::from_thousandths(cpus), ..Resources::default() };
    let class = TaskClass::new("g", resources);
    if devices == 0 {
        return class;
    }
    let part = DeviceRequest::part(Milli::from_thousandths(u64::from(share)));
    let request = part.filter(|_| devices == 1).unwrap_or(DeviceRequest::whole(devices));
    let request = model.into_iter().fold(request, |of, model| of.with_model(format!("m{model}")));
    class.with_devices("gpu", request)
}

fn demand() -> impl Strategy<Value = Demand> {
    (0..6_u64, 1..20_u16, 0..4_u32, prop::option::of(0..2_u8))
        .prop_map(|(cpus, share, devices, model)| (cpus * 1000, share * 50, devices, model))
}

/// The published definition, demand by demand: what of all free devices a demand finds fragmented.
fn fragmented(gaps: &[u16], cpus: u64, model: u8, (wanted, share, devices, named): Demand) -> i64 {
    let all: i64 = gaps.iter().map(|gap| i64::from(*gap)).sum();
    let share = if devices == 1 { share } else { WHOLE };
    let enough = gaps.iter().filter(|gap| **gap >= share).count() >= devices as usize;
    if devices == 0 || wanted > cpus || named.is_some_and(|named| named != model) || !enough {
        return all;
    }
    gaps.iter().filter(|gap| **gap < share).map(|gap| i64::from(*gap)).sum()
}

proptest! {
    #[test]
    fn fragmentation_is_the_published_sum_over_the_demands(
        demands in prop::collection::vec((demand(), 1..5_u64), 1..8),
        gaps in prop::collection::vec(0..=20_u16, 0..6),
        cpus in 0..7_u64,
        model in 0..3_u8,
    ) {
        let gaps: Vec<u16> = gaps.into_iter().map(|gap| gap * 50).collect();
        let mut mix = DeviceMix::new("gpu");
        for (demand, count) in &demands {
            mix.add(&class(*demand), *count);
        }
        let name = DeviceModel::from(format!("m{model}"));
        let host = Picture { cpus: cpus * 1000, model: Some(&name), gaps: &gaps };
        let slow: i64 = demands
            .iter()
            .map(|(demand, count)| {
                i64::try_from(*count).unwrap() * fragmented(&gaps, host.cpus, model, *demand)
            })
            .sum();
        prop_assert_eq!(Fragmentation::new(&mix).measure(host), slow);
    }

    /// And no score is outside 0 to 1, whatever the host loses or gains.
    #[test]
    fn waste_is_between_nothing_and_what_is_free(
        demands in prop::collection::vec((demand(), 1..5_u64), 1..8),
        gaps in prop::collection::vec(0..=1000_u16, 0..6),
        cpus in 0..7_u64,
    ) {
        let mut mix = DeviceMix::new("gpu");
        for (demand, count) in &demands {
            mix.add(&class(*demand), *count);
        }
        let waste = Waste::new(&mix);
        let found = waste.measure(Picture { cpus: cpus * 1000, model: None, gaps: &gaps });
        let free: i64 = gaps.iter().map(|gap| i64::from(*gap)).sum();
        let rounding = 20 * i64::try_from(gaps.len()).unwrap();
        prop_assert!((0..=free * 1024 * 21 + rounding).contains(&found), "{} of {}", found, free);
        for (before, after) in [(found, 0), (0, found), (found, found)] {
            let score = waste.score(before, after);
            prop_assert!((0.0..=1.0).contains(&score), "{}", score);
        }
    }
}

#[test]
fn a_gap_that_nothing_fits_is_wasted_as_a_whole_and_one_that_fills_exactly_is_not() {
    let mut mix = DeviceMix::new("gpu");
    mix.add(&class((1000, 500, 1, None)), 10);
    let waste = Waste::new(&mix);
    let at = |gap: u16| waste.measure(Picture { cpus: 8000, model: None, gaps: &[gap] });
    let whole = |gap: i64| gap * 1024 * 21;
    assert_eq!(at(400), whole(400));
    assert!(at(500) < whole(10) && at(1000) < whole(20), "{} {}", at(500), at(1000));
    assert!(at(900) > whole(380), "{}", at(900));
}

#[test]
fn the_most_frequent_demands_are_kept_until_they_make_up_the_share() {
    let mut mix = DeviceMix::new("gpu");
    let mut others = DeviceMix::new("gpu");
    for (cpus, count) in [(1000, 60), (2000, 35), (3000, 4), (4000, 1)] {
        mix.add(&class((cpus, 500, 1, None)), count);
        if count > 4 {
            others.add(&class((cpus, 500, 1, None)), count);
        }
    }
    assert_eq!(mix.most_frequent(95), others);
    assert_eq!(mix.most_frequent(100), mix);
    let models: BTreeSet<_> = mix.models();
    assert!(models.is_empty());
}
