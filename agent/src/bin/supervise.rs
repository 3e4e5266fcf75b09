//! A supervisor and nothing else, for this package's tests and benches.
//!
//! The product's own `tepui supervise` calls the same function. It must not start a thread before.

fn main() -> std::process::ExitCode {
    #[cfg(feature = "failpoints")]
    agent::crash::arm();
    std::process::ExitCode::from(agent::supervisor::main(std::env::args_os().skip(1)))
}
