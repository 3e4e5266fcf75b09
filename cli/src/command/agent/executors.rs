//! How custom executors are treated, as flags.

use std::time::Duration;

/// What holds for the executors of frameworks.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Executors")]
pub(crate) struct ExecutorOptions {
    /// Seconds that a custom executor may take from its start to its first SUBSCRIBE.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    executor_registration_timeout: u64,
    /// Seconds that a custom executor may take to subscribe to an agent that was started anew.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds())]
    executor_reregistration_timeout: u64,
    /// Seconds between SHUTDOWN and KILL for a custom executor that does not say.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = seconds())]
    executor_shutdown_grace_period: u64,
    /// Seconds that custom executors are told to wait for an agent that is away
    /// (MESOS_RECOVERY_TIMEOUT).
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = seconds())]
    recovery_timeout: u64,
    /// Take calls of custom executors without the token that each of them is given: then every
    /// process that reaches the agent can speak for them.
    #[arg(long)]
    executors_without_token: bool,
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::builder::RangedU64ValueParser::new().range(1..=86_400)
}

impl ExecutorOptions {
    /// Hands them to the agent.
    pub(crate) fn apply(&self, config: &mut agent::Config) {
        config.executor_registration_timeout =
            Duration::from_secs(self.executor_registration_timeout);
        config.executor_reregistration_timeout =
            Duration::from_secs(self.executor_reregistration_timeout);
        config.executor_shutdown_grace = Duration::from_secs(self.executor_shutdown_grace_period);
        config.recovery_timeout = Duration::from_secs(self.recovery_timeout);
        config.executors_without_token = self.executors_without_token;
    }
}
