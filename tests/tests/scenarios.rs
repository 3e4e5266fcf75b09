//! Runs every transcript in `tests/scenarios`; with UPDATE=1 it writes what happens today instead.

use std::fs;
use std::path::PathBuf;

fn transcripts() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(folder).expect("the folder is part of the sources");
    let paths = entries.map(|entry| entry.expect("a folder can be read").path());
    let mut all: Vec<PathBuf> = paths.collect();
    all.sort();
    all
}

#[test]
fn every_transcript_tells_what_happens() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in transcripts() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let told = fs::read_to_string(&path).unwrap();
        match sim::script::run(&told) {
            Err(problem) => wrong.push(format!("{name}: {problem}")),
            Ok(happens) if happens == told => {}
            Ok(happens) if update => fs::write(&path, happens).unwrap(),
            Ok(happens) => {
                wrong.push(format!("{name}:\n{}", diff(&told, &happens)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 rewrites them", wrong.join("\n"));
}

#[test]
fn every_transcript_says_which_behaviour_of_mesos_it_follows() {
    let all = transcripts();
    assert!(all.len() >= 60, "{}", all.len());
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# Mesos: "), "{}: {first}", path.display());
    }
}

/// The first lines that differ.
fn diff(told: &str, happens: &str) -> String {
    let at = told.lines().zip(happens.lines()).take_while(|(a, b)| a == b).count();
    let show =
        |text: &str| text.lines().nth(at).map_or_else(|| "(the end)".to_owned(), str::to_owned);
    format!(
        "  line {}: told    {}\n  line {}: happens {}",
        at + 1,
        show(told),
        at + 1,
        show(happens)
    )
}
