//! What a tier of the queue promises to its buckets, and the shares that order them.
//!
//! A bucket's share is its dominant one: the greatest, over the measures, of what its tasks take of the tier,
//! divided by the bucket's weight. Amounts are integers; only shares are floating point, compared with
//! `total_cmp`.

use std::collections::BTreeMap;

use crate::fitness::float;
use crate::resources::{Measure, Resources};

use super::BucketName;

/// The weight of a bucket without a guarantee, beside buckets that have one; the least there is.
const LEAST_WEIGHT: f64 = 0.001;

/// What a tier has, and how much of it each bucket may always have.
///
/// What a bucket does not use of its guarantee stays free for it; what is beyond all guarantees goes to whoever
/// comes, by shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierSla {
    guarantees: BTreeMap<BucketName, Resources>,
    capacity: Option<Resources>,
}

impl TierSla {
    /// A tier that has as much as it guarantees, which is nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a guarantee for a bucket. Scalars beyond the four measures are not guaranteed.
    #[must_use]
    pub fn with_guarantee(mut self, bucket: impl Into<BucketName>, amounts: Resources) -> Self {
        self.guarantees.insert(bucket.into(), amounts);
        self
    }

    /// The same for a tier that has this much, and not just the sum of its guarantees.
    #[must_use]
    pub fn with_capacity(mut self, amounts: Resources) -> Self {
        self.capacity = Some(amounts);
        self
    }

    /// What the tier has, by measure.
    pub(super) fn capacity(&self) -> [u128; 4] {
        self.capacity
            .as_ref()
            .map_or(self.guaranteed(), |amounts| amounts.measures().map(u128::from))
    }

    /// What a bucket is guaranteed.
    pub(super) fn guarantee(&self, bucket: &BucketName) -> [u128; 4] {
        self.guarantees.get(bucket).map_or([0; 4], |amounts| amounts.measures().map(u128::from))
    }

    /// What all buckets together are guaranteed.
    pub(super) fn guaranteed(&self) -> [u128; 4] {
        let mut sum = [0; 4];
        for amounts in self.guarantees.values() {
            for (sum, amount) in sum.iter_mut().zip(amounts.measures()) {
                *sum += u128::from(amount);
            }
        }
        sum
    }

    /// How much a bucket counts against the others, of which all together are `guaranteed` this much.
    pub(super) fn weight(&self, bucket: &BucketName, guaranteed: &[u128; 4]) -> f64 {
        if self.guarantees.is_empty() {
            return 1.0;
        }
        let Some(amounts) = self.guarantees.get(bucket) else { return LEAST_WEIGHT };
        let part = |measure: &Measure| match guaranteed[*measure as usize] {
            0 => 0.0,
            sum => ratio(u128::from(amounts.measures()[*measure as usize]), sum),
        };
        Measure::ALL.iter().map(part).fold(LEAST_WEIGHT, f64::max)
    }
}

/// The dominant share of `used` in `total`, by weight. Of a measure of which there is nothing, the amount counts.
pub(super) fn share(used: &[u128; 4], total: &[u128; 4], weight: f64) -> f64 {
    let part = |(used, total): (&u128, &u128)| match *total {
        0 => ratio(*used, 1000),
        total => ratio(*used, total),
    };
    used.iter().zip(total).map(part).fold(0.0, f64::max) / weight
}

fn ratio(part: u128, whole: u128) -> f64 {
    let float = |amount: u128| float(u64::try_from(amount).unwrap_or(u64::MAX));
    float(part) / float(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(whole: u64) -> Resources {
        Resources::cpus_mem(whole, 0)
    }

    #[test]
    fn test_share_of_tier_use_and_of_capacity() {
        let used = |whole: u128| [whole * 1000, 0, 0, 0];
        assert!((share(&used(1), &used(4), 1.0) - 0.25).abs() < 1e-12);
        assert!((share(&used(1), &used(8), 1.0) - 0.125).abs() < 1e-12);
        // Of what there is nothing, the amount itself counts.
        assert!((share(&used(3), &used(0), 1.0) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn test_alloc_share_is_the_part_of_all_guarantees() {
        let sla = TierSla::new().with_guarantee("a", cpus(4)).with_guarantee("b", cpus(4));
        let weight = |sla: &TierSla, bucket: &str| sla.weight(&bucket.into(), &sla.guaranteed());
        assert!((weight(&sla, "a") - 0.5).abs() < 1e-12);
        assert!((weight(&sla, "nobody") - LEAST_WEIGHT).abs() < 1e-12);
        assert!((weight(&TierSla::new(), "a") - 1.0).abs() < 1e-12);
        assert_eq!(sla.capacity(), [8000, 0, 0, 0]);
    }
}
