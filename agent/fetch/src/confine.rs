//! What a fetching process gives up before it reads anything of a stranger.
#![allow(unsafe_code)] // Landlock and seccomp have no safe calls; every block says why it is sound.

use crate::order::{Limits, User};
use libc::{c_long, sock_filter};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{Gid, Uid};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

/// Memory that it may map: what unpacking takes many times over.
const MEMORY_BYTES: u64 = 2 << 30;
/// Descriptors: the three, one for each directory on the way, a connection and its runtime.
const DESCRIPTORS: u64 = 256;

/// Rights of Landlock over files, by their bits.
mod right {
    pub(super) const EXECUTE: u64 = 1;
    pub(super) const READ_FILE: u64 = 1 << 2;
    pub(super) const READ_DIR: u64 = 1 << 3;
    /// Writing, truncating, making, removing, moving.
    pub(super) const CHANGE: u64 = 0x7ff2;
    /// Known since the third version.
    pub(super) const TRUNCATE: u64 = 1 << 14;
    /// Known since the second version.
    pub(super) const REFER: u64 = 1 << 13;
}

/// What of the host is read for names of servers and certificates.
const READ: [&str; 8] = ["/etc", "/usr", "/lib", "/lib64", "/run", "/var/lib", "/proc", "/dev"];

/// Limits that hold whoever it is, and the directory `/`.
pub(crate) fn bound(limits: &Limits) -> io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(limits.bytes))?;
    setrlimit(Resource::Nofile, both(DESCRIPTORS))?;
    setrlimit(Resource::As, both(MEMORY_BYTES))?;
    let seconds = (limits.whole_ms / 1000).max(1);
    setrlimit(Resource::Cpu, both(seconds))?;
    // SAFETY: a signal's disposition is a number; too large a file is told by write then.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    std::env::set_current_dir("/")
}

/// Becomes the user, who has no groups but this one, and gains nothing by executing anything.
pub(crate) fn become_user(user: Option<User>) -> io::Result<()> {
    if let Some(User { uid, gid }) = user {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
}

#[repr(C, packed)]
struct Beneath {
    allowed_access: u64,
    parent_fd: RawFd,
}

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn landlock_version() -> c_long {
    // SAFETY: asks for the version; reads and writes nothing of ours.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0usize, 0usize, 1u32) }
}

/// Whether the kernel can hold processes that fetch to their directories.
pub fn has_landlock() -> bool {
    landlock_version() >= 1
}

/// Lets the kernel refuse every change outside of `writable`, and every read but of what is needed
/// and of `readable`. Says so when the kernel cannot (before 5.13, or without Landlock).
pub(crate) fn enclose(
    writable: Option<BorrowedFd<'_>>,
    readable: Option<&Path>,
) -> io::Result<bool> {
    let version = landlock_version();
    if version < 1 {
        return Ok(false);
    }
    let mut known = right::CHANGE | right::EXECUTE | right::READ_FILE | right::READ_DIR;
    if version < 3 {
        known &= !right::TRUNCATE;
    }
    if version < 2 {
        known &= !right::REFER;
    }
    let rules = Ruleset { handled_access_fs: known };
    let size = size_of::<Ruleset>();
    // SAFETY: the kernel reads `size` bytes of a struct that lives.
    let made =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, 0u32) };
    let made = RawFd::try_from(checked(made)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    let rules = unsafe { OwnedFd::from_raw_fd(made) };
    let read = right::READ_FILE | right::READ_DIR;
    for path in READ.iter().map(Path::new).chain(readable) {
        let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        if let Ok(opened) = opened {
            allow(&rules, opened.as_fd(), read)?;
        }
    }
    if let Some(writable) = writable {
        allow(&rules, writable, (read | right::CHANGE) & known)?;
    }
    // SAFETY: a descriptor and a number.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0u32) };
    checked(done).map(|_| true)
}

fn allow(rules: &OwnedFd, dir: BorrowedFd<'_>, rights: u64) -> io::Result<()> {
    let rule = Beneath { allowed_access: rights, parent_fd: dir.as_raw_fd() };
    let of_paths = 1;
    // SAFETY: the kernel reads a struct of its own layout that lives.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            of_paths,
            &raw const rule,
            0u32,
        )
    };
    checked(added).map(|_| ())
}

/// From here on only what the filter allows. It holds for all threads that are made later.
pub(crate) fn filter(instructions: &[sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(io::Error::other)?,
        filter: instructions.as_ptr().cast_mut(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives, and does not write to it.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    checked(done.into()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The rules are a thread's own: this one ends with the test.
    #[test]
    fn nothing_is_written_or_executed_outside_of_the_directory_or_read_of_others() {
        let [own, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let program = other.path().join("program");
        fs::copy("/bin/true", &program).unwrap();
        fs::write(other.path().join("secret"), "secret").unwrap();
        let paths = (own.path().to_owned(), other.path().to_owned());
        let enclosed = std::thread::spawn(move || {
            let (own, other) = paths;
            let dir = fs::File::open(&own).unwrap();
            rustix::thread::set_no_new_privs(true).unwrap();
            if !enclose(Some(dir.as_fd()), None).unwrap() {
                eprintln!("not run: this kernel has no Landlock");
                return;
            }
            fs::create_dir(own.join("d")).unwrap();
            fs::write(own.join("d/file"), "x").unwrap();
            fs::rename(own.join("d/file"), own.join("file")).unwrap();
            fs::remove_dir(own.join("d")).unwrap();
            let refused = |result: io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            };
            refused(fs::write(other.join("file"), "x"));
            refused(fs::remove_file(other.join("program")));
            refused(fs::create_dir(other.join("d")));
            refused(fs::read(other.join("secret")).map(|_| ()));
            refused(std::process::Command::new(other.join("program")).status().map(|_| ()));
            fs::read("/etc/passwd").unwrap();
        });
        enclosed.join().unwrap();
        assert!(program.exists());
    }

    /// A kernel without it, as far as this thread can tell.
    #[test]
    fn a_kernel_without_landlock_is_found_out() {
        let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
        let number = libc::SYS_landlock_create_ruleset as u32;
        let without = [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let there = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let before = has_landlock();
            filter(&without).unwrap();
            assert!(!has_landlock());
            assert!(!enclose(None, None).unwrap(), "it goes on without");
            before
        });
        if !there.join().unwrap() {
            eprintln!("this kernel has no Landlock in any case");
        }
    }
}
