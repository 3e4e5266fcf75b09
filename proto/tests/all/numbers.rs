//! The numbers of fields and enum values are those of Mesos 1.11, one by one: they were compared
//! with its own .proto files, and `numbers.txt` keeps what was found. Whatever Mesos lacks is
//! numbered from 1000 up, or stands in a message or enum that is ours as a whole.

use super::MESOS;
use prost_types::DescriptorProto;
use std::collections::{BTreeMap, BTreeSet};

fn add(message: &DescriptorProto, parent: &str, into: &mut BTreeMap<String, i32>) {
    let name = format!("{parent}.{}", message.name());
    for field in &message.field {
        into.insert(format!("{name}.{}", field.name()), field.number());
    }
    for kind in &message.enum_type {
        for value in &kind.value {
            into.insert(format!("{name}.{}.{}", kind.name(), value.name()), value.number());
        }
    }
    for nested in &message.nested_type {
        add(nested, &name, into);
    }
}

/// Every field and every enum value with its number.
fn ours() -> BTreeMap<String, i32> {
    let mut all = BTreeMap::new();
    let set = protox::compile(MESOS, [env!("CARGO_MANIFEST_DIR")]).unwrap();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            add(message, package, &mut all);
        }
        for kind in &file.enum_type {
            for value in &kind.value {
                all.insert(format!("{package}.{}.{}", kind.name(), value.name()), value.number());
            }
        }
    }
    all.into_iter().map(|(name, number)| (name["mesos.v1.".len()..].to_owned(), number)).collect()
}

#[test]
fn numbers_are_those_of_mesos() {
    let ours = ours();
    let theirs: BTreeMap<&str, i32> = include_str!("numbers.txt")
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, number)| (name, number.parse().unwrap()))
        .collect();
    assert!(theirs.len() > 1000, "{}", theirs.len());
    for (name, number) in &theirs {
        assert_eq!(ours.get(*name), Some(number), "{name}");
    }
    let holder = |name: &str| name.rsplit_once('.').unwrap().0.to_owned();
    let known: BTreeSet<String> = theirs.keys().map(|name| holder(name)).collect();
    for (name, number) in &ours {
        let new = !theirs.contains_key(&**name) && known.contains(&holder(name));
        assert!(!new || *number >= 1000, "{name} = {number} is not Mesos'");
    }
}
