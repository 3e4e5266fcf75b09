//! Unpacks an image of a store and says what it is and how long it took, beside `tar` with the same
//! archive when it is a plain one.
//!
//!     cargo run --release -p images --example unpack -- STORE NAME [DIR]
//!
//! DIR keeps what is unpacked; without it a directory beside the store is used and removed.
#![allow(clippy::print_stdout, reason = "it is a program for people")]

use images::{Limits, Store};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "give STORE NAME [DIR]";
    let sources = PathBuf::from(arguments.next().ok_or(usage)?);
    let name = arguments.next().ok_or(usage)?;
    let kept = arguments.next().map(PathBuf::from);
    let dir = kept.clone().unwrap_or_else(|| sources.with_extension("unpacked"));
    let store = Store::open(sources.clone(), dir.clone(), Limits::default())?;
    let started = Instant::now();
    let image = store.provide(&name, &|| true)?;
    let ours = started.elapsed();
    println!("{} in {:.3} s: {}", name, ours.as_secs_f64(), image.root.display());
    if let Some(digest) = image.digest {
        println!("{digest}");
    }
    println!("{:?}", image.settings);
    let started = Instant::now();
    let again = store.ready(&name)?.is_some();
    println!("again: {again}, in {:.0} us", started.elapsed().as_secs_f64() * 1e6);
    let archive = sources.join(format!("{name}.tar"));
    if archive.is_file() {
        let floor = dir.join("floor");
        std::fs::create_dir(&floor)?;
        let started = Instant::now();
        let done = std::process::Command::new("tar")
            .arg("--extract")
            .arg(format!("--file={}", archive.display()))
            .arg(format!("--directory={}", floor.display()))
            .status()?;
        rustix::fs::syncfs(std::fs::File::open(&floor)?)?;
        let floor_time = started.elapsed().as_secs_f64();
        println!(
            "tar --extract and sync, {done}: {floor_time:.3} s, ratio {:.2}",
            ours.as_secs_f64() / floor_time
        );
        std::fs::remove_dir_all(floor)?;
    }
    if kept.is_none() {
        drop(image);
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}
