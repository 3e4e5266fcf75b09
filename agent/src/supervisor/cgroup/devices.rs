//! The devices that tasks within walls may open: by the devices hierarchy of v1, or on v2 by a small
//! program that the kernel asks at each opening.

#![allow(unsafe_code)] // bpf(2); every block says why it is sound.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::group::{Group, write};
use super::{CgroupError, io_error};
use crate::supervisor::task::Device;

#[cfg(test)]
mod tests;

/// The device nodes that there are in a container: null, zero, full, random, urandom, tty, ptmx, and
/// terminals, of which there is any number. No nodes can be made.
const DEVICES: [(u32, Option<u32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// By what tasks are kept to their devices.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) enum Guard<'a> {
    /// v1: our directory in the devices hierarchy.
    Hierarchy(&'a Path),
    /// v2: the program for containers that have no more than the usual devices.
    Program(BorrowedFd<'a>),
}

/// What keeps a group to devices on v2.
#[derive(Debug)]
pub(super) enum Attached {
    /// The program of all containers with the usual devices.
    Usual,
    /// One of its own.
    Own(OwnedFd),
}

fn allowed(more: &[Device]) -> impl Iterator<Item = (u32, Option<u32>)> {
    DEVICES.into_iter().chain(more.iter().map(|device| (device.major, Some(device.minor))))
}

impl Group {
    /// Keeps the next task to the devices that there are in a container, and some more, or lets it
    /// have all that it may open otherwise.
    pub(in crate::supervisor) fn guard(
        &mut self,
        by: Option<Guard<'_>>,
        enclosed: Option<&[Device]>,
    ) -> Result<(), CgroupError> {
        if enclosed == self.guarded.as_deref() {
            return Ok(());
        }
        match by {
            None => return Ok(()),
            Some(Guard::Hierarchy(devices)) => self.guard_by_lists(devices, enclosed)?,
            Some(Guard::Program(usual)) => {
                let dir = self.dirs[0].clone();
                self.guard_by_program(&dir, usual, enclosed)
                    .map_err(io_error("cannot keep to its devices", &dir))?;
            }
        }
        self.guarded = enclosed.map(<[Device]>::to_vec);
        Ok(())
    }

    /// The group of the devices' hierarchy is made when it is first needed: plain tasks need none.
    fn guard_by_lists(
        &mut self,
        devices: &Path,
        enclosed: Option<&[Device]>,
    ) -> Result<(), CgroupError> {
        let Some(name) = self.dirs[0].file_name() else { return Ok(()) };
        let dir = devices.join(name);
        if !self.dirs.contains(&dir) {
            super::make(&dir)?;
            self.dirs.push(dir.clone());
            let path = dir.join("tasks");
            let file = OpenOptions::new().write(true).open(&path);
            let file = file.map_err(io_error("cannot open", &path))?;
            self.join_fds.push(file.as_raw_fd());
            self.joins.push(file);
        }
        let Some(more) = enclosed else { return write(Some(&dir), "devices.allow", "a") };
        write(Some(&dir), "devices.deny", "a")?;
        for (major, minor) in allowed(more) {
            let mut rule = format!("c {major}:");
            // Writing to a string cannot fail.
            let _ = match minor {
                Some(minor) => write!(rule, "{minor} rw"),
                None => write!(rule, "* rw"),
            };
            write(Some(&dir), "devices.allow", &rule)?;
        }
        Ok(())
    }

    fn guard_by_program(
        &mut self,
        dir: &Path,
        usual: BorrowedFd<'_>,
        enclosed: Option<&[Device]>,
    ) -> io::Result<()> {
        let group = File::open(dir)?;
        let next = match enclosed {
            None => None,
            Some([]) => Some(Attached::Usual),
            Some(more) => Some(Attached::Own(load(&program(more))?)),
        };
        // The new one first: at no time may it open what neither allows.
        if let Some(next) = &next {
            attach(&group, next.fd(usual))?;
        }
        let before = std::mem::replace(&mut self.device_program, next);
        before.map_or(Ok(()), |before| detach(&group, before.fd(usual)))
    }
}

impl Attached {
    fn fd<'a>(&'a self, usual: BorrowedFd<'a>) -> BorrowedFd<'a> {
        match self {
            Self::Usual => usual,
            Self::Own(program) => program.as_fd(),
        }
    }
}

/// The program for containers with the usual devices, if this kernel has such programs.
pub(super) fn usual() -> io::Result<OwnedFd> {
    load(&program(&[]))
}

/// One instruction of the kernel's machine (`struct bpf_insn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    value: i32,
}

/// `BPF_LDX | BPF_MEM | BPF_W`: a register from four bytes at another.
const LOAD: u8 = 0x61;
/// `BPF_ALU | BPF_AND | BPF_K`, with 32 bits.
const AND: u8 = 0x54;
/// `BPF_ALU | BPF_MOV | BPF_X`, and with a number.
const COPY: u8 = 0xbc;
const SET: u8 = 0xb4;
/// `BPF_JMP32 | BPF_JNE | BPF_K` and `BPF_JEQ`: onwards by the offset.
const UNLESS: u8 = 0x56;
const IF: u8 = 0x16;
const EXIT: u8 = 0x95;

/// What the kernel tells (`struct bpf_cgroup_dev_ctx`): the kind in the low half of the first word
/// and the access in the high half; major and minor number.
const ACCESS_AND_KIND: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;
/// `BPF_DEVCG_DEV_CHAR`.
const CHARACTER: i32 = 2;
/// `BPF_DEVCG_ACC_MKNOD`, in the high half.
const MAKE: i32 = 1 << 16;

fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    Instruction { code, registers: to | (from << 4), offset, value }
}

/// Says 1 for a character device of the list that is read or written, else 0: the opening fails
/// with EPERM.
fn program(more: &[Device]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD, 2, 1, ACCESS_AND_KIND, 0),
        instruction(LOAD, 4, 1, MAJOR, 0),
        instruction(LOAD, 5, 1, MINOR, 0),
        instruction(COPY, 3, 2, 0, 0),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(UNLESS, 2, 0, 2, CHARACTER),
        instruction(AND, 3, 0, 0, MAKE),
        instruction(IF, 3, 0, 2, 0),
        instruction(SET, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    for (major, minor) in allowed(more) {
        let past = if minor.is_some() { 3 } else { 2 };
        program.push(instruction(UNLESS, 4, 0, past, major.cast_signed()));
        if let Some(minor) = minor {
            program.push(instruction(UNLESS, 5, 0, 2, minor.cast_signed()));
        }
        program.push(instruction(SET, 0, 0, 0, 1));
        program.push(instruction(EXIT, 0, 0, 0, 0));
    }
    program.push(instruction(SET, 0, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// `BPF_PROG_LOAD`, `_ATTACH` and `_DETACH`.
const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`, `BPF_CGROUP_DEVICE`, `BPF_F_ALLOW_MULTI`.
const OF_DEVICES: u32 = 15;
const AT_DEVICES: u32 = 6;
const WITH_OTHERS: u32 = 2;

/// The beginning of `union bpf_attr` for loading.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    /// Level, size and place of a log, which nobody reads.
    log: [u32; 4],
}

/// The same for attaching and detaching.
#[repr(C)]
struct Attach {
    group: u32,
    program: u32,
    place: u32,
    flags: u32,
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let count = u32::try_from(program.len()).map_err(io::Error::other)?;
    let attributes = Load {
        kind: OF_DEVICES,
        count,
        instructions: program.as_ptr().expose_provenance() as u64,
        // It uses nothing that asks for another one.
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        log: [0; 4],
    };
    let loaded = ask(PROG_LOAD, &attributes)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(loaded) })
}

fn attach(group: &File, program: BorrowedFd<'_>) -> io::Result<()> {
    ask(PROG_ATTACH, &place(group, program, WITH_OTHERS)).map(drop)
}

fn detach(group: &File, program: BorrowedFd<'_>) -> io::Result<()> {
    ask(PROG_DETACH, &place(group, program, 0)).map(drop)
}

fn place(group: &File, program: BorrowedFd<'_>, flags: u32) -> Attach {
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().cast_unsigned();
    Attach { group: number(group.as_fd()), program: number(program), place: AT_DEVICES, flags }
}

fn ask<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes as the structure has, and what that points at is live.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}
