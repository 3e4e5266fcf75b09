//! `tepui maintenance schedule`: adds a window to what is planned, and leaves the others there.

use super::{Host, planned};
use crate::failure::{Code, Failure};
use crate::output::{self, Form};
use crate::{Print, Server, discover, when};
use proto::operator::Call;
use proto::{MaintenanceWindow, Schedule, Time, Unavailability};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// What `tepui maintenance schedule` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The window is added to what is planned. The master takes whole schedules only: the plan is read,
the window added, and all of it written back; what another operator writes in between is lost.
A machine can be in one window: cancel it first to plan it anew.

Examples:
  tepui maintenance schedule host-3 --start +2h --duration 30m
  tepui maintenance schedule host-3 host-4 --start 2026-11-22T03:00:00Z --duration 1h30m
  tepui maintenance schedule host-9 --start now          for good")]
pub(crate) struct Options {
    /// Machines, as their agents name them.
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<Host>,
    /// From when on: 'now', from now on ('+2h'), or RFC 3339 ('2026-11-22T03:00:00Z').
    #[arg(long, value_name = "TIME", value_parser = when::time)]
    start: Time,
    /// For how long, such as 1h30m. For good if not given.
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    duration: Option<Duration>,
    /// Say what would be planned, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Adds the window.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let mut schedule = planned(&master).await?;
    let away = Unavailability { start: options.start, duration: options.duration };
    add(&mut schedule, &options.hosts, away)?;
    let agents = discover::agents(&master).await?;
    for Host(host) in &options.hosts {
        if !agents.iter().any(|agent| agent.info.hostname.eq_ignore_ascii_case(host)) {
            output::say(&format!("note: no agent is on a machine called {host}"));
        }
    }
    let count = schedule.windows.len();
    if !options.dry_run {
        master.operator(&Call::UpdateMaintenanceSchedule(schedule)).await?;
    }
    let hosts: Vec<&str> = options.hosts.iter().map(|Host(host)| host.as_str()).collect();
    match options.print.output {
        Form::Json => output::print_json(&json!({
            "machines": hosts,
            "start": when::show(away.start),
            "duration_seconds": away.duration.map(|duration| duration.as_secs()),
            "windows": count,
            "dry_run": options.dry_run,
        })),
        Form::Table => {
            let would = if options.dry_run { " would be" } else { "" };
            let (hosts, away) = (hosts.join(", "), super::words(&away));
            let s = if count == 1 { "" } else { "s" };
            output::print(&format!("{hosts}{would} away {away} ({count} window{s} planned)\n"));
        }
    }
    Ok(())
}

fn add(schedule: &mut Schedule, hosts: &[Host], away: Unavailability) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for Host(host) in hosts {
        if !seen.insert(host) {
            let message = format!("the machine {host} is named twice");
            return Err(Failure::new(Code::Usage, message).next("name each machine once"));
        }
        let has = |window: &&MaintenanceWindow| window.machines.iter().any(|m| m.is_called(host));
        if let Some(window) = schedule.windows.iter().find(has) {
            let planned = super::words(&window.unavailability);
            let message = format!("the machine {host} is planned to be away {planned}");
            return Err(Failure::new(Code::Conflict, message)
                .next(format!("tepui maintenance cancel {host}, then plan it anew")));
        }
    }
    let machines = hosts.iter().map(Host::machine).collect();
    schedule.windows.push(MaintenanceWindow { machines, unavailability: away });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_window_is_added_to_the_others() {
        let away = Unavailability { start: Time::ZERO, duration: Some(Duration::from_secs(60)) };
        let mut schedule = Schedule::default();
        add(&mut schedule, &hosts(&["A", "b"]), away).unwrap();
        add(&mut schedule, &hosts(&["10.0.0.1"]), away).unwrap();
        assert_eq!(schedule.windows.len(), 2);
        assert_eq!(schedule.windows[1].machines[0].ip.as_deref(), Some("10.0.0.1"));
        let again = add(&mut schedule, &hosts(&["c", "a"]), away).unwrap_err();
        assert_eq!(again.code, Code::Conflict as u8);
        assert!(again.message.contains("from 1970-01-01T00:00:00Z for 1m"), "{again}");
        assert_eq!(add(&mut schedule, &hosts(&["c", "C"]), away).unwrap_err().code, 2);
        assert_eq!(schedule.windows.len(), 2, "a refusal changes nothing");
    }

    #[test]
    fn names_of_machines_have_no_spaces_or_commas() {
        for wrong in ["", "a b", "a,b", "a/b", "a\n"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong:?}");
        }
    }
}
