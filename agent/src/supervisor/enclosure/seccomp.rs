//! The filter through which every system call of an enclosed process goes: what is not allowed by
//! name is refused.
//!
//! It is a decision tree over ranges of call numbers, written by hand: the kernel walks the filter
//! once for every number when it is installed, at each launch, and a chain of comparisons (which is
//! what libraries emit) makes that the dearest step of all.

use libc::{c_long, sock_filter};

use super::syscalls::{ALLOWED, OLD};

/// Refused, as if the caller had not the right.
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
/// As on a kernel that does not know the call: programs try the older way then.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
const SECOND_ARGUMENT: u32 = 24;

/// `CLONE_NEW*`, of every kind that `clone` takes.
const NAMESPACES: u32 = 0x7E02_0000;
/// Families of sockets: unix, IPv4, IPv6, netlink (without rights it tells addresses and routes).
const FAMILIES: [u32; 4] = [1, 2, 10, 16];
/// `TIOCSTI` and `TIOCLINUX`: typing on somebody else's terminal.
const TYPING: [u32; 2] = [0x5412, 0x541C];
/// Linux as it is, and the question which it is.
const PERSONALITIES: [u32; 2] = [0, 0xFFFF_FFFF];

/// What is done with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Return(u32),
    /// Allowed unless one of these bits is in the first argument.
    WithoutBits(u32),
    /// Allowed when the first argument is one of these.
    FirstIn(&'static [u32]),
    /// Allowed unless the second argument is one of these.
    SecondNotIn(&'static [u32]),
}

/// The compiled filter.
#[derive(Debug)]
pub(in crate::supervisor) struct Filter(Vec<sock_filter>);

impl Filter {
    /// The filter of all enclosed tasks.
    pub(in crate::supervisor) fn standard() -> Self {
        let mut out = vec![
            load(ARCH),
            jump(libc::BPF_JEQ, ARCHITECTURE, 1, 0),
            give(libc::SECCOMP_RET_KILL_PROCESS),
            load(NUMBER),
        ];
        emit(&ranges(), &mut out);
        Self(out)
    }

    /// The instructions, for the kernel.
    pub(in crate::supervisor) fn instructions(&self) -> &[sock_filter] {
        &self.0
    }
}

/// The verdict on each call number, as the first number of each range; ascending, from zero.
fn ranges() -> Vec<(u32, Verdict)> {
    let mut rules: Vec<(c_long, Verdict)> =
        ALLOWED.iter().chain(OLD).map(|number| (*number, Verdict::Return(ALLOW))).collect();
    rules.extend([
        (libc::SYS_clone, Verdict::WithoutBits(NAMESPACES)),
        // Its arguments are in memory, where no filter sees them.
        (libc::SYS_clone3, Verdict::Return(UNKNOWN)),
        (libc::SYS_socket, Verdict::FirstIn(&FAMILIES)),
        (libc::SYS_ioctl, Verdict::SecondNotIn(&TYPING)),
        (libc::SYS_personality, Verdict::FirstIn(&PERSONALITIES)),
    ]);
    rules.sort_unstable_by_key(|(number, _)| *number);
    let newest = rules.last().map_or(0, |(number, _)| *number);
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut add = |first: c_long, verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((u32::try_from(first).unwrap_or(u32::MAX), verdict));
        }
    };
    let mut next = 0;
    for (number, verdict) in rules {
        if number > next {
            add(next, Verdict::Return(REFUSE));
        }
        add(number, verdict);
        next = number + 1;
    }
    add(newest + 1, Verdict::Return(UNKNOWN));
    ranges
}

fn emit(ranges: &[(u32, Verdict)], out: &mut Vec<sock_filter>) {
    let [(_, verdict)] = ranges else {
        let (left, right) = ranges.split_at(ranges.len() / 2);
        let Some((first, _)) = right.first() else { return };
        let mut below = Vec::new();
        emit(left, &mut below);
        // Conditional jumps reach 255 instructions only, the other one any number.
        out.push(jump(libc::BPF_JGE, *first, 0, 1));
        let over = u32::try_from(below.len()).unwrap_or(u32::MAX);
        out.push(statement(libc::BPF_JMP | libc::BPF_JA, over));
        out.append(&mut below);
        return emit(right, out);
    };
    match verdict {
        Verdict::Return(value) => out.push(give(*value)),
        Verdict::WithoutBits(bits) => out.extend([
            load(FIRST_ARGUMENT),
            jump(libc::BPF_JSET, *bits, 0, 1),
            give(REFUSE),
            give(ALLOW),
        ]),
        Verdict::FirstIn(values) => one_of(FIRST_ARGUMENT, values, ALLOW, REFUSE, out),
        Verdict::SecondNotIn(values) => one_of(SECOND_ARGUMENT, values, REFUSE, ALLOW, out),
    }
}

fn one_of(argument: u32, values: &[u32], yes: u32, no: u32, out: &mut Vec<sock_filter>) {
    out.push(load(argument));
    for value in values {
        out.extend([jump(libc::BPF_JEQ, *value, 0, 1), give(yes)]);
    }
    out.push(give(no));
}

fn statement(code: u32, k: u32) -> sock_filter {
    // All codes fit into 16 bits.
    sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn give(value: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

fn jump(condition: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { jt, jf, ..statement(libc::BPF_JMP | condition | libc::BPF_K, k) }
}

#[cfg(test)]
mod tests;
