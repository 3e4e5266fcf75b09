//! Giving back the memory that only a start needs.
//!
//! Parsing options, opening stores and recovering run once; their code stays mapped all the same,
//! with whatever lies beside it in the file, and makes up most of what an idle process seems to
//! take. It gives back code only: pages that are as they are in the file, and come back from the
//! page cache with the next call. It must never touch a page that the process may have written.

#![allow(unsafe_code, reason = "the kernel is told by address which pages are not needed")]

/// Unmaps the pages of this process's code; those that are still in use come back by themselves.
/// Where the kernel does not tell what is mapped, or refuses, nothing happens.
pub(crate) fn give_back_code() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: the mapping is of a file, executable and not writable, so every page is as in the
        // file and the kernel maps it again on the next access; this very function included.
        unsafe {
            let start = std::ptr::with_exposed_provenance_mut(start);
            // It saves memory or it does not; nothing depends on it.
            let _ = rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed);
        }
    }
}

/// Start and length of a mapping, if it is the code of a program or library.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, permissions) = (words.next()?, words.next()?);
    // Then offset, device, inode, path. Constants that were relocated are read-only as well, but
    // no longer as in the file: only what may be executed is surely untouched.
    let path = words.nth(3)?;
    if permissions != "r-xp" || !path.starts_with('/') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        let of = |permissions: &str, path: &str| {
            code(&format!("7f0000001000-7f0000003000 {permissions} 00001000 08:01 77 {path}"))
        };
        assert_eq!(of("r-xp", "/usr/bin/tepui"), Some((0x7f00_0000_1000, 0x2000)));
        assert_eq!(of("r--p", "/usr/bin/tepui"), None, "constants may have been relocated");
        assert_eq!(of("rwxp", "/usr/bin/tepui"), None, "may have been written");
        assert_eq!(of("r-xp", "[vdso]"), None, "no file to read it from again");
        assert_eq!(of("r-xp", ""), None);
        assert_eq!(code("nonsense"), None);
    }

    #[test]
    fn code_takes_less_and_runs_on() {
        let resident = || {
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            let (mut sum, mut counts) = (0, false);
            for line in maps.lines() {
                if line.split('-').next().is_some_and(|s| usize::from_str_radix(s, 16).is_ok()) {
                    counts = code(line).is_some();
                } else if let Some(kb) = line.strip_prefix("Rss:").filter(|_| counts) {
                    sum += kb.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
                }
            }
            sum
        };
        // Something that ran and will not run soon: all of it that is mapped.
        let sorted = || {
            let mut words: Vec<String> = (0..1000).rev().map(|n| n.to_string()).collect();
            words.sort();
            words.last().cloned()
        };
        let (before, first) = (resident(), sorted());
        give_back_code();
        let after = resident();
        assert!(after < before, "{before} kB, then {after}");
        assert_eq!(sorted(), first);
    }
}
