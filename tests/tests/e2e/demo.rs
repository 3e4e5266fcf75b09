//! `tepui demo`: the first thing that anybody runs.

use crate::cluster::{mentioning, program};
use crate::program::{Said, said, tepui};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Some files to work on, and a place for the demo's own.
pub(crate) fn place() -> TempDir {
    let place = tempfile::Builder::new().prefix("tepui-e2e-").tempdir().unwrap();
    let (input, temporary) = (place.path().join("input"), place.path().join("tmp"));
    fs::create_dir(&input).unwrap();
    fs::create_dir(&temporary).unwrap();
    for n in 0..20 {
        fs::write(input.join(n.to_string()), format!("{n}\n").repeat(1000)).unwrap();
    }
    place
}

pub(crate) fn arguments(place: &Path) -> Vec<String> {
    let input = place.join("input").display().to_string();
    let words = ["demo", "--tasks", "12", "-o", "json", "--input"];
    words.iter().map(ToString::to_string).chain([input]).collect()
}

pub(crate) fn verified(said: &Said, place: &Path) {
    assert_eq!(said.code, 0, "{said:?}");
    let report: serde_json::Value = serde_json::from_str(&said.out).expect("one JSON value");
    assert!(report.is_object());
    assert_eq!(report["verified"], true, "{report:#}");
    let temporary = place.join("tmp");
    assert_eq!(mentioning(&temporary.display().to_string()), [], "processes are left");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "files are left");
}

#[test]
fn the_demo_is_verified_and_leaves_nothing() {
    let place = place();
    let mut command = Command::new(program());
    command.args(arguments(place.path())).env("TMPDIR", place.path().join("tmp"));
    verified(&said(&mut command), place.path());
}

#[test]
fn a_missing_input_directory_is_named() {
    let said = tepui(&["demo", "--input", "/no/such/input"]);
    said.expect(3, &["/no/such/input", "--input"]);
}
