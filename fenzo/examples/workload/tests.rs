//! What is refused on the command line, and what the line of a churn holds.

use super::*;

fn parse(line: &str) -> Result<Options, String> {
    Options::parse(line.split(' ').map(str::to_owned))
}

#[test]
fn options_that_would_be_ignored_are_refused() {
    assert_eq!(parse("--pack look-ahead --work 7").map(|options| options.work), Ok(7));
    let refused = |line: &str| parse(line).map(|options| options.work).unwrap_err();
    assert_eq!(refused("--work 7"), "--work is of looking ahead: it goes with --pack look-ahead");
    assert!(refused("--pack in-turn --work 7").starts_with("--work "));
    assert!(refused("--preload 50").starts_with("--preload "));
    assert!(refused("--churn 3 --placements here").starts_with("--placements "));
}

#[test]
fn a_churn_says_the_same_keys_as_a_single_run_and_can_be_repeated() {
    let options = parse("--hosts 20 --tasks 5").unwrap();
    let line = || {
        let fitness = options.config.fitness();
        let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
        let tasks = Tasks::new(options.config, false, 1, options.task_seed);
        churn::rounds(&options, 4, &mut scheduler, tasks).to_string()
    };
    let words = |line: String, wanted: &[&str]| -> Vec<String> {
        let of = |name: &&str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(&format!("{name}=")));
            value.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
        };
        wanted.iter().map(of).collect()
    };
    let wanted = ["assigned", "unassigned", "hosts_used", "checksum", "evaluations"];
    let first = words(line(), &wanted);
    assert_eq!(first, words(line(), &wanted));
    assert_eq!((first[0].as_str(), first[1].as_str()), ("20", "0"));
    assert!((1..=20).contains(&first[2].parse::<u32>().unwrap()), "{first:?}");
    // Nothing placed would be the sum's beginning.
    assert_ne!(u64::from_str_radix(&first[3], 16).unwrap(), checksum(std::iter::empty()));
    words(line(), &["preloaded", "seconds", "cpu_seconds", "median_round"]);
}
