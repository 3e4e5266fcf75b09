//! The tests of containers on a pure cgroup v2 host: this very executable in a guest machine.
//!
//! The machine begins with one processor, so that what shares it can be measured, and gets a second
//! for what is about several. It has no hardware acceleration, so everything takes some ten times
//! longer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use boot::{Guest, Root, machine};

#[path = "../../../store/tests/power_loss/boot.rs"]
mod boot;

/// Longer than any test takes there.
const BOUND: Duration = Duration::from_secs(300);
const MEGABYTES: u32 = 512;
const DISK_BYTES: u64 = 256 << 20;
const SUPERVISE: &str = env!("CARGO_BIN_EXE_supervise");

/// What runs there, of each of these at least one test: what is about cgroups and networks, and what
/// a small machine can do in some seconds. No images: its temporary files are in memory, which that
/// kernel gives to no other users.
const TESTS: [&str; 17] = [
    "v2::",
    "enclosed::a_task_within_walls",
    "enclosed::devices_of_its_own",
    "extras::",
    "groups::",
    "network::a_network_outlives",
    "network::a_task_sees_its_own",
    "network::ports_of_the_host",
    "network::nothing_is_left",
    "quota::",
    "limits::",
    "usage::",
    "life::exit_codes_signals_and_output_are_exact",
    "life::a_task_runs_as_the_user_it_names",
    "life::a_kill_asks_first_and_a_deaf_task_is_killed_after_the_grace",
    "life::f25_what_a_task_leaves_behind_dies_with_it",
    "restart::ta",
];

/// What runs there again with two processors.
const TESTS_OF_TWO: &str = "extras::who_asks_for_whole_cpus_has_them_alone";

/// Disks, images, and networks of tasks' own.
const MODULES: [&str; 15] = [
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "ext4",
    "quota_v2",
    "overlay",
    "veth",
    "sch_tbf",
    "nf_tables",
    "nft_chain_nat",
    "nft_fib_ipv4",
    "nft_nat",
    "nft_masq",
    "nf_conntrack_netlink",
    "bfq",
];

fn init() -> String {
    format!(
        r#"#!/bin/busybox sh
# Off the initial root, which cannot be left by those who make a root of their own.
if [ "$1" != moved ]; then
    /bin/busybox mkdir /new
    /bin/busybox mount -t tmpfs tmpfs /new
    for entry in /*; do
        [ $entry = /new ] || /bin/busybox cp -a $entry /new
    done
    exec /bin/busybox switch_root /new /init moved
fi
/bin/busybox mkdir -p /proc /sys /dev /etc /tmp /scratch
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mkdir -p /dev/pts
/bin/busybox mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
# Not over /tmp: the programs may lie below it, where they were built.
/bin/busybox chmod 1777 /tmp
/bin/busybox mount -t tmpfs -o mode=1777 tmpfs /scratch
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod $module; done
/bin/busybox mkdir /disk
/bin/busybox mount -t ext4 -o prjquota /dev/vda /disk
export TMPDIR=/scratch
/bin/busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
/bin/busybox --install -s /bin
mkdir -p /usr/bin
cp /bin/busybox /usr/bin/busybox
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/1 /dev/stdout
echo 'root:x:0:0:root:/:/bin/sh' > /etc/passwd
echo 'nobody:x:65534:65534:nobody:/:/bin/sh' >> /etc/passwd
export {}=1
{}=/disk /program --test-threads=1 {} 2>&1
echo 1 > /sys/devices/system/cpu/cpu1/online
{}=1 /program --test-threads=1 {} 2>&1
/bin/busybox umount /disk
echo "groups left: $(ls -d /sys/fs/cgroup/*/ 2>/dev/null)"
echo OVER
poweroff -f
"#,
        crate::v2::DEMANDED,
        crate::quota::DISK,
        TESTS.join(" "),
        crate::extras::TWO_CPUS,
        TESTS_OF_TWO,
    )
}

#[test]
#[ignore = "group guest: QEMU, a kernel and busybox"]
fn containers_are_limited_on_a_cgroup_v2_host() {
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let init = init();
    let supervise = Path::new(SUPERVISE);
    let root = Root {
        init: &init,
        programs: &[(&program, Path::new("/program")), (supervise, supervise)],
        modules: &MODULES,
    };
    let root = root.build(dir.path());
    let disk = dir.path().join("disk");
    std::fs::File::create(&disk).unwrap().set_len(DISK_BYTES).unwrap();
    // Holds projects to limits once it is mounted so.
    boot::run(Command::new("mkfs.ext4").args(["-qF", "-O", "quota,project"]).arg(&disk));
    let mut qemu = machine(MEGABYTES, &root, "loglevel=1 maxcpus=1");
    qemu.args(["-smp", "2"]);
    let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
    qemu.args(["-drive", &drive]);
    let guest = Guest::boot(qemu, BOUND);
    let (mut passed, mut results, mut left) = (Vec::new(), Vec::new(), None);
    while let Some(line) = guest.line().filter(|line| line != "OVER") {
        println!("guest: {line}");
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok"))
        {
            passed.push(name.to_owned());
        } else if line.starts_with("test result: ") {
            results.push(line);
        } else if let Some(groups) = line.strip_prefix("groups left:") {
            left = Some(groups.trim().to_owned());
        }
    }
    assert!(results.iter().all(|result| result.starts_with("test result: ok.")), "{results:?}");
    assert_eq!(results.len(), 2, "{results:?}");
    // It ran twice, and the second time it could not say that it had nothing to look at.
    assert_eq!(passed.iter().filter(|name| **name == TESTS_OF_TWO).count(), 2, "{passed:?}");
    for wanted in TESTS {
        assert!(passed.iter().any(|name| name.starts_with(wanted)), "{wanted}: {passed:?}");
    }
    assert_eq!(left.as_deref(), Some(""), "cgroups are left behind");
}
