//! `tepui limits`: what a running task may use beyond what it asked for.

use super::find;
use crate::failure::Failure;
use crate::{Server, output};
use proto::agent_api::{Call, ContainerPath};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What `tepui limits` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui limits web/0 --mem 512            it may use 512 MB from now on
  tepui limits web/0 --cpus 2 --mem none

The task is not restarted, and what is reserved for it stays: a limit is never less than what it
asked for. What is not given stays as it is. Like 'tepui exec', it goes to the agent itself.")]
pub(crate) struct Options {
    /// The most cpus, or 'none'.
    #[arg(long, value_name = "CPUS|none", value_parser = limit, required_unless_present = "mem")]
    cpus: Option<Limit>,
    /// The most memory in MB, or 'none'.
    #[arg(long, value_name = "MB|none", value_parser = limit)]
    mem: Option<Limit>,
    /// The framework whose task it is, where several have one of that id.
    #[arg(long, value_name = "ID")]
    framework: Option<String>,
    #[command(flatten)]
    server: Server,
    /// JOB, JOB/INDEX when it has several units, or the id of any framework's task.
    task: String,
}

/// In thousandths, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let amount = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0 && *n < 1e12);
    let amount = amount.ok_or_else(|| "a number above 0, or 'none', is needed".to_owned())?;
    Ok(Limit(Some((amount * 1000.0).round() as u64)))
}

/// Changes the limits, and says so once they are in force.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { cpus, mem, framework, server, task } = options;
    let place = find(&server, &task, framework.as_deref()).await?;
    let given = [("cpus", cpus), ("mem", mem)];
    let given = given.into_iter().filter_map(|(name, limit)| Some((name, limit?.0)));
    let limits: BTreeMap<Arc<str>, Option<u64>> =
        given.map(|(name, limit)| (Arc::from(name), limit)).collect();
    let said: Vec<String> = limits
        .iter()
        .map(|(name, limit)| format!("{name}={}", limit.map_or("none".into(), output::milli)))
        .collect();
    let container = ContainerPath { parent: None, id: place.container.clone() };
    place.direct()?.order(&Call::UpdateContainerLimits { container, limits }).await?;
    output::print(&format!("{task} is limited to {}\n", said.join(",")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_amounts_or_none() {
        assert_eq!(limit("1.5"), Ok(Limit(Some(1500))));
        assert_eq!(limit("none"), Ok(Limit(None)));
        for text in ["0", "-1", "inf", "NaN", "", "512MB"] {
            assert!(limit(text).is_err(), "{text:?}");
        }
    }
}
