//! `tepui master join` and `tepui master replace`: masters that are run as further ones.

use super::{Serve, failure};
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output;
use proto::operator::{Call, Response};
use std::time::{Duration, Instant};

/// A master that is not heard of for so long is lost.
const CERTAIN: Duration = Duration::from_secs(3);
/// Between two questions meanwhile.
const AGAIN: Duration = Duration::from_millis(200);

/// What `tepui master join` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui master join 10.0.0.1:5050 --data /var/lib/tepui/master --listen 10.0.0.2:5050

A master that has joined may be started with the same words again, or without 'join ...'.")]
pub(crate) struct Join {
    /// Masters of the cluster.
    #[arg(required = true, value_delimiter = ',', value_name = "HOST:PORT,...")]
    pub(super) masters: Vec<String>,
    #[command(flatten)]
    pub(super) serve: Serve,
}

/// What `tepui master replace` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui master list --master 10.0.0.1:5050       master 3120045 is lost with its disk
  tepui master replace 3120045 10.0.0.1:5050 --data /var/lib/tepui/new --listen 10.0.0.3:5050

It may be started with the same words again, or as 'tepui master --data ...'.")]
pub(crate) struct Replace {
    /// The id of the master that is lost.
    #[arg(value_name = "MASTER")]
    pub(super) lost: u64,
    /// Masters of the cluster.
    #[arg(required = true, value_delimiter = ',', value_name = "HOST:PORT,...")]
    pub(super) masters: Vec<String>,
    #[command(flatten)]
    pub(super) serve: Serve,
}

/// Takes the lost master out, if this one has not its place yet.
pub(super) async fn make_room(config: &master::Config, lost: u64) -> Result<(), Failure> {
    let has_place = master::registrar::Member::exists(config);
    if has_place.map_err(|error| failure(&error.into()))? {
        return Ok(());
    }
    let masters = Client::new("master", config.join.join(","));
    let begin = Instant::now();
    loop {
        let Response::Masters(all) = masters.operator(&Call::GetMasters).await? else {
            return Err(Failure::other_answer());
        };
        let found = all.masters.iter().find(|master| master.id == lost);
        let is_certain = begin.elapsed() > CERTAIN;
        match found {
            Some(master) if master.alive && is_certain => {
                let message = format!("master {lost} at {} is alive", master.address);
                return Err(Failure::new(Code::Conflict, message).next(format!(
                    "stop it and try again; or add one with 'tepui master join', then 'tepui \
                     master leave {lost}'"
                )));
            }
            Some(_) if is_certain => {
                masters.operator(&Call::RemoveMaster(lost)).await?;
                output::say(&format!("master {lost} is taken out"));
                return Ok(());
            }
            // One that died a moment ago seems alive, and a leader that was just elected has heard of
            // nobody yet.
            Some(_) => tokio::time::sleep(AGAIN).await,
            // As after a start that was cut off.
            None => {
                output::say(&format!("master {lost} is none of the masters any more"));
                return Ok(());
            }
        }
    }
}
