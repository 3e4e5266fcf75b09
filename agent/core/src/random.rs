//! The core's only source of ids and jitter: splitmix64 over a seed that the shell drew.
//!
//! Not for secrets. The same seed gives the same agent, which is what the simulator needs.

use proto::{ContainerId, StatusUuid};
use std::time::Duration;

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Sets the bits that make 16 bytes a random (version 4) UUID.
fn uuid_bytes(high: u64, low: u64) -> [u8; 16] {
    let mut bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Evenly in `0..=longest`.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
    }

    pub(crate) fn uuid(&mut self) -> StatusUuid {
        StatusUuid(uuid_bytes(self.next(), self.next()))
    }

    pub(crate) fn container_id(&mut self) -> ContainerId {
        ContainerId::new(self.uuid().to_string()).expect("hex digits and dashes are a valid id")
    }
}

/// The uuid of the update of one kind of one container: always the same, so that an update that
/// is made again after a crash lost its record is recognized as the same by its receiver.
pub(crate) fn update_uuid(container_id: &ContainerId, kind: u8) -> StatusUuid {
    let hash = |basis: u64| {
        let hashed =
            container_id.as_str().bytes().chain([kind]).fold(basis, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        mix(hashed)
    };
    StatusUuid(uuid_bytes(hash(0xcbf2_9ce4_8422_2325), hash(0x6c62_272e_07bb_0142)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_another_seed_others() {
        let ids = |seed| {
            let mut random = Random::new(seed);
            [random.container_id(), random.container_id()]
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7)[0], ids(7)[1]);
        assert_ne!(ids(7)[0], ids(8)[0]);
    }

    #[test]
    fn update_uuids_depend_on_container_and_kind_alone() {
        let mut random = Random::new(1);
        let (a, b) = (random.container_id(), random.container_id());
        assert_eq!(update_uuid(&a, 1), update_uuid(&a, 1));
        assert_ne!(update_uuid(&a, 1), update_uuid(&a, 2));
        assert_ne!(update_uuid(&a, 1), update_uuid(&b, 1));
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        let mut random = Random::new(3);
        let bound = Duration::from_millis(10);
        assert!((0..1000).all(|_| random.up_to(bound) <= bound));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }
}
