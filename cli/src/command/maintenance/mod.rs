//! `tepui maintenance`: machines that will be away, are away, and are back.
//!
//! Machines are named as agents name their hosts. The master takes whole schedules only: what is
//! planned is read, changed and written back, so what another operator wrote in between is lost.

mod cancel;
mod schedule;
mod start;
mod status;
mod stop;

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::when;
use proto::operator::{Call, Response};
use proto::{MachineId, MaintenanceStatus, Schedule, Unavailability};

/// Maintenance of machines: plan, ask frameworks to leave, take down, bring back.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Plan when machines will be away; frameworks with work there are asked to leave.
    Schedule(schedule::Options),
    /// Take machines out of the plan.
    Cancel(cancel::Options),
    /// List what is planned and down, and what frameworks say to it.
    Status(status::Options),
    /// Take scheduled machines down: what still runs there is lost.
    Start(start::Options),
    /// Machines are back: they get work again.
    Stop(stop::Options),
}

/// Runs one of the commands.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Schedule(options) => schedule::run(options).await,
        Command::Cancel(options) => cancel::run(options).await,
        Command::Status(options) => status::run(options).await,
        Command::Start(options) => start::run(options).await,
        Command::Stop(options) => stop::run(options).await,
    }
}

/// A machine's name on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(String);

impl std::str::FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | '/');
        match text.is_empty() || text.len() > 255 || text.contains(odd) {
            true => Err(format!("'{text}' is no name of a machine, such as host-3.example.com")),
            false => Ok(Self(text.to_lowercase())),
        }
    }
}

impl Host {
    /// As the master would name it in a schedule: an address is no name.
    fn machine(&self) -> MachineId {
        match self.0.parse::<std::net::IpAddr>() {
            Ok(_) => MachineId { hostname: None, ip: Some(self.0.as_str().into()) },
            Err(_) => MachineId::named(&self.0),
        }
    }
}

/// What is planned.
async fn planned(master: &Client) -> Result<Schedule, Failure> {
    match master.operator(&Call::GetMaintenanceSchedule).await? {
        Response::MaintenanceSchedule(schedule) => Ok(schedule),
        _ => Err(Failure::other_answer()),
    }
}

/// How the machines stand.
async fn standing(master: &Client) -> Result<MaintenanceStatus, Failure> {
    match master.operator(&Call::GetMaintenanceStatus).await? {
        Response::MaintenanceStatus(status) => Ok(status),
        _ => Err(Failure::other_answer()),
    }
}

/// The machines of the schedule that people named, in its own spelling; each must be there.
fn named(schedule: &Schedule, hosts: &[Host]) -> Result<Vec<MachineId>, Failure> {
    let mut found = Vec::new();
    for Host(host) in hosts {
        let mut all = schedule.windows.iter().flat_map(|window| &window.machines);
        let machine = all.find(|machine| machine.is_called(host)).ok_or_else(|| {
            Failure::new(Code::NotFound, format!("no maintenance of the machine {host} is planned"))
                .next(format!("tepui maintenance schedule {host} --start now --duration 1h"))
        })?;
        if !found.contains(machine) {
            found.push(machine.clone());
        }
    }
    Ok(found)
}

/// When something is away, in words.
fn words(away: &Unavailability) -> String {
    let long = away.duration.map_or_else(
        || "for good".to_owned(),
        |duration| format!("for {}", when::show_duration(duration)),
    );
    format!("from {} {long}", when::show(away.start))
}
