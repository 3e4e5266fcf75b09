//! The first process of an enclosure: it waits for ever, in memory of its own and of no use to
//! anybody.
//!
//! A namespace of processes lives as long as its first process, which also inherits the orphans in
//! it. That must not be the task (the kernel keeps signals from such a process) and must not be a
//! program of ours (it would hold our memory, or our file, within reach of the task). So it is this:
//! an executable of some hundred bytes, sealed, that sleeps. Its children are reaped by the kernel,
//! because it is started with SIGCHLD ignored.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, Mode, SealFlags};

/// pause, again and again.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;

/// ppoll of nothing without end, again and again.
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2,
    0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfa, 0xff, 0xff, 0x17,
];
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// Sizes of the headers of an ELF file and of one segment.
const FILE_HEADER: u64 = 64;
const SEGMENT_HEADER: u64 = 56;
/// Where it is loaded.
const ADDRESS: u64 = 0x40_0000;

/// The executable: one segment, readable and executable, with the headers and the code.
fn executable() -> Vec<u8> {
    let code_at = FILE_HEADER + SEGMENT_HEADER;
    let size = code_at + CODE.len() as u64;
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(2u16.to_le_bytes()); // An executable,
    out.extend(MACHINE.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend((ADDRESS + code_at).to_le_bytes()); // that begins here,
    out.extend(FILE_HEADER.to_le_bytes()); // with its segments after this header,
    out.extend(0u64.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    for number in [FILE_HEADER, SEGMENT_HEADER, 1, 0, 0, 0] {
        out.extend(u16::try_from(number).unwrap_or(0).to_le_bytes());
    }
    out.extend(1u32.to_le_bytes()); // one of which is loaded,
    out.extend(5u32.to_le_bytes()); // to be read and executed:
    for number in [0, ADDRESS, ADDRESS, size, size, 0x1000] {
        out.extend(number.to_le_bytes());
    }
    out.extend(CODE);
    out
}

/// The executable in memory that nobody can change any more.
pub(super) fn sealed() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know that one may be meant to be executed, and let all be.
    let memory = rustix::fs::memfd_create("tepui-init", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("tepui-init", flags))?;
    let executable = executable();
    let mut rest = &executable[..];
    while !rest.is_empty() {
        let written = rustix::io::write(&memory, rest)?;
        rest = rest.get(written..).unwrap_or(&[]);
    }
    // To be executed and not to be read: so its memory is nobody's to read or write either, whatever
    // rights a task has in its own namespace, and there is no process behind no filter to be had.
    rustix::fs::fchmod(&memory, Mode::from_raw_mode(0o111))?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&memory, all)?;
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::process::{Command, Stdio};

    #[test]
    fn it_runs_sleeps_and_can_be_killed() {
        let memory = sealed().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
        let mut child = Command::new(path).stdin(Stdio::null()).spawn().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        while !state().contains(") S ") {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn nobody_can_change_it() {
        let memory = sealed().unwrap();
        assert!(rustix::io::pwrite(&memory, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&memory, 0).is_err());
    }
}
