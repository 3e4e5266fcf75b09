//! What the kernel knows of connections: ctnetlink.

use std::io;
use std::net::Ipv4Addr;

use super::netlink::{DUMP, Message, Socket, attribute};

/// The kernel's number for connections, and its kinds of messages.
const CONNECTIONS: u16 = 1 << 8;
const GET: u16 = CONNECTIONS | 1;
const DELETE: u16 = CONNECTIONS | 2;
/// Size of `struct nfgenmsg`, and its content: IPv4.
const FIXED: usize = 4;
const IPV4: [u8; FIXED] = [2, 0, 0, 0];
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`, `CTA_ID`, `CTA_FILTER`.
const ASKED: u16 = 1;
const ANSWERED: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;
/// `CTA_TUPLE_IP`, `CTA_IP_V4_SRC`.
const ADDRESSES: u16 = 1;
const SOURCE: u16 = 1;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Has the kernel forget connections from and to a task of before that had this address. Those of
/// UDP would go on to whoever has it next, for as long as the other side sends.
pub(super) fn forget(socket: &Socket, task: Ipv4Addr) -> io::Result<usize> {
    let mut forgotten = 0;
    // Begun by the task, or answered by it.
    for direction in [ASKED, ANSWERED] {
        let asked = Message::new(GET, DUMP, &IPV4)
            .nest(direction, |tuple| {
                tuple.put_nested(ADDRESSES, |ip| ip.put(SOURCE, &task.octets()));
            })
            .nest(FILTER, |filter| {
                // CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS: CTA_FILTER_FLAG(CTA_IP_SRC).
                filter.put(direction, &1_u32.to_ne_bytes());
            });
        let found = socket.ask([asked])?;
        let deleted = found.iter().filter_map(|flow| {
            // Kernels before 5.8 do not know of the filter and tell of all.
            let whose = attribute(flow.attribute(FIXED, direction)?, ADDRESSES)?;
            attribute(whose, SOURCE).filter(|source| *source == task.octets())?;
            let tuple = flow.attribute(FIXED, ASKED)?;
            let delete = Message::new(DELETE, 0, &IPV4).with(ASKED | NESTED, tuple);
            Some(delete.with(ID, flow.attribute(FIXED, ID)?))
        });
        for delete in deleted {
            match socket.ask([delete]) {
                Ok(_) => forgotten += 1,
                // It has ended by itself.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(forgotten)
}
