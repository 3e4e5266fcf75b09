//! The program that keeps containers to their devices, run as the kernel would.

use super::*;

const BLOCK: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const MAKE_NODE: u32 = 1;

/// What the kernel's machine would say, or why it would not take the program.
fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
    let told = [kind | (access << 16), major, minor];
    let mut registers = [0u32; 11];
    let mut at = 0usize;
    loop {
        let Instruction { code, registers: which, offset, value } = program[at];
        let (to, from) = (usize::from(which & 15), usize::from(which >> 4));
        at += 1;
        let jump = match code {
            EXIT => return registers[0],
            LOAD => {
                assert_eq!(from, 1, "only what is told can be read");
                registers[to] = told[usize::try_from(offset).unwrap() / 4];
                false
            }
            AND => {
                registers[to] &= value.cast_unsigned();
                false
            }
            COPY => {
                registers[to] = registers[from];
                false
            }
            SET => {
                registers[to] = value.cast_unsigned();
                false
            }
            UNLESS => registers[to] != value.cast_unsigned(),
            IF => registers[to] == value.cast_unsigned(),
            other => panic!("{other:#x} is no instruction"),
        };
        if jump {
            assert!(offset > 0, "a program of the kernel's goes on, never back");
            at += usize::try_from(offset).unwrap();
        }
    }
}

#[test]
fn what_is_on_the_list_may_be_read_and_written_and_nothing_else() {
    let character = CHARACTER.cast_unsigned();
    let gpu = Device { name: "nvidia0".into(), major: 195, minor: 0 };
    let (usual, more) = (program(&[]), program(&[gpu]));
    // null, a terminal, and what is neither: mem, kmsg, fuse, and the next one of null's kind.
    for (major, minor, wanted) in [
        (1, 3, 1),
        (136, 0, 1),
        (136, 77, 1),
        (5, 2, 1),
        (1, 1, 0),
        (1, 11, 0),
        (10, 229, 0),
        (5, 1, 0),
    ] {
        for access in [READ, WRITE, READ | WRITE] {
            assert_eq!(run(&usual, character, access, major, minor), wanted, "{major}:{minor}");
            assert_eq!(run(&more, character, access, major, minor), wanted, "{major}:{minor}");
        }
        assert_eq!(run(&usual, character, MAKE_NODE, major, minor), 0, "{major}:{minor} made");
        assert_eq!(run(&usual, character, MAKE_NODE | WRITE, major, minor), 0);
        assert_eq!(run(&usual, BLOCK, READ, major, minor), 0, "a disk {major}:{minor}");
    }
    assert_eq!(run(&usual, character, READ, 195, 0), 0);
    assert_eq!(run(&more, character, READ, 195, 0), 1);
    assert_eq!(run(&more, character, READ, 195, 1), 0, "a device of another task");
}

/// The kernel's own check of such programs; it needs root, and kernels may lack them.
#[test]
fn the_kernel_takes_the_program() {
    match usual() {
        Ok(_) => {}
        Err(error) => {
            let errors = [libc::EPERM, libc::EINVAL, libc::ENOSYS];
            assert!(errors.contains(&error.raw_os_error().unwrap_or(0)), "{error}");
            let is_root = rustix::process::geteuid().is_root();
            assert!(!is_root || error.raw_os_error() != Some(libc::EPERM), "{error}");
            println!("not run: {error}");
        }
    }
}
