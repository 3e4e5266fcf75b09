//! Amounts at a glance: eight of them rounded to 15 bits, which are compared in one go.
//!
//! Rounding loses what is small and what is huge, but no order: if amounts cover a demand, so do they at a
//! glance. It says where to look, and never that there is room.

/// How many dimensions a glance takes in; those beyond are taken to be covered.
const LANES: usize = 8;

/// The bits that each dimension loses: steps of 32 thousandths of a cpu, 65 MB of memory, 1 GB of disk, 8 Mbps,
/// one port and 32 thousandths of a scalar.
const LOST: [u32; LANES] = [5, 16, 20, 13, 0, 5, 5, 5];

/// The greatest amount of a lane; whatever is greater is shown as this.
const MOST: u64 = 0x7fff;

/// How many lanes a half has.
const HALF: usize = LANES / 2;

/// The bit of each lane that no amount reaches. It is always set, so that a difference borrows from no other lane.
const GUARDS: u64 = 0x8000_8000_8000_8000;

/// The least amount in each lane that is something.
const ONES: u64 = 0x0001_0001_0001_0001;

/// Half of the dimensions at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Half(u64);

impl Half {
    /// Whether these amounts may cover those of a demand; if not, they surely do not.
    pub(crate) fn may_cover(self, demand: Self) -> bool {
        not_less(self.0, demand.0) == GUARDS
    }
}

/// Two halves: the first tells most hosts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance([u64; 2]);

impl Glance {
    /// Nothing of anything.
    pub(crate) const NOTHING: Self = Self([GUARDS; 2]);

    /// Amounts by dimension.
    pub(crate) fn of(amounts: &[u64]) -> Self {
        let mut halves = [GUARDS; 2];
        for (lane, (amount, lost)) in amounts.iter().zip(LOST).enumerate() {
            halves[lane / HALF] |= (amount >> lost).min(MOST) << (16 * (lane % HALF));
        }
        Self(halves)
    }

    /// What covers a demand for sure if it shows at a glance; none if a glance cannot tell.
    pub(crate) fn enough_for(demand: &[u64]) -> Option<Self> {
        if demand.iter().skip(LANES).any(|amount| *amount > 0) {
            return None;
        }
        let mut halves = [GUARDS; 2];
        for (lane, (amount, lost)) in demand.iter().zip(LOST).enumerate() {
            let steps = amount.div_ceil(1 << lost);
            if steps > MOST {
                return None;
            }
            halves[lane / HALF] |= steps << (16 * (lane % HALF));
        }
        Some(Self(halves))
    }

    /// Whether these amounts may cover a demand; if not, they surely do not.
    pub(crate) fn may_cover(self, demand: Self) -> bool {
        not_less(self.0[0], demand.0[0]) == GUARDS && not_less(self.0[1], demand.0[1]) == GUARDS
    }

    pub(crate) fn halves(self) -> [Half; 2] {
        self.0.map(Half)
    }

    pub(crate) fn from_halves([first, second]: [Half; 2]) -> Self {
        Self([first.0, second.0])
    }

    /// Whether none of these amounts is as great as that of the other, but where both are nothing.
    pub(crate) fn is_below(self, other: Self) -> bool {
        let reached = |half: usize| {
            not_less(self.0[half], other.0[half]) & not_less(other.0[half], GUARDS | ONES)
        };
        reached(0) | reached(1) == 0
    }

    /// The greater amount in each dimension.
    pub(crate) fn max(self, other: Self) -> Self {
        let greater = |half: usize| {
            let (mine, others) = (self.0[half], other.0[half]);
            let not_less = not_less(mine, others);
            let chosen = not_less - (not_less >> 15);
            (mine & chosen) | (others & !chosen) | GUARDS
        };
        Self([greater(0), greater(1)])
    }

    /// The greatest amounts that look like these, for so many dimensions.
    pub(crate) fn at_most(self, dimensions: usize) -> impl Iterator<Item = u64> {
        let upper = move |lane: usize| match LOST.get(lane) {
            Some(lost) => match (self.0[lane / HALF] >> (16 * (lane % HALF))) & MOST {
                MOST => u64::MAX,
                amount => ((amount + 1) << lost) - 1,
            },
            None => u64::MAX,
        };
        (0..dimensions).map(upper)
    }
}

/// The guards of the lanes in which the first amount is not less than the second.
fn not_less(first: u64, second: u64) -> u64 {
    (first - (second & !GUARDS)) & GUARDS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amounts() -> impl Strategy<Value = Vec<u64>> {
        let amount = prop_oneof![0..100_u64, 0..1_000_000_u64, any::<u64>(), Just(u64::MAX)];
        prop::collection::vec(amount, 5..11)
    }

    proptest! {
        #[test]
        fn what_covers_may_cover_and_what_is_greater_is_kept(one in amounts(), other in amounts()) {
            let (first, second) = (Glance::of(&one), Glance::of(&other));
            let dimensions = one.len().min(other.len());
            let covers = (0..LANES).all(|at| {
                one.get(at).copied().unwrap_or(0) >= other.get(at).copied().unwrap_or(0)
            });
            prop_assert!(!covers || first.may_cover(second));
            if Glance::enough_for(&other).is_some_and(|enough| first.may_cover(enough)) {
                let free = |at: usize| one.get(at).copied().unwrap_or(0);
                prop_assert!(other.iter().enumerate().all(|(at, amount)| free(at) >= *amount));
            }
            let both = first.max(second);
            prop_assert!(both.may_cover(first) && both.may_cover(second));
            let greatest: Vec<u64> = both.at_most(dimensions).collect();
            for at in 0..dimensions {
                prop_assert!(greatest[at] >= one[at].max(other[at]));
            }
            prop_assert_eq!(both, second.max(first));
            let lane = |of: Glance, at: usize| (of.0[at / HALF] >> (16 * (at % HALF))) & MOST;
            let below = |at| lane(first, at) < lane(second, at) || lane(second, at) == 0;
            prop_assert!(!first.is_below(second) || (0..LANES).all(below));
            if (0..LANES).all(|at| lane(first, at) < lane(second, at) || lane(first, at) == 0 && lane(second, at) == 0) {
                prop_assert!(first.is_below(second));
            }
        }
    }
}
