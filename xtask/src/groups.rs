//! The table of test groups: what exists, what each needs, how it is run.
//!
//! Add a group here and nowhere else; the tidy rules read the names from this table.

use crate::Failure;
use crate::provide;
use crate::workspace::Workspace;

/// Variables handed to a group's tests.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// Makes the machine ready.
pub(crate) type Provide = fn(&Workspace) -> Result<Variables, String>;

/// One line of the table.
pub(crate) struct Group {
    /// The name on the command line, and the module of the tests of a `Marked` group.
    pub(crate) name: &'static str,
    /// What it covers, for the list.
    pub(crate) about: &'static str,
    pub(crate) run: Run,
}

/// How a group runs.
pub(crate) enum Run {
    /// These cargo arguments. Some of the tests say that they did not run where `provide` has a
    /// reason against it, which is then the group's.
    Cargo { arguments: &'static [&'static str], provide: Option<Provide> },
    /// The ignored tests under the module of the group's name. `provide` makes the machine ready
    /// and returns the variables for the tests, or the reason why the group cannot run here. Such
    /// tests run one at a time: they load the machine, or share something there is one of.
    Marked { provide: Provide },
    /// The simulator, with this many seeds.
    Simulator { seeds: u64 },
}

/// Targets of a plain `cargo test`; doc tests are a group of their own.
pub(crate) const TARGETS: [&str; 4] = ["--lib", "--bins", "--tests", "--examples"];

/// All groups, in the order they run.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "unit",
        about: "library, binary, integration and end-to-end tests that run anywhere",
        run: Run::Cargo {
            arguments: &["--lib", "--bins", "--tests", "--examples", "--no-fail-fast"],
            provide: Some(provide::images::ready),
        },
    },
    Group {
        name: "docs",
        about: "examples in the documentation",
        run: Run::Cargo { arguments: &["--doc"], provide: None },
    },
    Group {
        name: "cgroup",
        about: "limits and kill policy with real cgroups, as root",
        run: Run::Marked { provide: provide::cgroup::ready },
    },
    Group {
        name: "python",
        about: "foreign clients: plain Python, and an unchanged pymesos",
        run: Run::Marked { provide: provide::python::ready },
    },
    Group {
        name: "docker",
        about: "tasks in a private Docker engine that is killed in between, as root",
        run: Run::Marked { provide: provide::docker::ready },
    },
    Group {
        name: "guest",
        about: "power loss and cgroup v2 in a QEMU guest",
        run: Run::Marked { provide: provide::guest::ready },
    },
    Group { name: "sim", about: "a few seeds of the simulator", run: Run::Simulator { seeds: 20 } },
];

/// The groups with these names, or all of them.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Group>, Failure> {
    if names.is_empty() {
        return Ok(GROUPS.iter().collect());
    }
    let find = |name: &String| {
        GROUPS.iter().find(|group| group.name == name).ok_or_else(|| {
            let list: Vec<String> =
                GROUPS.iter().map(|group| format!("  {:8} {}", group.name, group.about)).collect();
            Failure::Usage(format!("no test group `{name}`; there are\n{}", list.join("\n")))
        })
    };
    names.iter().map(find).collect()
}

/// The names of the groups whose tests are marked with `#[ignore]`.
pub(crate) fn marked() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().filter(|group| matches!(group.run, Run::Marked { .. })).map(|group| group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_group_lists_the_known_ones() {
        let Err(Failure::Usage(text)) = select(&["nope".to_owned()]) else {
            panic!("accepted an unknown group");
        };
        assert!(GROUPS.iter().all(|group| text.contains(group.name)));
    }

    #[test]
    fn names_are_unique_and_modules_can_carry_them() {
        for (at, group) in GROUPS.iter().enumerate() {
            assert!(group.name.chars().all(|c| c.is_ascii_lowercase()));
            assert!(GROUPS[at + 1..].iter().all(|other| other.name != group.name));
        }
    }
}
