//! Reads what the standard test harness prints: names from `--list`, counts from a run.

/// Counts of one or more test binaries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

/// Sums the `test result:` lines.
pub(crate) fn counts(output: &str) -> Counts {
    let mut sum = Counts::default();
    for line in output.lines().filter(|line| line.starts_with("test result:")) {
        // "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; ..."
        for part in line.split(['.', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => sum.passed += number,
                "failed" => sum.failed += number,
                "ignored" => sum.ignored += number,
                _ => {}
            }
        }
    }
    sum
}

/// The paths of tests in the output of `--list`.
pub(crate) fn listed(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| line.strip_suffix(": test")).collect()
}

/// Whether a test's path goes through the module `group`.
pub(crate) fn belongs(path: &str, group: &str) -> bool {
    let mut parts: Vec<&str> = path.split("::").collect();
    parts.pop();
    parts.contains(&group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let output = "running 2 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished\n\
            test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(output), Counts { passed: 5, failed: 4, ignored: 1 });
    }

    #[test]
    fn lists_name_tests_only() {
        let output = "guest::power: test\nbench_it: benchmark\n\n1 test, 1 benchmark\n";
        assert_eq!(listed(output), ["guest::power"]);
    }

    #[test]
    fn a_group_is_a_module_on_the_path_not_a_part_of_a_name() {
        assert!(belongs("guest::power", "guest"));
        assert!(belongs("store::guest::power", "guest"));
        assert!(!belongs("guests::power", "guest"));
        assert!(!belongs("store::guest", "guest"));
    }
}
