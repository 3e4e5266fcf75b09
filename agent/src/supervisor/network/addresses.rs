//! Which task has which address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::supervisor::task::Network;

/// Addresses of tasks, given by turns: one that a task has given back is the last to be given again,
/// so that what is still on its way to the former task reaches nobody.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    used: BTreeSet<Ipv4Addr>,
    next: u32,
}

impl Addresses {
    /// One that nobody has. The first of a subnet is the host's, the last for broadcasts.
    pub(super) fn take(&mut self, network: &Network) -> Option<Ipv4Addr> {
        let size = 1_u32.checked_shl(32 - u32::from(network.prefix.min(32))).unwrap_or(u32::MAX);
        let count = size.saturating_sub(3);
        let first = u32::from(network.subnet).checked_add(2).filter(|_| count > 0)?;
        // One more than are used: at least one of so many is free, if there are so many.
        let tries = u32::try_from(self.used.len()).unwrap_or(u32::MAX).saturating_add(1);
        for _ in 0..tries.min(count) {
            let number = self.next % count;
            self.next = number + 1;
            let address = Ipv4Addr::from(first.checked_add(number)?);
            if self.used.insert(address) {
                return Some(address);
            }
        }
        None
    }

    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }
}

/// The host's end of all links: the first address.
pub(super) fn gateway(network: &Network) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.subnet) | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(prefix: u8) -> Network {
        let (subnet, ports) = ([10, 1, 0, 0].into(), Vec::new());
        let (masquerade, link_local, cluster) = (false, false, false);
        Network {
            subnet,
            prefix,
            bits_a_second: None,
            ports,
            masquerade,
            link_local,
            cluster,
            pod: None,
        }
    }

    #[test]
    fn addresses_are_given_by_turns_and_each_to_one_at_a_time() {
        let mut addresses = Addresses::default();
        let take = |addresses: &mut Addresses| addresses.take(&network(29));
        for last in 2..7 {
            assert_eq!(take(&mut addresses), Some([10, 1, 0, last].into()));
        }
        assert_eq!(take(&mut addresses), None);
        for last in [4, 3] {
            addresses.give_back([10, 1, 0, last].into());
        }
        assert_eq!(take(&mut addresses), Some([10, 1, 0, 3].into()));
        addresses.give_back([10, 1, 0, 3].into());
        assert_eq!(take(&mut addresses), Some([10, 1, 0, 4].into()), "the turn goes on");
        assert_eq!(take(&mut addresses), Some([10, 1, 0, 3].into()));
        assert_eq!(take(&mut addresses), None);
    }

    #[test]
    fn there_is_none_where_there_are_none() {
        for prefix in [30, 31, 32, 33, 255] {
            let found = Addresses::default().take(&network(prefix));
            assert_eq!(found, (prefix == 30).then_some([10, 1, 0, 2].into()), "{prefix}");
        }
        assert_eq!(gateway(&network(16)), Ipv4Addr::new(10, 1, 0, 1));
        let end = Network { subnet: [255, 255, 255, 254].into(), ..network(0) };
        assert_eq!(Addresses::default().take(&end), None);
    }
}
