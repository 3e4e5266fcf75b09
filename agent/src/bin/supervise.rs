//! A supervisor, or with `fetch` a fetching process, and nothing else, for this package's tests and
//! benches.
//!
//! The product's own `tepui supervise` and `tepui fetch` call the same functions. It must not start
//! a thread before.

fn main() -> std::process::ExitCode {
    #[cfg(feature = "failpoints")]
    agent::crash::arm();
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == "fetch").is_some() {
        return std::process::ExitCode::from(agent::fetch_files());
    }
    std::process::ExitCode::from(agent::supervisor::main(arguments))
}
