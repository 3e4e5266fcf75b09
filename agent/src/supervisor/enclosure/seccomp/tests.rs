//! The filter, run as the kernel would; what it must say of each name is in `golden`.

mod golden;

use super::*;

/// What the kernel would do with a call, and in how many steps.
fn run(filter: &Filter, architecture: u32, number: c_long, arguments: [u32; 2]) -> (u32, usize) {
    let (mut at, mut value, mut steps) = (0usize, 0u32, 0usize);
    loop {
        let instruction = filter.0[at];
        (at, steps) = (at + 1, steps + 1);
        let code = u32::from(instruction.code);
        match code & 7 {
            libc::BPF_LD => {
                value = match instruction.k {
                    NUMBER => u32::try_from(number).unwrap(),
                    ARCH => architecture,
                    FIRST_ARGUMENT => arguments[0],
                    SECOND_ARGUMENT => arguments[1],
                    other => panic!("loads {other}"),
                }
            }
            libc::BPF_RET => return (instruction.k, steps),
            libc::BPF_JMP if code & 0xF0 == libc::BPF_JA => at += instruction.k as usize,
            libc::BPF_JMP => {
                let holds = match code & 0xF0 {
                    libc::BPF_JEQ => value == instruction.k,
                    libc::BPF_JGE => value >= instruction.k,
                    libc::BPF_JSET => value & instruction.k != 0,
                    other => panic!("jumps by {other}"),
                };
                at += usize::from(if holds { instruction.jt } else { instruction.jf });
            }
            other => panic!("class {other}"),
        }
    }
}

#[test]
fn every_number_takes_few_steps_and_those_of_later_kernels_are_unknown() {
    let filter = Filter::standard();
    let newest = *ALLOWED.iter().chain(OLD).max().unwrap();
    for number in 0..newest + 50 {
        let (verdict, steps) = run(&filter, ARCHITECTURE, number, [0, 0]);
        assert_eq!(verdict == UNKNOWN, number > newest || number == libc::SYS_clone3, "{number}");
        assert!(steps < 30, "{number} takes {steps} steps");
    }
    assert!(filter.0.len() < 4096, "{}", filter.0.len());
}

#[test]
fn arguments_decide_where_the_name_does_not() {
    let filter = Filter::standard();
    let verdict = |number, arguments| run(&filter, ARCHITECTURE, number, arguments).0;
    assert_eq!(verdict(libc::SYS_clone, [0x11, 0]), ALLOW);
    for namespace in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        let flags = namespace.cast_unsigned() | 0x11;
        assert_eq!(verdict(libc::SYS_clone, [flags, 0]), REFUSE, "{flags:x}");
    }
    assert_eq!(verdict(libc::SYS_clone3, [0, 0]), UNKNOWN);
    assert_eq!(verdict(libc::SYS_socket, [2, 0]), ALLOW);
    assert_eq!(verdict(libc::SYS_socket, [38, 0]), REFUSE);
    assert_eq!(verdict(libc::SYS_ioctl, [0, 0x5401]), ALLOW);
    assert_eq!(verdict(libc::SYS_ioctl, [0, 0x5412]), REFUSE);
    assert_eq!(verdict(libc::SYS_personality, [0x0040_0000, 0]), REFUSE);
}

#[test]
fn another_architecture_has_no_calls() {
    let filter = Filter::standard();
    let (verdict, _) = run(&filter, 0x4000_0003, libc::SYS_read, [0, 0]);
    assert_eq!(verdict, libc::SECCOMP_RET_KILL_PROCESS);
}
