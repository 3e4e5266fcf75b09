//! How the program is linked: so that each process of a cluster holds less of it in memory.
//!
//! One binary carries every component, and each component is a process of its own. Relocations
//! are packed (half a megabyte that the loader would read in each process becomes a few pages),
//! and functions whose code is the same are kept once.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    // Where Rust links with its own lld, and the C library unpacks relocations.
    let known = of("CARGO_CFG_TARGET_ARCH") == "x86_64"
        && of("CARGO_CFG_TARGET_OS") == "linux"
        && of("CARGO_CFG_TARGET_ENV") == "gnu";
    if known && of("PROFILE") == "release" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
