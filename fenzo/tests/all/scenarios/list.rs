//! Whether each scenario of Fenzo's test-suite has the test that `list.txt` says it has.

use std::collections::{BTreeMap, BTreeSet};

const LIST: &str = include_str!("list.txt");

/// The modules that tell scenarios.
const MODULES: [(&str, &str); 10] = [
    ("autoscale", include_str!("autoscale.rs")),
    ("basic", include_str!("basic.rs")),
    ("constraints", include_str!("constraints.rs")),
    ("leases", include_str!("leases.rs")),
    ("limits", include_str!("limits.rs")),
    ("packing", include_str!("packing.rs")),
    ("plugins", include_str!("plugins.rs")),
    ("queue", include_str!("queue.rs")),
    ("sets", include_str!("sets.rs")),
    ("sla", include_str!("../../../src/queue/sla.rs")),
];

/// The names of the test functions of a module.
fn tests_of(source: &str) -> BTreeSet<&str> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[test]");
    pairs.filter_map(|pair| pair[1].strip_prefix("fn ")?.split('(').next()).collect()
}

#[test]
fn every_listed_scenario_has_its_test() {
    let tests: BTreeMap<&str, BTreeSet<&str>> =
        MODULES.iter().map(|(module, source)| (*module, tests_of(source))).collect();
    let mut scenarios = 0;
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, name, test] = fields[..] else { panic!("not three words: {line}") };
        scenarios += 1;
        let (module, function) = test.split_once("::").unwrap_or_else(|| panic!("{line}"));
        assert!(tests[module].contains(function), "{name}: there is no test {test}");
    }
    assert_eq!(scenarios, 147);
}
