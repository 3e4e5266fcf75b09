//! Seeds that once failed, a few fresh ones, and the promise that a seed tells one story.

use sim::{Log, Masters, Report, Setup, World};

const SEEDS: &str = include_str!("../seeds.txt");

fn setup(seed: u64, minutes: u64) -> Setup {
    let (faults, masters, listed, plant) = (None, None, None, None);
    Setup { seed, minutes, log: Log::Off, faults, masters, listed, thorough: false, plant }
}

fn run(seed: u64, minutes: u64) -> Report {
    World::new(setup(seed, minutes)).run()
}

fn assert_fine(report: &Report, minutes: u64) {
    let (seed, summary) = (report.seed, &report.summary);
    assert!(
        report.failure.is_none(),
        "seed {seed}: {:?} ({summary}); repeat: cargo xtask sim {seed} --minutes {minutes} --log",
        report.failure
    );
}

/// Lines are `SEED MINUTES MASTERS why`; `#` begins a comment.
fn listed() -> Vec<(u64, u64, Masters)> {
    let lines = SEEDS.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let mut number = || words.next().and_then(|word| word.parse().ok());
            let (seed, minutes) = (number().expect("a seed"), number().expect("minutes"));
            (seed, minutes, words.next().expect("masters").parse().expect("masters"))
        })
        .collect()
}

#[test]
fn seeds_that_once_failed_are_fine() {
    let listed = listed();
    assert!(!listed.is_empty());
    for (seed, minutes, masters) in listed {
        let masters = Some(masters);
        assert_fine(&World::new(Setup { masters, ..setup(seed, minutes) }).run(), minutes);
    }
}

#[test]
fn the_first_seeds_are_fine() {
    for seed in 1..=12 {
        assert_fine(&run(seed, 2), 2);
    }
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_does_not() {
    let (one, again, other) = (run(5, 2), run(5, 2), run(6, 2));
    assert_eq!((one.hash, one.steps), (again.hash, again.steps));
    assert_ne!(one.hash, other.hash);
    let logged = World::new(Setup { log: Log::Last(10), ..setup(5, 2) }).run();
    assert_eq!(logged.hash, one.hash, "whether anybody reads it changes nothing");
    assert_eq!(logged.lines.len(), 10);
}
