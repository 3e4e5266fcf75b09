//! Directories of format 1, in every condition.

use super::*;
use crate::registrar::open_registry;
use crate::registry_record::{self, Completed};
use master_core::RegistryOp;
use proto::{MasterId, Role};

fn config(dir: &Path) -> Config {
    Config::new(dir.join("data"), "host")
}

fn facts() -> Vec<RegistryOp> {
    let master_id = MasterId::new("m").unwrap();
    let weight = |role: &str, weight_milli| RegistryOp::SetWeight {
        role: Role::new(role).unwrap(),
        weight_milli,
    };
    vec![
        RegistryOp::FoundCluster { cluster_id: Arc::from("east") },
        RegistryOp::BeginEpoch { epoch: 7, master_id },
        weight("a", 2000),
        weight("b", 3000),
    ]
}

/// A directory as an earlier version left it, with some facts, bound to its cluster.
fn old(dir: &Path, count: Option<(u64, u64)>, witness: Option<u64>) -> Config {
    let config = config(dir);
    let store = Store::open(&config.data_dir, Options::new("master", 1)).unwrap();
    let mut batch = Batch::new();
    for op in facts() {
        registry_record::write(&op, &mut Completed::new(), &mut batch);
    }
    if let Some((commits, facts)) = count {
        batch.put(COUNT, [commits.to_le_bytes(), facts.to_le_bytes()].concat());
    }
    store.commit(batch).unwrap();
    store.bind_cluster("east").unwrap();
    if let Some(seen) = witness {
        let bytes = [seen.to_le_bytes(), (!seen).to_le_bytes()].concat();
        fs::write(config.data_dir.join(WITNESS), bytes).unwrap();
    }
    config
}

/// Changes records behind the registry's back.
fn tamper(config: &Config, change: impl FnOnce(&mut Batch)) {
    let store = Store::open(&config.data_dir, Options::new("master", 1)).unwrap();
    let mut batch = Batch::new();
    change(&mut batch);
    store.commit(batch).unwrap();
}

#[test]
fn all_facts_are_taken_over_once_and_older_versions_are_told() {
    for (count, witness) in [(Some((3, 4)), Some(3)), (Some((3, 4)), None), (None, None)] {
        let dir = tempfile::tempdir().unwrap();
        let config = old(dir.path(), count, witness);
        let opened = open_registry(&config).unwrap();
        let expected = &facts()[2..];
        let weights = |registry: &master_core::Registry| {
            let facts = registry.facts().into_iter();
            facts.filter(|op| matches!(op, RegistryOp::SetWeight { .. })).collect::<Vec<_>>()
        };
        assert_eq!(weights(&opened.registry), expected);
        assert_eq!(opened.registry.epoch(), 8);
        assert_eq!(opened.registry.cluster_id().map(|id| &**id), Some("east"));
        drop(opened);
        assert!(config.data_dir.join(RETIRED).join("db").exists());
        assert_eq!(config.data_dir.join(RETIRED).join(WITNESS).exists(), witness.is_some());
        let Err(error) = Store::open(&config.data_dir, Options::new("master", 1)) else {
            panic!("an older version takes it")
        };
        assert!(error.to_string().contains("newer version"), "{error}");
        let again = open_registry(&config).unwrap();
        assert_eq!((weights(&again.registry), again.registry.epoch()), (expected.to_vec(), 9));
    }
}

#[test]
fn a_change_that_was_cut_off_is_made_again_from_the_facts_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = old(dir.path(), None, None);
    // A member's disk was made, and the identity does not say so yet.
    let records = Records::default();
    let members = ::registrar::Members::of_voters([(super::super::FOUNDER, String::new())]);
    ::registrar::found(&config.data_dir.join("registrar"), "east", members, &records).unwrap();
    // An older version went on meanwhile.
    tamper(&config, |batch| {
        let role = Role::new("c").unwrap();
        let op = RegistryOp::SetWeight { role, weight_milli: 5000 };
        registry_record::write(&op, &mut Completed::new(), batch);
    });
    let opened = open_registry(&config).unwrap();
    assert_eq!(opened.registry.facts().len(), 5);
}

#[test]
fn what_was_taken_over_is_moved_away_by_a_later_start_and_never_read_again() {
    // As a crash leaves it: nothing is moved yet, or the database alone.
    for moved_back in [&[WITNESS, "sled"][..], &[WITNESS]] {
        let dir = tempfile::tempdir().unwrap();
        let config = old(dir.path(), Some((3, 4)), Some(3));
        assert_eq!(open_registry(&config).unwrap().registry.epoch(), 8);
        let (data, retired) = (&config.data_dir, config.data_dir.join(RETIRED));
        for name in moved_back {
            let from = if *name == WITNESS { retired.join(name) } else { retired.clone() };
            fs::rename(from, data.join(name)).unwrap();
        }
        assert_eq!(open_registry(&config).unwrap().registry.epoch(), 9);
        assert!(retired.join("db").exists() && retired.join(WITNESS).exists());
        assert!(!data.join("sled").exists() && !data.join(WITNESS).exists());
    }
}

#[test]
fn what_is_missing_or_damaged_is_named_and_nothing_is_taken_over() {
    type Change = fn(&mut Batch);
    let cases: [(&str, Option<u64>, Change); 6] = [
        ("damaged (record w/a ", None, |batch| batch.put(*b"w/a", *b"odd")),
        ("damaged (record c is missing, though", None, |batch| batch.delete(*b"c")),
        ("damaged (record n counts 4 facts, and 3", None, |batch| batch.delete(*b"w/a")),
        ("damaged (record n is of commit 3, though 5", Some(5), |_| ()),
        ("damaged (record n is missing, after 3", Some(3), |batch| batch.delete(COUNT)),
        ("damaged (record n has not its two", Some(3), |batch| batch.put(COUNT, *b"x")),
    ];
    for (says, witness, change) in cases {
        let dir = tempfile::tempdir().unwrap();
        let config = old(dir.path(), Some((3, 4)), witness);
        tamper(&config, change);
        for _ in 0..2 {
            let Err(error) = open_registry(&config) else { panic!("opened: {says}") };
            assert!(error.to_string().contains(says), "{error}");
        }
        assert!(!config.data_dir.join("registrar").exists(), "{says}");
    }
    // A witness that is torn proves nothing.
    let dir = tempfile::tempdir().unwrap();
    let config = old(dir.path(), Some((3, 4)), Some(5));
    let torn = fs::read(config.data_dir.join(WITNESS)).unwrap();
    fs::write(config.data_dir.join(WITNESS), &torn[..12]).unwrap();
    open_registry(&config).unwrap();
}

#[test]
fn a_directory_of_another_cluster_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = old(dir.path(), None, None);
    let other = Config { cluster: Some("west".to_owned()), ..config.clone() };
    let Err(error) = open_registry(&other) else { panic!("opened") };
    assert!(error.to_string().contains("belongs to cluster east"), "{error}");
    assert_eq!(open_registry(&config).unwrap().registry.epoch(), 8);
}

#[test]
fn a_log_that_does_not_name_its_cluster_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let home = Home::open(&config.data_dir, "master", 2, None).unwrap();
    let members = ::registrar::Members::of_voters([(super::super::FOUNDER, String::new())]);
    let member = config.data_dir.join("registrar");
    ::registrar::found(&member, "east", members, &Records::default()).unwrap();
    home.upgrade(2, "east").unwrap();
    drop(home);
    let Err(error) = open_registry(&config) else { panic!("opened") };
    assert!(error.to_string().contains("damaged (record c does not name cluster east"), "{error}");
}
