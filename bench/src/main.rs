//! Figures, honestly: the floor, ours, the floor again, in one run, medians of several runs, the
//! ratio, and the fitted growth exponent. Nothing here is a test: it prints, people judge.
//!
//! `cargo xtask bench` builds and runs it; `bench NAME` runs one part.

mod floor;
mod stats;

fn main() {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("floors") => floors(),
        other => {
            eprintln!("bench: {other:?} is none of: floors");
            std::process::exit(2);
        }
    }
}

fn floors() {
    for _ in 0..3 {
        println!("spawn 2 at a time: {:.0}/s", floor::spawn_rate(3000, 2));
        println!("cgroups 8 at a time: {:?}/s", floor::cgroup_rate(1000, 8));
    }
}
