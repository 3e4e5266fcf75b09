//! A network of a task's own: a namespace with a loopback and one link to the host, which holds the
//! task to its bandwidth in both directions.
//!
//! The link is a pair. What the task sends waits in a queue at the inner end, what it receives in
//! one at the outer end (`tbf`): so both directions are held by the sender's side of each, and the
//! kernel needs to have nothing but that. The task cannot change either, for it has no rights over
//! the namespace, whose owner is the host's user namespace; only one that is root of the host could.
//!
//! The supervisor visits a namespace to make it and to start processes in it, and comes home at
//! once. The kernel removes a namespace with its last process; the link is removed by us, before the
//! end is told, so that nothing is left then.

mod links;
mod netlink;
mod ports;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use netlink::Socket;

use super::sys;
use super::task::{LaunchError, Network, Traffic};

/// Says that tables of ours may be left.
const MARK: &str = "networks";

/// What all networks have in common: our own namespace, and the kernel's ear in it.
#[derive(Debug)]
pub(super) struct Networks {
    home: OwnedFd,
    links: Socket,
    ports: Socket,
    /// The name in that of tables.
    owner: String,
    mark: PathBuf,
}

/// The network of a task.
#[derive(Debug)]
pub(super) struct Standing {
    namespace: OwnedFd,
    /// The outer end of its link.
    outside: u32,
    pub(super) address: Ipv4Addr,
    has_table: bool,
    place: usize,
}

fn refused(what: &'static str) -> impl Fn(io::Error) -> LaunchError {
    move |error| LaunchError::Refused(format!("its own network cannot be made: {what}: {error}"))
}

impl Networks {
    fn open(dir: &Path, owner: &str) -> io::Result<Self> {
        let mark = dir.join(MARK);
        File::create(&mark)?;
        Ok(Self {
            home: File::open("/proc/self/ns/net")?.into(),
            links: Socket::open(None)?,
            ports: Socket::open(Some(rustix::net::netlink::NETFILTER))?,
            owner: owner.to_owned(),
            mark,
        })
    }

    /// Those of this supervisor, made ready when the first is wanted.
    pub(super) fn ready<'a>(
        networks: &'a mut Option<Self>,
        dir: &Path,
        owner: &str,
    ) -> Result<&'a Self, LaunchError> {
        if networks.is_none() {
            *networks = Some(Self::open(dir, owner).map_err(refused("asking the kernel"))?);
        }
        Ok(networks.as_ref().expect("made ready above"))
    }

    /// Makes the network of the task in this place.
    pub(super) fn raise(&self, network: &Network, place: usize) -> Result<Standing, LaunchError> {
        let address = address(network, place).ok_or_else(|| {
            let (subnet, prefix) = (network.subnet, network.prefix);
            LaunchError::Refused(format!("all addresses of {subnet}/{prefix} are taken"))
        })?;
        let (namespace, inside) = self.namespace().map_err(refused("a namespace"))?;
        // Until it is whole, the link goes with the namespace, and that with us or this call.
        let (own, outside) = links::pair(&inside, self.home.as_fd()).map_err(refused("a link"))?;
        let standing = Standing { namespace, outside, address, has_table: false, place };
        let made = self.connect(network, &inside, own, &standing);
        fail::fail_point!("network-linked");
        let mapped = made.and_then(|()| self.map(network, standing));
        mapped.inspect_err(|_| {
            let _ = links::remove(&self.links, outside);
        })
    }

    /// A new namespace, and the kernel's ear in it.
    fn namespace(&self) -> io::Result<(OwnedFd, Socket)> {
        sys::leave_network()?;
        let namespace = File::open("/proc/thread-self/ns/net");
        let inside = Socket::open(None);
        self.come_home();
        Ok((namespace?.into(), inside?))
    }

    /// Addresses, routes and queues at both ends.
    fn connect(
        &self,
        network: &Network,
        inside: &Socket,
        own: u32,
        standing: &Standing,
    ) -> Result<(), LaunchError> {
        let Standing { outside, address, .. } = *standing;
        let gateway = gateway(network);
        let steps = || -> io::Result<()> {
            if let Some(rate) = network.bits_a_second {
                links::limit(inside, own, rate)?;
                links::limit(&self.links, outside, rate)?;
            }
            links::up(inside, links::LOOPBACK)?;
            links::address(inside, own, address)?;
            links::up(inside, own)?;
            links::address(&self.links, outside, gateway)?;
            links::up(&self.links, outside)?;
            links::route(&self.links, outside, Some(address), None)?;
            links::route(inside, own, Some(gateway), None)?;
            links::route(inside, own, None, Some(gateway))
        };
        steps().map_err(refused("its link"))
    }

    fn map(&self, network: &Network, standing: Standing) -> Result<Standing, LaunchError> {
        if network.ports.is_empty() && !network.masquerade {
            return Ok(standing);
        }
        let Standing { address, outside, place, .. } = standing;
        links::route_loopback(&self.links, outside)
            .and_then(|()| ports::map(&self.ports, &self.owner, place, network, address))
            .map_err(refused("its ports (nf_tables)"))?;
        fail::fail_point!("ports-mapped");
        Ok(Standing { has_table: true, ..standing })
    }

    /// Starts something in a task's network.
    pub(super) fn within<T>(
        &self,
        standing: &Standing,
        start: impl FnOnce() -> Result<T, LaunchError>,
    ) -> Result<T, LaunchError> {
        sys::enter_network(standing.namespace.as_fd()).map_err(refused("entering it"))?;
        let started = start();
        self.come_home();
        started
    }

    fn come_home(&self) {
        sys::enter_network(self.home.as_fd())
            .expect("who could leave its own network may come back to it");
    }

    /// What the task has sent and received.
    pub(super) fn traffic(&self, standing: &Standing) -> Option<Traffic> {
        links::traffic(&self.links, standing.outside)
    }

    /// Removes a network; nobody is in it any more.
    pub(super) fn remove(&self, standing: &Standing) {
        if standing.has_table
            && let Err(error) = ports::unmap(&self.ports, &self.owner, standing.place)
        {
            super::log(&format!("port mappings of {} are left: {error}", standing.address));
        }
        fail::fail_point!("ports-unmapped");
        if let Err(error) = links::remove(&self.links, standing.outside) {
            super::log(&format!("the link of {} is left: {error}", standing.address));
        }
    }

    /// All networks are removed.
    pub(super) fn close(self) {
        let _ = std::fs::remove_file(self.mark);
    }
}

/// Removes what a lost supervisor of this name left: its tables. Its links went with its tasks.
pub(super) fn clear(dir: &Path, owner: &str) -> io::Result<usize> {
    let mark = dir.join(MARK);
    if !mark.exists() {
        return Ok(0);
    }
    let found = ports::clear(&Socket::open(Some(rustix::net::netlink::NETFILTER))?, owner)?;
    std::fs::remove_file(mark)?;
    Ok(found)
}

/// The host's end of all links: the first address.
fn gateway(network: &Network) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.subnet) + 1)
}

/// That of the task in a place, after the gateway's; the last is for broadcasts.
fn address(network: &Network, place: usize) -> Option<Ipv4Addr> {
    let size = 1_u32.checked_shl(32 - u32::from(network.prefix.min(32))).unwrap_or(u32::MAX);
    let number = u32::try_from(place).ok()?.checked_add(2)?;
    let free = number < size.saturating_sub(1);
    free.then(|| u32::from(network.subnet).checked_add(number).map(Ipv4Addr::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_an_address_of_the_subnet_while_there_are_any() {
        let network = |prefix| {
            let (subnet, ports) = ([10, 1, 0, 0].into(), Vec::new());
            Network { subnet, prefix, bits_a_second: None, ports, masquerade: false }
        };
        assert_eq!(gateway(&network(16)), Ipv4Addr::new(10, 1, 0, 1));
        assert_eq!(address(&network(16), 0), Some([10, 1, 0, 2].into()));
        assert_eq!(address(&network(16), 300), Some([10, 1, 1, 46].into()));
        assert_eq!(address(&network(29), 4), Some([10, 1, 0, 6].into()));
        assert_eq!(address(&network(29), 5), None);
        assert_eq!(address(&network(0), usize::MAX), None);
    }
}
