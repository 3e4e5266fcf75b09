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
//! end is told, so that nothing is left then. Tasks of a group may have one such network together
//! (`pods`).

mod addresses;
mod flows;
mod links;
mod netlink;
mod pods;
mod ports;

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use addresses::{Addresses, gateway};
use netlink::Socket;
use pods::{Membership, Pods};
use ports::Entries;

use super::sys;
use super::task::{Closed, LaunchError, Network, Traffic};

/// Has the name of our table while there may be one.
const MARK: &str = "networks";
/// What names of tables begin with.
const TABLE: &str = "tepui_";
/// Bytes that such a name has at the most.
const MOST: usize = 200;
/// For the kernel to have memory again: how often and how long it is waited for.
const TRIES: usize = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// What all networks have in common: our own namespace, and the kernel's ear in it.
#[derive(Debug)]
pub(super) struct Networks {
    home: OwnedFd,
    links: Socket,
    ports: Socket,
    addresses: Addresses,
    table: String,
    has_table: bool,
    mark: PathBuf,
    /// Where tasks' networks do not lead.
    closed: Closed,
    /// The group of links that are to be removed.
    group: u32,
    ended: Vec<(u32, Ipv4Addr)>,
    pods: Pods,
}

/// The network of a task.
#[derive(Debug)]
pub(super) struct Standing {
    namespace: Arc<OwnedFd>,
    /// The outer end of its link.
    outside: u32,
    pub(super) address: Ipv4Addr,
    /// What the table has of it.
    mapped: Option<Entries>,
    /// The group that has it, of which the task is one.
    pod: Option<Membership>,
}

/// The inner end of a link: the kernel's ear there, and its number.
#[derive(Debug)]
struct Inside {
    socket: Socket,
    own: u32,
}

fn refused(what: &'static str) -> impl Fn(io::Error) -> LaunchError {
    move |error| LaunchError::Refused(format!("its own network cannot be made: {what}: {error}"))
}

impl Networks {
    fn open(dir: &Path, owner: &str, closed: &Closed) -> io::Result<Self> {
        let random = uuid::Uuid::new_v4();
        let number =
            u32::from_ne_bytes(*random.as_bytes().last_chunk().expect("16 are 4 and more"));
        Ok(Self {
            home: File::open("/proc/self/ns/net")?.into(),
            links: Socket::open(None)?,
            ports: Socket::open(Some(rustix::net::netlink::NETFILTER))?,
            addresses: Addresses::default(),
            table: format!("{TABLE}{owner}_{}", random.simple()),
            has_table: false,
            mark: dir.join(MARK),
            closed: closed.clone(),
            // Far from the numbers that people give.
            group: number | 1 << 30,
            ended: Vec::new(),
            pods: Pods::default(),
        })
    }

    /// Those of this supervisor, made ready when the first is wanted.
    pub(super) fn ready<'a>(
        networks: &'a mut Option<Self>,
        dir: &Path,
        owner: &str,
        closed: &Closed,
    ) -> Result<&'a mut Self, LaunchError> {
        if networks.is_none() {
            *networks = Some(Self::open(dir, owner, closed).map_err(refused("asking the kernel"))?);
        }
        Ok(networks.as_mut().expect("made ready above"))
    }

    /// Makes a task's network, or lets it into that of its group.
    pub(super) fn raise(&mut self, network: &Network) -> Result<Standing, LaunchError> {
        match &network.pod {
            Some(pod) => self.join(pod, network),
            None => Ok(self.make(network)?.0),
        }
    }

    fn make(&mut self, network: &Network) -> Result<(Standing, Inside), LaunchError> {
        let address = self.free_address(network).ok_or_else(|| {
            let (subnet, prefix) = (network.subnet, network.prefix);
            LaunchError::Refused(format!("all addresses of {subnet}/{prefix} are taken"))
        })?;
        // Until it is whole, the link goes with the namespace, and that with us or this call.
        let linked = self.namespace().map_err(refused("a namespace")).and_then(|(own, socket)| {
            let pair = links::pair(&socket, self.home.as_fd()).map_err(refused("a link"))?;
            Ok((own, socket, pair))
        });
        let (namespace, socket, (own, outside)) =
            linked.inspect_err(|_| self.addresses.give_back(address))?;
        let (namespace, inside) = (Arc::new(namespace), Inside { socket, own });
        let standing = Standing { namespace, outside, address, mapped: None, pod: None };
        let made = self.connect(network, &inside, &standing);
        fail::fail_point!("network-linked");
        let entries = Entries {
            ports: network.ports.clone(),
            themselves: !network.ports.is_empty(),
            hidden: network.masquerade,
            trusted: network.link_local,
            insider: network.cluster,
        };
        match made.and_then(|()| self.map(entries, &standing, true)) {
            Ok(mapped) => Ok((Standing { mapped, ..standing }, inside)),
            Err(error) => {
                self.ended.push((outside, address));
                self.sweep();
                Err(error)
            }
        }
    }

    /// One that nobody has: no task of ours, none of another agent with this subnet, and none of a
    /// supervisor that was lost just now, whose link the kernel has not removed yet.
    fn free_address(&mut self, network: &Network) -> Option<Ipv4Addr> {
        let mut others = Vec::new();
        let found = loop {
            match self.addresses.take(network) {
                Some(address) if links::is_routed(&self.links, address) => others.push(address),
                found => break found,
            }
        };
        others.into_iter().for_each(|address| self.addresses.give_back(address));
        found
    }

    /// A new namespace, and the kernel's ear in it.
    fn namespace(&self) -> io::Result<(OwnedFd, Socket)> {
        sys::leave_network()?;
        let namespace = File::open("/proc/thread-self/ns/net");
        let inside = Socket::open(None);
        self.come_home();
        Ok((namespace?.into(), inside?))
    }

    /// The host's end neither has addresses of IPv6 nor takes what comes by it.
    fn without_ipv6(&self, outside: u32) -> io::Result<()> {
        links::without_ipv6(&self.links, outside)?;
        if let Some(name) = links::name(&self.links, outside) {
            // Where we may not: without an address of its own it has little to answer by.
            let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        }
        Ok(())
    }

    /// Addresses, routes and queues at both ends.
    fn connect(
        &self,
        network: &Network,
        Inside { socket: inside, own }: &Inside,
        standing: &Standing,
    ) -> Result<(), LaunchError> {
        let Standing { outside, address, .. } = *standing;
        let own = *own;
        let gateway = gateway(network);
        let steps = || -> io::Result<()> {
            if let Some(rate) = network.bits_a_second {
                links::limit(inside, own, rate)?;
                links::limit(&self.links, outside, rate)?;
            }
            links::without_ipv6(inside, own)?;
            self.without_ipv6(outside)?;
            links::up(inside, links::LOOPBACK)?;
            links::address(inside, own, address)?;
            links::up(inside, own)?;
            links::address(&self.links, outside, gateway)?;
            links::up(&self.links, outside)?;
            links::route(&self.links, outside, Some(address), None).map_err(|error| match error
                .raw_os_error()
            {
                Some(libc::EEXIST) => {
                    io::Error::other(format!("somebody else has just made a route to {address}"))
                }
                _ => error,
            })?;
            links::route(inside, own, Some(gateway), None)?;
            links::route(inside, own, None, Some(gateway))
        };
        steps().map_err(refused("its link"))
    }

    /// Puts into the table what it is to have of a network; gives what it has then.
    fn map(
        &mut self,
        entries: Entries,
        standing: &Standing,
        is_new: bool,
    ) -> Result<Option<Entries>, LaunchError> {
        let has_ports = !entries.ports.is_empty();
        let has_elements = has_ports || entries.hidden;
        let had_table = self.has_table;
        match self.make_table() {
            Ok(()) => {}
            // Where nothing is translated and nothing forbidden, there need be no nf_tables.
            Err(_) if entries.trusted && entries.insider && !has_elements => return Ok(None),
            Err(error) => {
                return Err(LaunchError::Refused(format!(
                    "what its own network does not lead to cannot be said (nf_tables): {error}; \
                     --network-link-local with --network-cluster does without for tasks without \
                     ports"
                )));
            }
        }
        if had_table
            && is_new
            && let Err(error) = flows::forget(&self.ports, standing.address)
        {
            // It is long ago that somebody else had it.
            super::log(&format!(
                "old connections of {} are not forgotten: {error}",
                standing.address
            ));
        }
        if !has_elements && !entries.trusted && !entries.insider {
            return Ok(None);
        }
        let failed = refused("its ports (nf_tables)");
        if has_ports {
            links::route_loopback(&self.links, standing.outside).map_err(&failed)?;
        }
        let mapped = ports::map(&self.ports, &self.table, &entries, standing.address);
        if mapped.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOBUFS)) {
            // It was done, or not: the answer was lost.
            let _ = ports::unmap(&self.ports, &self.table, &entries, standing.address);
        }
        mapped.map_err(|error| match error.raw_os_error() {
            Some(libc::EEXIST) => LaunchError::Refused(
                "a port of its resources leads to another task already".to_owned(),
            ),
            _ => failed(error),
        })?;
        fail::fail_point!("ports-mapped");
        Ok(Some(entries))
    }

    /// First it is noted, so that it is found in any case.
    fn make_table(&mut self) -> io::Result<()> {
        if !self.has_table {
            fs::write(&self.mark, &self.table)?;
            ports::make(&self.ports, &self.table, &self.closed)?;
            self.has_table = true;
        }
        Ok(())
    }

    /// Tasks' networks, those that are there as well, lead there no longer, and again to what was
    /// closed before.
    pub(super) fn shut(&mut self, closed: &Closed) {
        self.closed.clone_from(closed);
        if self.has_table
            && let Err(error) = ports::close(&self.ports, &self.table, closed)
        {
            super::log(&format!("what tasks' networks do not lead to is as before: {error}"));
        }
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
        for _ in 0..TRIES {
            if sys::enter_network(self.home.as_fd()).is_ok() {
                return;
            }
            // waits: the kernel has no memory, for it refuses us nothing else here
            std::thread::sleep(PAUSE);
        }
        panic!("who could leave its own network may come back to it");
    }

    /// What the task has sent and received.
    pub(super) fn traffic(&self, standing: &Standing) -> Option<Traffic> {
        let all = || links::traffic(&self.links, standing.outside);
        match &standing.pod {
            Some(member) => self.pods.told_by(member, all),
            None => all(),
        }
    }

    /// A task has ended: nothing leads to it any more. Its link goes when next is swept, unless it
    /// is that of a group of which others live.
    pub(super) fn end(&mut self, standing: &Standing) {
        let is_unmapped = self.unmap(standing);
        fail::fail_point!("ports-unmapped");
        match &standing.pod {
            Some(member) => self.leave(member, is_unmapped),
            None => self.end_link(standing, is_unmapped),
        }
    }

    fn unmap(&self, standing: &Standing) -> bool {
        let Standing { mapped: Some(entries), address, .. } = standing else { return true };
        let unmapped = ports::unmap(&self.ports, &self.table, entries, *address);
        if let Err(error) = &unmapped {
            super::log(&format!("port mappings of {address} are left: {error}"));
        }
        unmapped.is_ok()
    }

    fn end_link(&mut self, standing: &Standing, is_unmapped: bool) {
        let Standing { outside, address, .. } = *standing;
        match is_unmapped {
            true => self.ended.push((outside, address)),
            // Its address is not given again, for ports lead there.
            false => drop(links::remove(&self.links, outside)),
        }
    }

    /// Removes the links of tasks that have ended: all of them at once, for the kernel has us wait
    /// some 20 ms each time.
    pub(super) fn sweep(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        let ended = std::mem::take(&mut self.ended);
        let links: Vec<u32> = ended.iter().map(|(link, _)| *link).collect();
        match links::remove_all(&self.links, &links, self.group) {
            Ok(()) => ended.iter().for_each(|(_, address)| self.addresses.give_back(*address)),
            Err(error) => super::log(&format!("links of {ended:?} are left: {error}")),
        }
    }

    /// All networks are removed.
    pub(super) fn close(self) {
        if !self.has_table {
            return;
        }
        match ports::remove(&self.ports, &self.table) {
            Ok(_) => drop(fs::remove_file(self.mark)),
            Err(error) => super::log(&format!("port mappings are left: {error}")),
        }
    }
}

/// Removes the table that a lost supervisor of this directory left; whether there was one. Its links
/// went with its tasks.
pub(super) fn clear(dir: &Path) -> io::Result<bool> {
    let mark = dir.join(MARK);
    let table = match fs::read_to_string(&mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        table => table?,
    };
    // A name that was not written whole is of a table that was not made.
    let is_ours = table.starts_with(TABLE) && table.len() < MOST;
    let netfilter = Some(rustix::net::netlink::NETFILTER);
    let found = is_ours && ports::remove(&Socket::open(netfilter)?, &table)?;
    fs::remove_file(mark)?;
    Ok(found)
}
