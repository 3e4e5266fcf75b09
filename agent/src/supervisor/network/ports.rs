//! Ports of the host that lead into tasks' networks, tasks' way out, and what they do not reach:
//! nf_tables.
//!
//! All tasks of a supervisor share one table, with one chain at each hook (the kernel takes 1,024 at
//! most) and what differs between tasks in sets. Its name has a part made at random and is noted
//! before it is made, so that what a lost supervisor left is found, and nobody else's is touched.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::netlink::{APPEND, CREATE, EXCLUSIVE, Message, Socket};
use crate::supervisor::task::{Closed, PortMap};
use std::collections::BTreeMap;

/// The kernel's number for nf_tables, and its kinds of messages.
const TABLES: u16 = 10 << 8;
const NEW_TABLE: u16 = TABLES;
const DELETE_TABLE: u16 = TABLES | 2;
const NEW_CHAIN: u16 = TABLES | 3;
const NEW_RULE: u16 = TABLES | 6;
const NEW_SET: u16 = TABLES | 9;
const NEW_ELEMENTS: u16 = TABLES | 12;
const DELETE_ELEMENTS: u16 = TABLES | 14;
/// `NFNL_MSG_BATCH_BEGIN` and `_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const IPV4: u8 = 2;
/// `NFT_REG32_00`, of four bytes, from which others count on, and `NFT_REG_VERDICT`.
const FIRST: u32 = 8;
const SECOND: u32 = 9;
const VERDICT: u32 = 0;
/// `NF_DROP`, `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
const EQUAL: u32 = 0;
const OTHER: u32 = 1;
/// Offsets of the addresses in an IPv4 header, the one right after the other.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
/// `NFT_META_IIFNAME`, `NFT_META_OIFNAME`, `NFT_META_L4PROTO`.
const FROM_LINK: u32 = 6;
const TO_LINK: u32 = 7;
const PROTOCOL: u32 = 16;
/// What the names of tasks' links begin with.
const OURS: &[u8] = b"tepui";
/// Where ports lead: protocol and port to address and port.
const PORTS: &[u8] = b"ports\0";
/// Addresses twice, of tasks that may ask for themselves at an address of the host.
const THEMSELVES: &[u8] = b"themselves\0";
/// Addresses of tasks that are hidden behind the host's.
const HIDDEN: &[u8] = b"hidden\0";
/// Addresses of tasks that reach link-local ones.
const TRUSTED: &[u8] = b"trusted\0";
/// Addresses of tasks that reach what is closed.
const INSIDERS: &[u8] = b"insiders\0";
/// Ports of the host, and addresses with ports, that are closed to tasks.
const CLOSED_HERE: &[u8] = b"closed_here\0";
const CLOSED_THERE: &[u8] = b"closed_there\0";
/// Link-local addresses, of which 169.254.169.254 is where clouds tell a host its credentials.
const LINK_LOCAL: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 0, 0), 16);
/// Where resolvers listen: some clouds' do at a link-local address.
const DOMAIN: u16 = 53;

fn message(kind: u16, flags: u16) -> Message {
    Message::new(kind, flags, &[IPV4, 0, 0, 0])
}

fn edge(kind: u16) -> Message {
    // Which subsystem it is for, in network order.
    Message::new(kind, 0, &[0, 0, 0, 10])
}

/// One expression of a rule.
fn expression(rule: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    rule.put_nested(1, |element| {
        element.put(1, &[name.as_bytes(), b"\0"].concat());
        element.put_nested(2, fill);
    });
}

fn number(message: &mut Message, kind: u16, value: u32) {
    message.put(kind, &value.to_be_bytes());
}

fn compare(rule: &mut Message, how: u32, value: &[u8]) {
    expression(rule, "cmp", |cmp| {
        number(cmp, 1, FIRST);
        number(cmp, 2, how);
        cmp.put_nested(3, |data| data.put(1, value));
    });
}

/// Loads part of a packet: of its IPv4 header (1) or of what is in that (2).
fn load(rule: &mut Message, header: u32, offset: u32, length: u32) {
    load_into(rule, FIRST, (header, offset, length));
}

fn load_into(rule: &mut Message, register: u32, (header, offset, length): (u32, u32, u32)) {
    expression(rule, "payload", |payload| {
        for (kind, value) in [(1, register), (2, header), (3, offset), (4, length)] {
            number(payload, kind, value);
        }
    });
}

fn is_address(rule: &mut Message, offset: u32, how: u32, address: Ipv4Addr, prefix: u8) {
    load(rule, 1, offset, 4);
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    if prefix < 32 {
        expression(rule, "bitwise", |bitwise| {
            for (kind, value) in [(1, FIRST), (2, FIRST), (3, 4)] {
                number(bitwise, kind, value);
            }
            bitwise.put_nested(4, |data| data.put(1, &mask.to_be_bytes()));
            bitwise.put_nested(5, |data| data.put(1, &[0; 4]));
        });
    }
    compare(rule, how, &(u32::from(address) & mask).to_be_bytes());
}

fn meta(rule: &mut Message, what: u32, register: u32) {
    expression(rule, "meta", |meta| {
        number(meta, 1, register);
        number(meta, 2, what);
    });
}

/// Goes on with what is of TCP.
fn of_tcp(rule: &mut Message) {
    meta(rule, PROTOCOL, FIRST);
    compare(rule, EQUAL, &[6]);
}

/// Goes on with what is for an address of the host.
fn to_host(rule: &mut Message) {
    expression(rule, "fib", |fib| {
        // The kind (3) of the packet's destination (2).
        for (kind, value) in [(1, FIRST), (2, 3), (3, 2)] {
            number(fib, kind, value);
        }
    });
    // RTN_LOCAL
    compare(rule, EQUAL, &2_u32.to_ne_bytes());
}

/// Goes on if what was loaded is not in a set.
fn is_not_in(rule: &mut Message, set: &[u8]) {
    expression(rule, "lookup", |lookup| {
        lookup.put(1, set);
        number(lookup, 2, FIRST);
        // NFT_LOOKUP_F_INV
        number(lookup, 5, 1);
    });
}

/// Looks what was loaded up in a set, and goes on if it is there.
fn look_up(rule: &mut Message, set: &[u8], into: Option<u32>) {
    expression(rule, "lookup", |lookup| {
        lookup.put(1, set);
        number(lookup, 2, FIRST);
        if let Some(register) = into {
            number(lookup, 3, register);
        }
    });
}

/// What is for a mapped port of any address of the host goes to its task.
fn redirect(rule: &mut Message) {
    to_host(rule);
    meta(rule, PROTOCOL, FIRST);
    // Of what is in the IPv4 packet (2): the destination's port.
    load_into(rule, SECOND, (2, 2, 2));
    look_up(rule, PORTS, Some(FIRST));
    expression(rule, "nat", |nat| {
        // To a destination, IPv4, address and port.
        for (kind, value) in [(1, 1), (2, IPV4.into()), (3, FIRST), (5, SECOND)] {
            number(nat, kind, value);
        }
    });
}

/// Tasks have no business with addresses of the host's loopback, which their links let pass for the
/// sake of what the host sends to their ports.
fn shield(rule: &mut Message, offset: u32) {
    meta(rule, FROM_LINK, FIRST);
    compare(rule, EQUAL, OURS);
    is_address(rule, offset, EQUAL, Ipv4Addr::LOCALHOST, 8);
    decide(rule, DROP);
}

/// What a task sends to a link-local address; the rules go on with it.
fn to_link_local(rule: &mut Message) {
    meta(rule, FROM_LINK, FIRST);
    compare(rule, EQUAL, OURS);
    is_address(rule, DESTINATION, EQUAL, LINK_LOCAL.0, LINK_LOCAL.1);
}

/// What a task that is no insider sends by TCP; the rules go on with it.
fn to_cluster(rule: &mut Message) {
    meta(rule, FROM_LINK, FIRST);
    compare(rule, EQUAL, OURS);
    of_tcp(rule);
    load(rule, 1, SOURCE, 4);
    is_not_in(rule, INSIDERS);
}

fn decide(rule: &mut Message, verdict: u32) {
    expression(rule, "immediate", |immediate| {
        number(immediate, 1, VERDICT);
        immediate.put_nested(2, |data| data.put_nested(2, |value| number(value, 1, verdict)));
    });
}

/// A chain that sees packets at a hook of the kernel's.
fn chain(table: &[u8], name: &str, kind: &[u8], (hook, priority): (u32, i32)) -> Message {
    message(NEW_CHAIN, CREATE | EXCLUSIVE)
        .with(1, table)
        .with(3, &[name.as_bytes(), b"\0"].concat())
        .nest(4, |at| {
            number(at, 1, hook);
            at.put(2, &priority.to_be_bytes());
        })
        .with(7, kind)
}

fn rule(table: &[u8], chain: &str, fill: impl FnOnce(&mut Message)) -> Message {
    message(NEW_RULE, CREATE | APPEND)
        .with(1, table)
        .with(2, &[chain.as_bytes(), b"\0"].concat())
        .nest(4, fill)
}

/// A set; `key` and `value` are what `nft` calls their types, with their sizes.
fn set(
    table: &[u8],
    (name, id): (&[u8], u32),
    key: (u32, u32),
    value: Option<(u32, u32)>,
) -> Message {
    let mut set = message(NEW_SET, CREATE | EXCLUSIVE).with(1, table).with(2, name);
    // NFT_SET_MAP
    number(&mut set, 3, if value.is_some() { 8 } else { 0 });
    number(&mut set, 4, key.0);
    number(&mut set, 5, key.1);
    if let Some((kind, size)) = value {
        number(&mut set, 6, kind);
        number(&mut set, 7, size);
    }
    number(&mut set, 10, id);
    set
}

/// What the chain has that keeps tasks from what is not theirs to reach.
fn shields(table: &[u8]) -> [Message; 7] {
    [
        rule(table, "shield", |rule| shield(rule, SOURCE)),
        rule(table, "shield", |rule| shield(rule, DESTINATION)),
        rule(table, "shield", |rule| {
            to_cluster(rule);
            to_host(rule);
            // The destination's port.
            load(rule, 2, 2, 2);
            look_up(rule, CLOSED_HERE, None);
            decide(rule, DROP);
        }),
        rule(table, "shield", |rule| {
            to_cluster(rule);
            load(rule, 1, DESTINATION, 4);
            load_into(rule, SECOND, (2, 2, 2));
            look_up(rule, CLOSED_THERE, None);
            decide(rule, DROP);
        }),
        rule(table, "shield", |rule| {
            to_link_local(rule);
            load(rule, 1, SOURCE, 4);
            look_up(rule, TRUSTED, None);
            decide(rule, ACCEPT);
        }),
        rule(table, "shield", |rule| {
            to_link_local(rule);
            // The destination's port, of TCP and of UDP.
            load(rule, 2, 2, 2);
            compare(rule, EQUAL, &DOMAIN.to_be_bytes());
            decide(rule, ACCEPT);
        }),
        rule(table, "shield", |rule| {
            to_link_local(rule);
            decide(rule, DROP);
        }),
    ]
}

/// Makes the table of a supervisor, in which this is closed to tasks.
pub(super) fn make(socket: &Socket, name: &str, closed: &Closed) -> io::Result<()> {
    // Types of `nft`, which takes six bits for each of several: ipv4_addr, inet_proto, inet_service.
    const ADDRESS: u32 = 7;
    let (mapped, to) = ((12 << 6) | 13, (ADDRESS << 6) | 13);
    let name = table_name(name);
    let table = &*name;
    let leaves = |rule: &mut Message, how| {
        meta(rule, TO_LINK, FIRST);
        compare(rule, how, OURS);
    };
    let places = [
        edge(BEGIN),
        message(NEW_TABLE, CREATE | EXCLUSIVE).with(1, table),
        set(table, (PORTS, 1), (mapped, 8), Some((to, 8))),
        set(table, (THEMSELVES, 2), ((ADDRESS << 6) | ADDRESS, 8), None),
        set(table, (HIDDEN, 3), (ADDRESS, 4), None),
        set(table, (TRUSTED, 4), (ADDRESS, 4), None),
        set(table, (INSIDERS, 5), (ADDRESS, 4), None),
        set(table, (CLOSED_HERE, 6), (13, 2), None),
        set(table, (CLOSED_THERE, 7), ((ADDRESS << 6) | 13, 8), None),
        // NF_INET_PRE_ROUTING, _LOCAL_OUT and _POST_ROUTING; before connections are known (-300),
        // and where translation has its places.
        chain(table, "shield", b"filter\0", (0, -300)),
        chain(table, "in", b"nat\0", (0, -100)),
        chain(table, "here", b"nat\0", (3, -100)),
        chain(table, "out", b"nat\0", (4, 100)),
    ];
    let translations = [
        rule(table, "in", redirect),
        rule(table, "here", redirect),
        // Who asked at an address that means another machine to the task, or the task itself, is
        // answered through us.
        rule(table, "out", |rule| {
            is_address(rule, SOURCE, EQUAL, Ipv4Addr::LOCALHOST, 8);
            leaves(rule, EQUAL);
            expression(rule, "masq", |_| {});
        }),
        rule(table, "out", |rule| {
            load(rule, 1, SOURCE, 8);
            look_up(rule, THEMSELVES, None);
            expression(rule, "masq", |_| {});
        }),
        rule(table, "out", |rule| {
            load(rule, 1, SOURCE, 4);
            look_up(rule, HIDDEN, None);
            leaves(rule, OTHER);
            expression(rule, "masq", |_| {});
        }),
    ];
    let all = places.into_iter().chain(closing(table, closed)).chain(shields(table));
    socket.ask(all.chain(translations).chain([edge(END)])).map(drop)
}

/// Elements of a set: keys, with values if it is a map.
fn elements(
    kind: u16,
    table: &[u8],
    set: &[u8],
    elements: &[(Vec<u8>, Option<Vec<u8>>)],
) -> Message {
    let flags = if kind == NEW_ELEMENTS { CREATE | EXCLUSIVE } else { 0 };
    message(kind, flags).with(1, table).with(2, set).nest(3, |list| {
        for (key, value) in elements {
            list.put_nested(1, |element| {
                element.put_nested(1, |data| data.put(1, key));
                if let Some(value) = value {
                    element.put_nested(2, |data| data.put(1, value));
                }
            });
        }
    })
}

/// What is in the sets for an address, or is to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    pub(super) ports: Vec<PortMap>,
    /// Whether it may ask for itself at an address of the host: who has ports.
    pub(super) themselves: bool,
    pub(super) hidden: bool,
    pub(super) trusted: bool,
    pub(super) insider: bool,
}

fn batch(kind: u16, name: &str, entries: &Entries, task: Ipv4Addr) -> Vec<Message> {
    let (table, own) = (table_name(name), task.octets().to_vec());
    // A port leads to one place: the first that was named.
    let mut ports = BTreeMap::new();
    for PortMap { host, inside, udp } in &entries.ports {
        let protocol: u8 = if *udp { 17 } else { 6 };
        let key = [vec![protocol, 0, 0, 0], padded(*host)].concat();
        let to = [own.clone(), padded(*inside)].concat();
        ports.entry(key).or_insert((kind == NEW_ELEMENTS).then_some(to));
    }
    let ports: Vec<_> = ports.into_iter().collect();
    let mut batch = vec![edge(BEGIN)];
    if !ports.is_empty() {
        batch.push(elements(kind, &table, PORTS, &ports));
    }
    if entries.themselves {
        batch.push(elements(kind, &table, THEMSELVES, &[([&own[..], &own].concat(), None)]));
    }
    if entries.hidden {
        batch.push(elements(kind, &table, HIDDEN, &[(own.clone(), None)]));
    }
    if entries.trusted {
        batch.push(elements(kind, &table, TRUSTED, &[(own.clone(), None)]));
    }
    if entries.insider {
        batch.push(elements(kind, &table, INSIDERS, &[(own, None)]));
    }
    batch.push(edge(END));
    batch
}

/// A port as part of a key of several.
fn padded(port: u16) -> Vec<u8> {
    [port.to_be_bytes(), [0; 2]].concat()
}

/// Has sets hold this instead of what was closed before.
fn closing(table: &[u8], closed: &Closed) -> Vec<Message> {
    let here = closed.here.iter().map(|port| (port.to_be_bytes().to_vec(), None));
    let there = closed.there.iter().map(|place: &SocketAddrV4| {
        ([place.ip().octets().to_vec(), padded(place.port())].concat(), None)
    });
    let sets: [(_, Vec<_>); 2] = [(CLOSED_HERE, here.collect()), (CLOSED_THERE, there.collect())];
    let mut messages = Vec::new();
    for (set, keys) in sets {
        // All that it has.
        messages.push(message(DELETE_ELEMENTS, 0).with(1, table).with(2, set));
        if !keys.is_empty() {
            messages.push(elements(NEW_ELEMENTS, table, set, &keys));
        }
    }
    messages
}

/// Closes this to tasks, and nothing else any longer.
pub(super) fn close(socket: &Socket, name: &str, closed: &Closed) -> io::Result<()> {
    let messages = closing(&table_name(name), closed);
    socket.ask([edge(BEGIN)].into_iter().chain(messages).chain([edge(END)])).map(drop)
}

fn table_name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// Leads the ports of a task to its address, and hides that if it is to be.
pub(super) fn map(
    socket: &Socket,
    table: &str,
    entries: &Entries,
    task: Ipv4Addr,
) -> io::Result<()> {
    socket.ask(batch(NEW_ELEMENTS, table, entries, task)).map(drop)
}

/// Takes back what `map` has done.
pub(super) fn unmap(
    socket: &Socket,
    table: &str,
    entries: &Entries,
    task: Ipv4Addr,
) -> io::Result<()> {
    socket.ask(batch(DELETE_ELEMENTS, table, entries, task)).map(drop)
}

/// Removes a supervisor's table; whether there was one.
pub(super) fn remove(socket: &Socket, name: &str) -> io::Result<bool> {
    let deleted = message(DELETE_TABLE, 0).with(1, &table_name(name));
    match socket.ask([edge(BEGIN), deleted, edge(END)]) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        done => done.map(|_| true),
    }
}
