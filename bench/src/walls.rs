//! The floor of containers: the same namespaces, root file system and cgroups as bare system calls,
//! with nobody who keeps books, looks after the process or tells anybody.

use crate::floor::{cgroup_parents, rate};
use std::ffi::{CString, c_int, c_void};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes of the stack of a process before it executes its program: a few calls deep.
const STACK: usize = 32 << 10;

/// What a process does before it executes its program, made before it is born: it shares our memory.
struct Birth {
    doors: Vec<fs::File>,
    root: CString,
    program: CString,
}

/// Containers a second, and their cgroups: each is a process in six namespaces of its own that joins
/// five cgroups made for it, moves to the root and executes `/bin/true` of it. `at_once` at a time.
///
/// None where five hierarchies of cgroups v1 cannot be written.
pub(crate) fn container_rate(root: &Path, count: usize, at_once: usize) -> Option<f64> {
    let parents = cgroup_parents()?;
    let figure = rate(count, at_once, |worker, number| {
        let groups: Vec<PathBuf> =
            parents.iter().map(|parent| parent.join(format!("walls-{worker}-{number}"))).collect();
        let doors = groups.iter().map(|group| {
            fs::create_dir(group).expect("the parent is ours and writable");
            let door = fs::OpenOptions::new().write(true).open(group.join("cgroup.procs"));
            door.expect("a new cgroup can be joined")
        });
        let text = |bytes: &[u8]| CString::new(bytes).expect("paths have no zero bytes");
        let root = text(root.as_os_str().as_bytes());
        run(&Birth { doors: doors.collect(), root, program: text(b"/bin/true") });
        for group in &groups {
            fs::remove_dir(group).expect("nothing is left in it");
        }
    });
    for parent in &parents {
        // Ours and empty; left behind it would only be an empty directory.
        let _ = fs::remove_dir(parent);
    }
    Some(figure)
}

/// Runs one to its end.
#[allow(unsafe_code, reason = "clone of the C library, and waiting for what it made")]
fn run(birth: &Birth) {
    let flags = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUSER
        | libc::CLONE_VM
        | libc::CLONE_VFORK
        | libc::SIGCHLD;
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let argument = std::ptr::from_ref(birth).cast_mut().cast::<c_void>();
    // SAFETY: the stack is aligned, ours, and unused; CLONE_VFORK keeps us from going on, and so
    // stack and argument alive, until the child has executed or exited. It only reads the argument.
    let pid = unsafe { libc::clone(born, top, flags, argument) };
    assert!(pid > 0, "clone: {}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: a child of ours that nobody else waits for.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(waited == pid && status == 0, "the container ended with {status:#x}");
}

/// In the new process, on its own stack and in our memory: only system calls.
#[allow(unsafe_code, reason = "raw system calls between clone and exec")]
extern "C" fn born(argument: *mut c_void) -> c_int {
    // SAFETY: it is what `run` gave, which lives until we have executed or exited.
    let birth = unsafe { &*argument.cast::<Birth>() };
    let (root, none) = (birth.root.as_ptr(), std::ptr::null::<libc::c_char>());
    let here = c".".as_ptr();
    let argv = [birth.program.as_ptr(), none];
    // SAFETY: all pointers are to strings that end with zero, or null where that is allowed, and
    // live as long as `birth` or this frame.
    unsafe {
        for door in &birth.doors {
            if libc::write(door.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1 {
                libc::_exit(101);
            }
        }
        let all = libc::MS_REC | libc::MS_PRIVATE;
        if libc::mount(none, c"/".as_ptr(), none, all, std::ptr::null()) != 0
            || libc::mount(root, root, none, libc::MS_BIND | libc::MS_REC, std::ptr::null()) != 0
            || libc::chdir(root) != 0
            || libc::syscall(libc::SYS_pivot_root, here, here) != 0
            || libc::umount2(here, libc::MNT_DETACH) != 0
        {
            libc::_exit(102);
        }
        libc::execve(birth.program.as_ptr(), argv.as_ptr(), [none].as_ptr());
        libc::_exit(103)
    }
}
