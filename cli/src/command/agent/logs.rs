//! How what tasks print is kept, as flags.

use agent::LogPolicy;

/// What is kept of what tasks print.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogOptions {
    /// Cut the files stdout and stderr of a task, between two lines, whenever they have so many
    /// MB. What was cut off is packed. 0: never.
    #[arg(
        long,
        value_name = "MB",
        default_value_t = LogPolicy::default().part_bytes >> 20,
        value_parser = clap::value_parser!(u64).range(0..=1024)
    )]
    log_part: u64,
    /// How many of the parts that were cut off are kept of each stdout and stderr; older ones are
    /// removed.
    #[arg(
        long,
        value_name = "N",
        default_value_t = LogPolicy::default().parts,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    log_parts: u32,
}

impl LogOptions {
    /// The same, for the agent.
    pub(crate) fn policy(&self) -> LogPolicy {
        LogPolicy { part_bytes: self.log_part << 20, parts: self.log_parts }
    }
}
