//! What tasks may have fetched, as flags.

use agent::FetchPolicy;
use std::path::PathBuf;

/// What tasks may have fetched.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Files of tasks")]
pub(crate) struct FetchOptions {
    /// A directory of this host out of which tasks may have files fetched (file:///DIR/... or an
    /// absolute path), as far as their user may read them. May be repeated; none by default.
    #[arg(long, value_name = "DIR")]
    fetch_from: Vec<PathBuf>,
    /// Room for files that were fetched with 'cache', in the work directory. 0: nothing is kept.
    #[arg(long, value_name = "MB", default_value_t = 2048, value_parser = megabytes())]
    fetch_cache: u64,
    /// The largest file that is fetched, and all that an archive may unpack to.
    #[arg(long, value_name = "MB", default_value_t = 16_384, value_parser = megabytes())]
    fetch_largest: u64,
    /// How long a file may take to be fetched, in seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3600,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    fetch_timeout: u64,
}

/// Up to a thousand TB, so that no sum is too large.
fn megabytes() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=1 << 30)
}

impl FetchOptions {
    /// The same, for the agent.
    pub(crate) fn apply(self, policy: &mut FetchPolicy) {
        policy.from = self.fetch_from;
        policy.cache_bytes = self.fetch_cache << 20;
        policy.largest_bytes = self.fetch_largest << 20;
        policy.whole = std::time::Duration::from_secs(self.fetch_timeout);
    }
}
