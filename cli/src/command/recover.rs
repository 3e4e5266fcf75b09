//! `tepui cluster recover`: one master goes on alone after most of them are lost for good.

use super::master::with_causes;
use crate::failure::{Code, Failure};
use crate::output::{self, Form};
use crate::{Final, Print};
use serde_json::json;
use std::path::PathBuf;

/// What can be done about a cluster that has lost most of its masters.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Make one master, which does not run, the only one of its cluster.
    Recover(Options),
}

/// What it takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui cluster recover --data /var/lib/tepui/master --yes
  tepui master --data /var/lib/tepui/master --listen 10.0.0.1:5050
  tepui master join 10.0.0.1:5050 --data /var/lib/tepui/new --listen 10.0.0.2:5050

What only the lost masters had acknowledged is gone: choose the master whose /health or log showed
the newest term, and among those the highest commit. Delete the data of all others before they are
started again. Tasks run on; agents and frameworks come back by themselves.")]
pub(crate) struct Options {
    /// The data directory of the master that is to go on.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Do it: this cannot be taken back.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
}

/// Runs the command.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::Recover(Options { data, yes, print }) = command;
    if !data.is_dir() {
        let message = format!("--data {} is no directory", data.display());
        return Err(Failure::new(Code::Usage, message).next("name the data directory of a master"));
    }
    if !yes {
        let what = format!(
            "this makes the master in {} the only one of its cluster: all others are none any \
             more, and what only they knew is lost",
            data.display()
        );
        let command = format!("tepui cluster recover --data {} --yes", data.display());
        return Err(Final::withheld(what, &command));
    }
    let config = master::Config::new(data.clone(), "127.0.0.1");
    let done = master::registrar::recover(&config)
        .map_err(|error| Failure::new(Code::Conflict, with_causes(&error)))?;
    if print.output == Form::Json {
        let lost: Vec<_> =
            done.lost.iter().map(|(id, at)| json!({ "id": id, "address": at })).collect();
        output::print_json(&json!({
            "cluster": done.cluster,
            "master": done.member,
            "term": done.term,
            "last_entry": done.last,
            "damaged": done.lost_entries,
            "lost_masters": lost,
        }));
        return Ok(());
    }
    let mut text = format!(
        "master {} is the only one of cluster {}, with all up to entry {} of term {}\n",
        done.member, done.cluster, done.last, done.term
    );
    for (id, at) in &done.lost {
        text += &format!("master {id} at {at} is none any more: delete its data\n");
    }
    if done.lost_entries {
        text += "entries that this master once had are damaged, and are lost\n";
    }
    text += &format!("start it: tepui master --data {} --listen ADDR:PORT\n", data.display());
    output::print(&text);
    Ok(())
}
