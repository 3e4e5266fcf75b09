//! What the filter must say of each call, by its name and written by hand: nothing here is taken
//! from the list that the filter is made of, so whoever allows or refuses another call says so twice.

use super::*;
use std::collections::BTreeMap;

/// A table of names with their numbers.
macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

type Table = &'static [(&'static str, c_long)];

/// All that is refused, on every architecture, by what could be done with it.
const REFUSED: Table = calls![
    // What is seen: another root, other mounts, by paths or by descriptors.
    SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_open_tree SYS_move_mount SYS_fsopen
    SYS_fsconfig SYS_fsmount SYS_fspick SYS_mount_setattr
    // Namespaces, made or entered.
    SYS_unshare SYS_setns
    // Files by handle, which reach what no path does: the way of "shocker".
    SYS_open_by_handle_at SYS_name_to_handle_at SYS_fanotify_init SYS_fanotify_mark
    // Other processes: their memory, descriptors and pointers.
    SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_pidfd_getfd SYS_kcmp
    SYS_process_madvise SYS_process_mrelease
    // Code in the kernel.
    SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_kexec_file_load SYS_bpf
    // Interfaces that were the way into kernels time and again.
    SYS_userfaultfd SYS_perf_event_open SYS_io_uring_setup SYS_io_uring_enter
    SYS_io_uring_register SYS_add_key SYS_request_key SYS_keyctl SYS_memfd_secret
    // The machine: its disks, clocks, names, log and end.
    SYS_swapon SYS_swapoff SYS_reboot SYS_acct SYS_quotactl SYS_quotactl_fd SYS_settimeofday
    SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_sethostname SYS_setdomainname SYS_syslog
    SYS_vhangup SYS_lookup_dcookie SYS_nfsservctl
    // On which memory of the machine others are.
    SYS_mbind SYS_set_mempolicy SYS_get_mempolicy SYS_set_mempolicy_home_node SYS_migrate_pages
    SYS_move_pages
];

/// What only this architecture has: ports, segments, and what nobody has asked for in decades.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: Table = calls![
    SYS_iopl SYS_ioperm SYS_modify_ldt SYS_uselib SYS_ustat SYS_sysfs SYS__sysctl SYS_getpmsg
    SYS_putpmsg SYS_afs_syscall SYS_tuxcall SYS_security SYS_set_thread_area SYS_get_thread_area
    SYS_epoll_ctl_old SYS_epoll_wait_old SYS_vserver
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLD: Table = &[];

/// Without these an ordinary program does not run: a C library, Go, the JVM, Python and node at
/// their start, threads, signals, sockets and files.
const NEEDED: Table = calls![
    SYS_read SYS_write SYS_readv SYS_writev SYS_pread64 SYS_pwrite64 SYS_openat SYS_close SYS_fstat
    SYS_newfstatat SYS_statx SYS_lseek SYS_getdents64 SYS_getcwd SYS_chdir SYS_faccessat
    SYS_faccessat2 SYS_readlinkat SYS_unlinkat SYS_renameat2 SYS_mkdirat SYS_linkat SYS_symlinkat
    SYS_fchmodat SYS_fchownat SYS_utimensat SYS_ftruncate SYS_fallocate SYS_fsync SYS_fdatasync
    SYS_flock SYS_fcntl SYS_ioctl SYS_dup SYS_dup3 SYS_pipe2 SYS_sendfile SYS_splice
    SYS_copy_file_range SYS_memfd_create SYS_statfs SYS_getxattr SYS_close_range
    SYS_mmap SYS_munmap SYS_mprotect SYS_mremap SYS_madvise SYS_brk SYS_mlock SYS_membarrier
    SYS_shmget SYS_shmat SYS_semget SYS_mq_open SYS_rseq SYS_set_tid_address SYS_set_robust_list
    SYS_futex SYS_execve SYS_exit SYS_exit_group SYS_wait4 SYS_waitid SYS_kill SYS_tgkill
    SYS_getpid SYS_gettid SYS_getppid SYS_setsid SYS_setpgid SYS_prctl SYS_prlimit64
    SYS_sched_yield SYS_sched_getaffinity SYS_sched_setaffinity SYS_getrusage SYS_sysinfo SYS_uname
    SYS_getrandom SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_setuid SYS_setgid SYS_setgroups
    SYS_capget SYS_capset SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack
    SYS_nanosleep SYS_clock_nanosleep SYS_clock_gettime SYS_timer_create SYS_timerfd_create
    SYS_eventfd2 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_ppoll SYS_pselect6
    SYS_inotify_init1 SYS_socketpair SYS_bind SYS_listen SYS_accept4 SYS_connect SYS_sendto
    SYS_recvfrom SYS_sendmsg SYS_recvmsg SYS_setsockopt SYS_getsockopt SYS_getsockname SYS_shutdown
    SYS_io_setup SYS_io_submit SYS_seccomp SYS_landlock_create_ruleset
];

#[cfg(target_arch = "x86_64")]
const NEEDED_OLD: Table = calls![
    SYS_open SYS_stat SYS_lstat SYS_access SYS_pipe SYS_dup2 SYS_fork SYS_vfork SYS_poll SYS_select
    SYS_mkdir SYS_rmdir SYS_unlink SYS_rename SYS_readlink SYS_chmod SYS_chown SYS_epoll_wait
    SYS_arch_prctl SYS_time
];
#[cfg(not(target_arch = "x86_64"))]
const NEEDED_OLD: Table = &[];

/// Calls of which the arguments decide, for which `tests` has the table.
const DECIDED: [c_long; 5] =
    [libc::SYS_clone, libc::SYS_clone3, libc::SYS_socket, libc::SYS_ioctl, libc::SYS_personality];

fn refused() -> BTreeMap<c_long, &'static str> {
    REFUSED.iter().chain(REFUSED_OLD).map(|(name, number)| (*number, *name)).collect()
}

#[test]
fn s22_what_must_be_refused_is_refused_whatever_its_arguments() {
    let filter = Filter::standard();
    let refused = refused();
    assert_eq!(refused.len(), REFUSED.len() + REFUSED_OLD.len(), "a name is there twice");
    for (number, name) in refused {
        for arguments in [[0, 0], [u32::MAX; 2], [0, u32::MAX], [1, 0x5401], [0x11, 0x11]] {
            let (verdict, _) = run(&filter, ARCHITECTURE, number, arguments);
            assert_eq!(verdict, REFUSE, "{name} {arguments:?}");
        }
    }
}

#[test]
fn what_programs_need_is_allowed() {
    let filter = Filter::standard();
    for (name, number) in NEEDED.iter().chain(NEEDED_OLD) {
        assert_eq!(run(&filter, ARCHITECTURE, *number, [0, 0]).0, ALLOW, "{name}");
    }
}

/// The other way round: nothing else is refused, and nothing is refused that has no name here.
/// Numbers that this kernel's headers give to nobody are left out.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_tables_are_the_whole_filter() {
    /// Younger than the names that this build knows: cachestat to listmount and the modules of
    /// security, of which none is allowed.
    const NAMELESS: std::ops::RangeInclusive<c_long> = 451..=461;
    let filter = Filter::standard();
    let refused = refused();
    for number in 0..=libc::SYS_mseal {
        let unused = (335..=423).contains(&number) || [174, 177, 178, 333].contains(&number);
        let allowed = run(&filter, ARCHITECTURE, number, [0, 0]).0 == ALLOW;
        if unused || NAMELESS.contains(&number) && number != libc::SYS_fchmodat2 {
            assert!(!allowed, "{number}");
        } else if !DECIDED.contains(&number) {
            assert_eq!(!allowed, refused.contains_key(&number), "{number}");
        }
    }
    // The other table of calls of this processor, x32, and the numbers that a negative one becomes.
    for number in [0x4000_0000 | libc::SYS_read, 0x4000_0000 | libc::SYS_ptrace, 0xFFFF_FFFF] {
        assert_ne!(run(&filter, ARCHITECTURE, number, [0, 0]).0, ALLOW, "{number:x}");
    }
}

/// What the kernel says of each, with all that its caller may do and nothing in the way but the
/// filter: in a child that has installed it, and in one that has not.
#[test]
fn s22_it_is_the_filter_that_refuses() {
    // Without effect where they are let through: null pointers, bad descriptors, unknown flags. Not
    // tried without the filter is what would have one (vhangup) or has no arguments to be wrong.
    const UNTRIED: [&str; 1] = ["SYS_vhangup"];
    let tried: Vec<_> = refused().into_iter().filter(|(_, name)| !UNTRIED.contains(name)).collect();
    let filter = Filter::standard();
    let numbers: Vec<c_long> = tried.iter().map(|(number, _)| *number).collect();
    for (at, errno) in errors(&numbers, Some(&filter)).into_iter().enumerate() {
        assert_eq!(errno, libc::EPERM, "{} behind the filter", tried[at].1);
    }
    if !rustix::process::geteuid().is_root() {
        println!("not run: without the filter, as who is not root lacks the rights anyway");
        return;
    }
    let open = errors(&numbers, None);
    let closed: Vec<_> =
        open.iter().zip(&tried).filter(|(e, _)| **e == libc::EPERM).map(|(_, t)| t.1).collect();
    // Some are closed by settings of a host or by its kernel's lockdown.
    assert!(closed.len() < 6, "refused without the filter, too: {closed:?}");
    for name in ["SYS_mount", "SYS_setns", "SYS_keyctl", "SYS_unshare", "SYS_open_by_handle_at"] {
        assert!(!closed.contains(&name), "{name} is refused to root without the filter");
    }
}

/// The errors of calls in a child, of each -1 five times.
#[allow(unsafe_code, reason = "the calls that are tried are raw ones, and so is the child")]
fn errors(numbers: &[c_long], filter: Option<&Filter>) -> Vec<i32> {
    let bytes = size_of_val(numbers);
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANON);
    // SAFETY: new memory, of which nobody else knows.
    let shared = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    assert_ne!(shared, libc::MAP_FAILED);
    let results = shared.cast::<i32>();
    // SAFETY: the child makes system calls and writes within the memory, which has room for a number
    // each; it ends without anything of this process being run.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            if let Some(filter) = filter {
                let program = libc::sock_fprog {
                    len: u16::try_from(filter.0.len()).unwrap_or(0),
                    filter: filter.0.as_ptr().cast_mut(),
                };
                libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                let mode = libc::SECCOMP_SET_MODE_FILTER;
                if libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) < 0 {
                    libc::_exit(1);
                }
            }
            let bad: c_long = -1;
            for (at, number) in numbers.iter().enumerate() {
                let result = libc::syscall(*number, bad, bad, bad, bad, bad, bad);
                let errno = if result == -1 { *libc::__errno_location() } else { 0 };
                results.add(at).write_volatile(errno);
            }
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0, "the child has tried them all");
        let found = (0..numbers.len()).map(|at| results.add(at).read_volatile()).collect();
        libc::munmap(shared, bytes);
        found
    }
}
