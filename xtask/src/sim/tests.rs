//! The splitting of seeds and the reading of totals, with small shell scripts for a simulator.

use super::*;

fn script(text: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text, "sim"]);
    command
}

const SHARE: Seeds = Seeds { first: 5, runs: 2, minutes: 1 };

#[test]
fn shares_cover_every_seed_once() {
    for runs in [1, 2, 31, 32, 33, 500] {
        let shares = Seeds { first: 7, runs, minutes: 1 }.shares(2);
        let mut next = 7;
        for share in &shares {
            assert_eq!(share.first, next);
            assert!(share.runs > 0);
            next += share.runs;
        }
        assert_eq!(next, 7 + runs);
    }
}

#[test]
fn a_share_is_asked_for_by_options_and_answered_by_a_total() {
    let simulator = script(
        "test \"$*\" = '--seed-from 5 --runs 2 --minutes 1' && \
                echo 'total seeds=2 simulated_seconds=120.5 failed=0'",
    );
    let Share::Fine(totals) = run_share(simulator, SHARE) else { panic!("not fine") };
    assert_eq!(totals, Totals { seeds: 2, simulated_seconds: 120.5, failed: 0 });
}

#[test]
fn failed_seeds_and_broken_simulators_are_bad() {
    let failing =
        script("echo seed 6 I7; echo 'total seeds=2 simulated_seconds=1 failed=1'; exit 1");
    assert!(matches!(run_share(failing, SHARE), Share::Bad(totals, text)
        if totals.failed == 1 && text.contains("seed 6 I7")));
    for broken in ["exit 0", "echo 'total seeds=2 simulated_seconds=1 failed=0'; exit 1"] {
        assert!(matches!(run_share(script(broken), SHARE), Share::Bad(totals, _)
            if totals.failed == 1));
    }
}

#[test]
fn seeds_that_did_not_run_are_no_success() {
    let few = Totals { seeds: 3, ..Totals::default() };
    assert!(verdict(few, 4).is_err());
    assert!(verdict(few, 3).is_ok());
}

#[test]
fn seeds_are_decimal_or_hexadecimal() {
    assert_eq!(parse_seed("0x10").unwrap(), 16);
    assert_eq!(parse_seed("10").unwrap(), 10);
    assert!(parse_seed("ten").is_err());
}
