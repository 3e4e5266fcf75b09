//! Links, addresses, routes and queues: rtnetlink.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::netlink::{Answer, CREATE, EXCLUSIVE, Message, REPLACE, Socket};
use crate::supervisor::task::Traffic;

/// `RTM_*`.
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_QUEUE: u16 = 36;
/// `IFLA_*`.
const NAME: u16 = 3;
const PEER: u16 = 5;
const KIND_OF_LINK: u16 = 18;
const STATISTICS: u16 = 23;
const BY_FAMILY: u16 = 26;
const GROUP: u16 = 27;
const NAMESPACE: u16 = 28;
/// `IFLA_INFO_KIND`, `IFLA_INFO_DATA`, `VETH_INFO_PEER`.
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
/// `IFLA_INET_CONF` of `AF_INET`, and `IPV4_DEVCONF_ROUTE_LOCALNET`.
const SETTINGS: u16 = 1;
const ROUTE_LOCALNET: u16 = 26;
/// `IFLA_INET6_ADDR_GEN_MODE`, `IN6_ADDR_GEN_MODE_NONE`.
const OWN_ADDRESSES: u16 = 8;
const NONE: u8 = 1;
/// `IFA_ADDRESS`, `IFA_LOCAL`.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// `RTA_*`.
const DESTINATION: u16 = 1;
const OUT: u16 = 4;
const GATEWAY: u16 = 5;
/// `TCA_KIND`, `TCA_OPTIONS`; `TCA_TBF_*`.
const QUEUE_KIND: u16 = 1;
const QUEUE_OPTIONS: u16 = 2;
const PARAMETERS: u16 = 1;
const RATE64: u16 = 4;
const BURST: u16 = 6;
/// Size of `struct ifinfomsg`.
const LINK_FIXED: usize = 16;
/// `IFF_UP`.
const UP: u32 = 1;
/// The loopback device is the first of each namespace.
pub(super) const LOOPBACK: u32 = 1;
/// The name of a task's link, inside.
const INSIDE: &[u8] = b"eth0\0";
/// The pattern by which the kernel names its other end.
const OUTSIDE: &[u8] = b"tepui%d\0";

const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// `struct ifinfomsg`.
fn link(index: u32, flags: u32) -> [u8; LINK_FIXED] {
    let mut fixed = [0; LINK_FIXED];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    // Which of the flags are meant.
    fixed[12..16].copy_from_slice(&flags.to_ne_bytes());
    fixed
}

/// Makes a pair of links, one here and the other in the namespace `home`: their numbers.
pub(super) fn pair(inside: &Socket, home: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let made = Message::new(NEW_LINK, CREATE | EXCLUSIVE, &link(0, 0)).with(NAME, INSIDE).nest(
        KIND_OF_LINK,
        |info| {
            info.put(INFO_KIND, b"veth");
            info.put_nested(INFO_DATA, |data| {
                data.put_nested(VETH_PEER, |peer| {
                    peer.put_raw(&link(0, 0));
                    peer.put(NAME, OUTSIDE);
                    peer.put(NAMESPACE, &home.as_raw_fd().to_ne_bytes());
                });
            });
        },
    );
    inside.order(made)?;
    let asked = Message::new(GET_LINK, 0, &link(0, 0)).with(NAME, INSIDE);
    let answers = inside.ask([asked])?;
    let numbers = answers.first().and_then(|answer| {
        let own = u32::from_ne_bytes(answer.fixed(4)?);
        let other = answer.attribute(LINK_FIXED, PEER)?.first_chunk()?;
        Some((own, u32::from_ne_bytes(*other)))
    });
    numbers.ok_or_else(|| io::Error::other("the kernel does not tell of the link that it made"))
}

pub(super) fn up(socket: &Socket, index: u32) -> io::Result<()> {
    socket.order(Message::new(NEW_LINK, 0, &link(index, UP)))
}

/// Removes a link, and with it the other end of its pair. One that is gone is gone.
pub(super) fn remove(socket: &Socket, index: u32) -> io::Result<()> {
    match socket.order(Message::new(DELETE_LINK, 0, &link(index, 0))) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        done => done,
    }
}

/// Removes links of this namespace together: each waits for all processors, all of them once. What
/// is gone is gone.
pub(super) fn remove_all(socket: &Socket, indices: &[u32], group: u32) -> io::Result<()> {
    if let [index] = indices {
        return remove(socket, *index);
    }
    let gone = |done: io::Result<()>| match done {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        done => done,
    };
    let number = group.to_ne_bytes();
    for index in indices {
        gone(socket.order(Message::new(NEW_LINK, 0, &link(*index, 0)).with(GROUP, &number)))?;
    }
    gone(socket.order(Message::new(DELETE_LINK, 0, &link(0, 0)).with(GROUP, &number)))
}

/// Has a link that is not up yet give itself no addresses of IPv6, and answer nobody who uses some.
pub(super) fn without_ipv6(socket: &Socket, index: u32) -> io::Result<()> {
    let message = Message::new(NEW_LINK, 0, &link(index, 0)).nest(BY_FAMILY, |families| {
        families.put_nested(IPV6.into(), |ipv6| ipv6.put(OWN_ADDRESSES, &[NONE]));
    });
    match socket.order(message) {
        // Where there is no IPv6 at all.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(()),
        done => done,
    }
}

/// The name of a link.
pub(super) fn name(socket: &Socket, index: u32) -> Option<String> {
    let answers = socket.ask([Message::new(GET_LINK, 0, &link(index, 0))]).ok()?;
    let name = answers.first()?.attribute(LINK_FIXED, NAME)?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

/// Lets packets of the loopback's addresses pass: those that were redirected here.
pub(super) fn route_loopback(socket: &Socket, index: u32) -> io::Result<()> {
    let message = Message::new(NEW_LINK, 0, &link(index, 0)).nest(BY_FAMILY, |families| {
        families.put_nested(IPV4.into(), |ipv4| {
            ipv4.put_nested(SETTINGS, |settings| {
                settings.put(ROUTE_LOCALNET, &1_u32.to_ne_bytes());
            });
        });
    });
    socket.order(message)
}

/// Gives a link an address that is alone in its network.
pub(super) fn address(socket: &Socket, index: u32, address: Ipv4Addr) -> io::Result<()> {
    let mut fixed = [0; 8];
    (fixed[0], fixed[1]) = (IPV4, 32);
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    let (kind, octets) = (NEW_ADDRESS, address.octets());
    let message = Message::new(kind, CREATE | REPLACE, &fixed);
    socket.order(message.with(LOCAL, &octets).with(ADDRESS, &octets))
}

/// Where packets for one address go, or all others when a gateway is given: where nobody has said so
/// before.
pub(super) fn route(
    socket: &Socket,
    index: u32,
    to: Option<Ipv4Addr>,
    gateway: Option<Ipv4Addr>,
) -> io::Result<()> {
    // RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE or RT_SCOPE_LINK, RTN_UNICAST.
    let scope = if gateway.is_some() { 0 } else { 253 };
    let bits = if to.is_some() { 32 } else { 0 };
    let fixed = [IPV4, bits, 0, 0, 254, 4, scope, 1, 0, 0, 0, 0];
    let mut message = Message::new(NEW_ROUTE, CREATE | EXCLUSIVE, &fixed);
    if let Some(to) = to {
        message.put(DESTINATION, &to.octets());
    }
    if let Some(gateway) = gateway {
        message.put(GATEWAY, &gateway.octets());
    }
    socket.order(message.with(OUT, &index.to_ne_bytes()))
}

/// Whether somebody has said where packets for just this address go.
pub(super) fn is_routed(socket: &Socket, address: Ipv4Addr) -> bool {
    // RTM_F_FIB_MATCH: the answer is the route as it was said.
    let fixed = [[IPV4, 32, 0, 0], [0; 4], 0x2000_u32.to_ne_bytes()].concat();
    let asked = Message::new(GET_ROUTE, 0, &fixed).with(DESTINATION, &address.octets());
    let found = socket.ask([asked]).unwrap_or_default();
    found.iter().any(|route| route.fixed::<1>(1) == Some([32]))
}

/// Holds what a link sends to a rate (`tbf`): a bucket of 10 ms' worth and a queue of 50 ms' more,
/// beyond which packets are dropped.
pub(super) fn limit(socket: &Socket, index: u32, bits_a_second: u64) -> io::Result<()> {
    hold(socket, index, bits_a_second, 16 << 10)
}

/// The same for a link that is held already. A packet may wait there that fitted into the bucket of
/// before, and would wait for ever for one that is smaller: it gets one that any fits into (64 KiB,
/// and what the kernel counts of headers).
pub(super) fn change_limit(socket: &Socket, index: u32, bits_a_second: u64) -> io::Result<()> {
    hold(socket, index, bits_a_second, 96 << 10)
}

fn hold(socket: &Socket, index: u32, bits_a_second: u64, least: u32) -> io::Result<()> {
    let rate = (bits_a_second / 8).max(1);
    // A packet as large as they come unsegmented must fit, or it would cost many small ones.
    let burst = u32::try_from(rate / 100).unwrap_or(u32::MAX).clamp(least, 64 << 20);
    let waits = u32::try_from(rate / 20).unwrap_or(u32::MAX).clamp(64 << 10, 256 << 20);
    let mut fixed = [0; 20];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    // At the root.
    fixed[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
    // struct tc_tbf_qopt: rate, no peak rate, limit of the queue; the bucket comes as BURST.
    let mut parameters = [0; 36];
    // TC_LINKLAYER_ETHERNET: no table of rates follows.
    parameters[1] = 1;
    let short = u32::try_from(rate).unwrap_or(u32::MAX);
    parameters[8..12].copy_from_slice(&short.to_ne_bytes());
    parameters[24..28].copy_from_slice(&(waits + burst).to_ne_bytes());
    let message = Message::new(NEW_QUEUE, CREATE | REPLACE, &fixed).with(QUEUE_KIND, b"tbf\0");
    socket.order(message.nest(QUEUE_OPTIONS, |options| {
        options.put(PARAMETERS, &parameters);
        options.put(BURST, &burst.to_ne_bytes());
        if rate > u64::from(u32::MAX) {
            options.put(RATE64, &rate.to_ne_bytes());
        }
    }))
}

/// What has passed a pair's outer end, as the task inside sees it.
pub(super) fn traffic(socket: &Socket, index: u32) -> Option<Traffic> {
    let answers = socket.ask([Message::new(GET_LINK, 0, &link(index, 0))]).ok()?;
    traffic_of(answers.first()?)
}

fn traffic_of(answer: &Answer) -> Option<Traffic> {
    let numbers = answer.attribute(LINK_FIXED, STATISTICS)?;
    // struct rtnl_link_stats64: packets in and out, then bytes.
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_ne_bytes(numbers.get(at * 8..at * 8 + 8)?.try_into().ok()?))
    };
    Some(Traffic { sent_bytes: number(2)?, received_bytes: number(3)? })
}
