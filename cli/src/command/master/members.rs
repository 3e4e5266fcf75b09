//! `tepui master list`, `leave` and `transfer`: who the masters are.

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table};
use crate::{Final, Print, Server, discover};
use proto::operator::{Call, MasterView, Masters, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the lead may take to go over to another master.
const HAND_OVER: Duration = Duration::from_secs(15);
/// Between two questions meanwhile.
const AGAIN: Duration = Duration::from_millis(100);

/// What `tepui master list` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tepui master list\n  tepui master list -o json")]
pub(crate) struct List {
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// What `tepui master leave` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui master leave 3120045 --yes        it ends by itself; its data directory can be deleted
  tepui master leave 10.0.0.3:5050 --yes")]
pub(crate) struct Leave {
    /// The master, by its id or its address.
    #[arg(value_name = "MASTER")]
    master_to_leave: String,
    #[command(flatten)]
    last: Final,
}

/// What `tepui master transfer` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui master transfer                   to the one that knows most
  tepui master transfer 10.0.0.2:5050")]
pub(crate) struct Transfer {
    /// The master that should lead, by its id or its address.
    #[arg(value_name = "MASTER")]
    to: Option<String>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

async fn masters(client: &Client) -> Result<Masters, Failure> {
    match client.operator(&Call::GetMasters).await {
        Ok(Response::Masters(masters)) => Ok(masters),
        Ok(_) => Err(Failure::other_answer()),
        Err(failure) if failure.next.is_none() => {
            Err(failure.next("GET /health of each master tells how it stands"))
        }
        Err(failure) => Err(failure),
    }
}

/// Lists the masters.
pub(crate) async fn list(options: List) -> Result<(), Failure> {
    let all = masters(&discover::master(&options.server)).await?;
    match options.print.output {
        Form::Table => table(&all).print("there are no masters"),
        Form::Json => {
            let masters: Vec<Value> = all.masters.iter().map(|master| json(master, &all)).collect();
            output::print_json(&json!({
                "cluster": &*all.cluster,
                "term": all.term,
                "commit": all.commit,
                "masters": masters,
            }));
        }
    }
    Ok(())
}

fn role(master: &MasterView) -> &'static str {
    match (master.leading, master.voting) {
        (true, _) => "leader",
        (false, true) => "follower",
        (false, false) => "joining",
    }
}

fn behind(master: &MasterView, all: &Masters) -> Option<u64> {
    master.matched.map(|matched| all.commit.saturating_sub(matched))
}

fn table(all: &Masters) -> Table {
    let mut table = Table::new(&["MASTER", "ADDRESS", "ROLE", "ALIVE", "BEHIND"]);
    for master in &all.masters {
        table.row(vec![
            master.id.to_string(),
            master.address.to_string(),
            role(master).to_owned(),
            if master.alive { "yes" } else { "no" }.to_owned(),
            behind(master, all).map_or_else(|| "-".to_owned(), |behind| behind.to_string()),
        ]);
    }
    table
}

fn json(master: &MasterView, all: &Masters) -> Value {
    json!({
        "id": master.id,
        "address": &*master.address,
        "role": role(master),
        "alive": master.alive,
        "behind": behind(master, all),
    })
}

/// The master that a person means, by its id or its address.
fn pick<'a>(all: &'a Masters, name: &str) -> Result<&'a MasterView, Failure> {
    let is_it = |master: &&MasterView| master.id.to_string() == name || *master.address == *name;
    all.masters.iter().find(is_it).ok_or_else(|| {
        let message = format!("no master has the id or the address '{name}'");
        Failure::new(Code::NotFound, message).next("tepui master list shows all of them")
    })
}

/// Takes a master out.
pub(crate) async fn leave(options: Leave) -> Result<(), Failure> {
    let Final { yes, print, server } = options.last;
    let client = discover::master(&server);
    let all = masters(&client).await?;
    let master = pick(&all, &options.master_to_leave)?;
    if !yes {
        let voting = all.masters.iter().filter(|other| other.voting && other.id != master.id);
        let what = format!(
            "this takes master {} at {} out for ever, and leaves {} that vote",
            master.id,
            master.address,
            voting.count()
        );
        return Err(Final::withheld(what, &format!("tepui master leave {} --yes", master.id)));
    }
    remove(&client, master.id).await?;
    match print.output {
        Form::Json => output::print_json(&json!({ "id": master.id, "state": "left" })),
        Form::Table => output::print(&format!(
            "master {} at {} is none any more: it ends by itself, and its data can be deleted\n",
            master.id, master.address
        )),
    }
    Ok(())
}

/// One that leads hands over first, and the next one is asked.
async fn remove(client: &Client, id: u64) -> Result<(), Failure> {
    let begin = Instant::now();
    loop {
        match client.operator(&Call::RemoveMaster(id)).await {
            Ok(_) => return Ok(()),
            Err(failure)
                if failure.code == Code::Unavailable as u8 && begin.elapsed() < HAND_OVER =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            // An answer that was lost on the way.
            Err(failure) if failure.code == Code::NotFound as u8 => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
}

/// Hands the lead over.
pub(crate) async fn transfer(options: Transfer) -> Result<(), Failure> {
    let client = discover::master(&options.server);
    let before = masters(&client).await?;
    let to = options.to.as_deref().map(|name| pick(&before, name).map(|m| m.id)).transpose()?;
    client.operator(&Call::TransferLead(to)).await?;
    let after = until_led(&client).await?;
    let leader = after.masters.iter().find(|master| master.leading);
    let (id, address) = leader.map_or((0, ""), |leader| (leader.id, &leader.address));
    match options.print.output {
        Form::Json => output::print_json(&json!({ "leader": id, "address": address })),
        Form::Table => output::print(&format!("master {id} at {address} leads\n")),
    }
    Ok(())
}

async fn until_led(client: &Client) -> Result<Masters, Failure> {
    let begin = Instant::now();
    loop {
        match masters(client).await {
            Err(failure)
                if failure.code == Code::Unavailable as u8 && begin.elapsed() < HAND_OVER =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Masters {
        let master = |id, address: &str, matched| MasterView {
            id,
            address: address.into(),
            voting: id != 3,
            leading: id == 1,
            alive: id != 2,
            matched,
        };
        let masters = vec![
            master(1, "a:5050", Some(9)),
            master(2, "b:5050", Some(4)),
            master(3, "c:1", None),
        ];
        Masters { cluster: "c".into(), term: 2, commit: 9, masters }
    }

    #[test]
    fn a_master_is_meant_by_its_id_or_its_address() {
        assert_eq!(pick(&all(), "2").unwrap().id, 2);
        assert_eq!(pick(&all(), "c:1").unwrap().id, 3);
        for nobody in ["4", "a", "5050", ""] {
            assert_eq!(pick(&all(), nobody).unwrap_err().code, Code::NotFound as u8, "{nobody}");
        }
    }

    #[test]
    fn each_master_has_its_line() {
        let text = table(&all()).render();
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["1", "a:5050", "leader", "yes", "0"]);
        assert_eq!(lines[2], ["2", "b:5050", "follower", "no", "5"]);
        assert_eq!(lines[3], ["3", "c:1", "joining", "yes", "-"]);
    }
}
