//! The variables that tell a task its ports: those of its resources in ascending order as `PORT0`,
//! `PORT1` and so on, the first as `PORT`, all as `PORTS`; and those that its discovery names as
//! `PORT_<NAME>`.

use proto::TaskInfo;
use std::sync::Arc;

/// So many of its ports are told, and so many of their names. A task may hold whole ranges, and an
/// environment has a limit.
const MOST: usize = 100;

pub(super) fn variables(
    task: &TaskInfo,
    named: &[(Arc<str>, u16)],
) -> impl Iterator<Item = (String, String)> {
    let ranges = task.resources.ranges("ports");
    let ports: Vec<u64> =
        ranges.pairs().iter().flat_map(|(first, last)| *first..=*last).take(MOST).collect();
    let list = |ports: &[u64]| ports.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let first = ports.first().map(|port| ("PORT".to_owned(), port.to_string()));
    let all = first.is_some().then(|| ("PORTS".to_owned(), list(&ports)));
    let names: Vec<(String, String)> = named
        .iter()
        .take(MOST)
        .map(|(name, port)| (format!("PORT_{}", in_capitals(name)), port.to_string()))
        .collect();
    let numbered =
        ports.into_iter().enumerate().map(|(i, port)| (format!("PORT{i}"), port.to_string()));
    first.into_iter().chain(all).chain(numbered).chain(names)
}

/// What a shell takes as the name of a variable.
fn in_capitals(name: &str) -> String {
    let letter = |letter: char| match letter.to_ascii_uppercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    };
    name.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::launch;
    use proto::{CommandInfo, Flavor, Piece, Ranges, ResourceName, Value};

    fn told(pairs: &[(u64, u64)], named: &[(&str, u16)]) -> Vec<(String, String)> {
        let mut task = TaskInfo::clone(&launch(CommandInfo::default()).task);
        let value = Value::Ranges(Ranges::new(pairs.iter().copied()));
        let (name, flavor) = (ResourceName::new("ports"), Flavor::default());
        if !pairs.is_empty() {
            task.resources.add_piece(Piece { name, flavor, value });
        }
        let named: Vec<(Arc<str>, u16)> =
            named.iter().map(|(name, port)| (Arc::from(*name), *port)).collect();
        variables(&task, &named).collect()
    }

    #[test]
    fn ports_are_told_in_order_by_number_and_by_name() {
        let told = told(&[(31_005, 31_005), (31_000, 31_001)], &[("http", 31_000), ("db-x", 9)]);
        let expected = [
            ("PORT", "31000"),
            ("PORTS", "31000,31001,31005"),
            ("PORT0", "31000"),
            ("PORT1", "31001"),
            ("PORT2", "31005"),
            ("PORT_HTTP", "31000"),
            ("PORT_DB_X", "9"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn a_task_without_ports_is_told_none_and_one_with_many_a_part() {
        assert_eq!(told(&[], &[]), []);
        // PORT, PORTS and the numbered ones.
        assert_eq!(told(&[(1, 65_535)], &[]).len(), 2 + MOST);
    }
}
