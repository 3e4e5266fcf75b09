//! What `tepui master` takes about sharing agents out: where the master stands, how fast agents are
//! given up, and what is worth an offer. Mesos' names and forms.

use crate::amounts::Scalars;
use proto::{Domain, Quantities};
use std::sync::Arc;
use std::time::Duration;

/// Options about sharing agents out.
#[derive(clap::Args, Debug)]
pub(super) struct Allocation {
    /// Where the master stands: agents of another region are offered only to frameworks that are
    /// aware of regions.
    #[arg(long, value_name = "REGION/ZONE", value_parser = domain)]
    domain: Option<Domain>,
    /// How many silent agents may be given up in how long, such as 1/10mins: should the network
    /// fail, not all agents are given up at once. No limit by default.
    #[arg(long, value_name = "N/DURATION", value_parser = pace)]
    agent_removal_rate_limit: Option<Duration>,
    /// What an agent must have free to be worth an offer: any one of these amounts. Written 'none',
    /// it is anything at all; cpus:0.01|mem:32 by default.
    #[arg(long, value_name = "AMOUNTS|...", value_parser = least)]
    min_allocatable_resources: Option<Least>,
    /// Seconds after the master began to lead during which a role with a limit counts as if it used
    /// all that it could on agents that are not back; 30 by default, 0 means never.
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    quota_recovery_timeout: Option<f64>,
}

/// Amounts any one of which is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Least(Vec<Quantities>);

impl Allocation {
    /// Puts what was given into the master's configuration.
    pub(super) fn apply(self, config: &mut master::Config) {
        let core = &mut config.options;
        core.domain = self.domain;
        core.agent_removal_interval = self.agent_removal_rate_limit;
        if let Some(Least(least)) = self.min_allocatable_resources {
            core.min_allocatable = least;
        }
        if let Some(seconds) = self.quota_recovery_timeout {
            core.quota_recovery_timeout = Duration::from_secs_f64(seconds);
        }
    }
}

/// A fault domain: `region/zone`.
pub(crate) fn domain(text: &str) -> Result<Domain, String> {
    let is_name = |name: &str| !name.is_empty() && !name.contains(char::is_whitespace);
    match text.split_once('/') {
        Some((region, zone)) if is_name(region) && is_name(zone) && !zone.contains('/') => {
            Ok(Domain { region: Arc::from(region), zone: Arc::from(zone) })
        }
        _ => Err("REGION/ZONE is needed, such as europe/west-1".to_owned()),
    }
}

/// The time from one to the next: `2/3hrs` is one in 90 minutes.
fn pace(text: &str) -> Result<Duration, String> {
    let wrong = || {
        "N/DURATION is needed, such as 1/10mins; a duration is a number with ms, secs, mins, hrs or \
         days"
            .to_owned()
    };
    let (count, time) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.parse().map_err(|_| wrong())?;
    let unit_at = time.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = time.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "ms" => 0.001,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        _ => return Err(wrong()),
    };
    let seconds = number * unit / f64::from(count);
    if count == 0 || !(0.001..=1e9).contains(&seconds) {
        return Err(
            "from one in a millisecond to one in 1000000000 seconds are possible".to_owned()
        );
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Amounts any one of which is enough, between bars; `none` asks for nothing.
fn least(text: &str) -> Result<Least, String> {
    if text == "none" {
        return Ok(Least(Vec::new()));
    }
    let one = |text: &str| {
        let Scalars(amounts) = text.parse()?;
        let mut all = Quantities::default();
        for (name, milli) in &amounts {
            all.add(name, *milli);
        }
        if all.is_empty() {
            return Err("an amount above 0 is needed, such as cpus:0.01; or none".to_owned());
        }
        Ok(all)
    };
    Ok(Least(text.split('|').map(one).collect::<Result<_, String>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use proto::ResourceName;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        allocation: Allocation,
    }

    fn config(words: &[&str]) -> Result<master::Config, String> {
        let words = ["tepui"].iter().chain(words);
        let program = Program::try_parse_from(words).map_err(|e| e.to_string())?;
        let mut config = master::Config::new("unused", "localhost");
        program.allocation.apply(&mut config);
        Ok(config)
    }

    #[test]
    fn what_is_given_reaches_the_core_and_is_shown_as_flags() {
        let config = config(&[
            "--domain",
            "europe/west-1",
            "--agent-removal-rate-limit",
            "2/3hrs",
            "--min-allocatable-resources",
            "cpus:0.5;mem:64|gpus:1",
            "--quota-recovery-timeout",
            "2.5",
        ])
        .unwrap();
        let options = &config.options;
        assert_eq!(options.domain, Some(domain("europe/west-1").unwrap()));
        assert_eq!(options.agent_removal_interval, Some(Duration::from_secs(90 * 60)));
        assert_eq!(options.quota_recovery_timeout, Duration::from_millis(2500));
        let [first, second] = &options.min_allocatable[..] else {
            panic!("{:?}", options.min_allocatable)
        };
        assert_eq!(first.get(&ResourceName::new("cpus")), 500);
        assert_eq!(first.get(&ResourceName::new("mem")), 64_000);
        assert_eq!(second.get(&ResourceName::new("gpus")), 1000);
    }

    #[test]
    fn nothing_given_changes_nothing_and_none_asks_for_nothing() {
        let plain = config(&[]).unwrap();
        let fresh = master::Config::new("unused", "localhost");
        assert_eq!(plain.options, fresh.options);
        let none = config(&["--min-allocatable-resources", "none"]).unwrap();
        assert!(none.options.min_allocatable.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_an_example() {
        for (flag, values, hint) in [
            ("--domain", ["europe", "/z", "a/b/c"], "such as europe/west-1"),
            ("--agent-removal-rate-limit", ["5", "1/10", "x/1secs"], "such as 1/10mins"),
            ("--agent-removal-rate-limit", ["0/1secs", "1/0secs", "9/1ms"], "one in a millisecond"),
            ("--min-allocatable-resources", ["cpus:0", "cpus:0|mem:1", "none|none"], "above 0"),
        ] {
            for value in values {
                let refused = config(&[flag, value]).err();
                let refused = refused.unwrap_or_else(|| panic!("{flag} {value} is taken"));
                assert!(refused.contains(hint), "{flag} {value}: {refused}");
            }
        }
    }
}
