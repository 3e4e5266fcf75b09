//! Ports of the host that lead into a task's network, and its way out: nf_tables.
//!
//! Each task that needs any has a table of its own, named for its supervisor and its place there,
//! so that all of it goes with one order, and what a lost supervisor left is found by its name.

use std::io;
use std::net::Ipv4Addr;

use super::netlink::{APPEND, CREATE, DUMP, EXCLUSIVE, Message, Socket};
use crate::supervisor::task::{Network, PortMap};

/// The kernel's number for nf_tables, and its kinds of messages.
const TABLES: u16 = 10 << 8;
const NEW_TABLE: u16 = TABLES;
const GET_TABLE: u16 = TABLES | 1;
const DELETE_TABLE: u16 = TABLES | 2;
const NEW_CHAIN: u16 = TABLES | 3;
const NEW_RULE: u16 = TABLES | 6;
/// `NFNL_MSG_BATCH_BEGIN` and `_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// Size of `struct nfgenmsg`.
const FIXED: usize = 4;
const IPV4: u8 = 2;
/// `NFT_REG_1` and `NFT_REG_2`.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
/// `NFT_CMP_EQ`, `NFT_CMP_NEQ`.
const EQUAL: u32 = 0;
const OTHER: u32 = 1;
/// Offsets of the addresses in an IPv4 header.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

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
    expression(rule, "payload", |payload| {
        for (kind, value) in [(1, FIRST), (2, header), (3, offset), (4, length)] {
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

/// What is for this port of any address of the host goes to the task.
fn redirect(rule: &mut Message, map: &PortMap, to: Ipv4Addr) {
    expression(rule, "fib", |fib| {
        // The kind (3) of the packet's destination (2).
        for (kind, value) in [(1, FIRST), (2, 3), (3, 2)] {
            number(fib, kind, value);
        }
    });
    // RTN_LOCAL
    compare(rule, EQUAL, &2_u32.to_ne_bytes());
    expression(rule, "meta", |meta| {
        number(meta, 1, FIRST);
        // NFT_META_L4PROTO
        number(meta, 2, 16);
    });
    compare(rule, EQUAL, &[if map.udp { 17 } else { 6 }]);
    load(rule, 2, 2, 2);
    compare(rule, EQUAL, &map.host.to_be_bytes());
    let values: [(u32, &[u8]); 2] = [(FIRST, &to.octets()), (SECOND, &map.inside.to_be_bytes())];
    for (register, value) in values {
        expression(rule, "immediate", |immediate| {
            number(immediate, 1, register);
            immediate.put_nested(2, |data| data.put(1, value));
        });
    }
    expression(rule, "nat", |nat| {
        // To a destination, IPv4, address and port.
        for (kind, value) in [(1, 1), (2, IPV4.into()), (3, FIRST), (5, SECOND)] {
            number(nat, kind, value);
        }
    });
}

/// A chain that sees packets at a hook of the kernel's.
fn chain(table: &[u8], name: &str, hook: u32, priority: i32) -> Message {
    message(NEW_CHAIN, CREATE | EXCLUSIVE)
        .with(1, table)
        .with(3, &[name.as_bytes(), b"\0"].concat())
        .nest(4, |at| {
            number(at, 1, hook);
            at.put(2, &priority.to_be_bytes());
        })
        .with(7, b"nat\0")
}

fn rule(table: &[u8], chain: &str, fill: impl FnOnce(&mut Message)) -> Message {
    message(NEW_RULE, CREATE | APPEND)
        .with(1, table)
        .with(2, &[chain.as_bytes(), b"\0"].concat())
        .nest(4, fill)
}

fn table_name(owner: &str, place: usize) -> Vec<u8> {
    format!("tepui_{owner}_{place}\0").into_bytes()
}

/// Makes the table of a task with this address.
pub(super) fn map(
    socket: &Socket,
    owner: &str,
    place: usize,
    network: &Network,
    task: Ipv4Addr,
) -> io::Result<()> {
    let table = table_name(owner, place);
    let mut batch = vec![
        edge(BEGIN),
        message(NEW_TABLE, CREATE | EXCLUSIVE).with(1, &table).acknowledged(),
        // NF_INET_PRE_ROUTING, _LOCAL_OUT and _POST_ROUTING, where translation has its places.
        chain(&table, "in", 0, -100).acknowledged(),
        chain(&table, "here", 3, -100).acknowledged(),
        chain(&table, "out", 4, 100).acknowledged(),
    ];
    for map in &network.ports {
        for chain in ["in", "here"] {
            batch.push(rule(&table, chain, |rule| redirect(rule, map, task)).acknowledged());
        }
    }
    // Who asked at an address that means another machine to the task, or the task itself, is
    // answered through us.
    for (source, prefix) in [(Ipv4Addr::LOCALHOST, 8), (task, 32)] {
        let hide = rule(&table, "out", |rule| {
            is_address(rule, SOURCE, EQUAL, source, prefix);
            is_address(rule, DESTINATION, EQUAL, task, 32);
            expression(rule, "masq", |_| {});
        });
        batch.push(hide.acknowledged());
    }
    if network.masquerade {
        let hide = rule(&table, "out", |rule| {
            is_address(rule, SOURCE, EQUAL, task, 32);
            is_address(rule, DESTINATION, OTHER, network.subnet, network.prefix);
            expression(rule, "masq", |_| {});
        });
        batch.push(hide.acknowledged());
    }
    batch.push(edge(END));
    socket.ask(batch).map(drop)
}

fn delete(socket: &Socket, table: &[u8]) -> io::Result<()> {
    let deleted = message(DELETE_TABLE, 0).with(1, table).acknowledged();
    match socket.ask([edge(BEGIN), deleted, edge(END)]) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done.map(drop),
    }
}

/// Removes the table of a task.
pub(super) fn unmap(socket: &Socket, owner: &str, place: usize) -> io::Result<()> {
    delete(socket, &table_name(owner, place))
}

/// Removes all tables of a supervisor; how many there were.
pub(super) fn clear(socket: &Socket, owner: &str) -> io::Result<usize> {
    let tables = socket.ask([message(GET_TABLE, DUMP)])?;
    let mut found = 0;
    for answer in &tables {
        let Some(name) = answer.attribute(FIXED, 1) else { continue };
        let text = String::from_utf8_lossy(name);
        let place = text.trim_end_matches('\0').strip_prefix("tepui_");
        let place = place.and_then(|rest| rest.strip_prefix(owner)?.strip_prefix('_'));
        if place.is_some_and(|place| place.parse::<usize>().is_ok()) {
            delete(socket, name)?;
            found += 1;
        }
    }
    Ok(found)
}
