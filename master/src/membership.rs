//! Who the masters are: what operators and masters that join may ask of the one that leads, and
//! what each master does by itself to be one.
//!
//! A master joins as one that is told everything and does not vote; it votes once it has the log, so
//! that a change never leaves the group with fewer that can agree. It must never remove anybody by
//! itself.

use crate::Error;
use crate::http::Refusal;
use crate::registrar::Asks;
use crate::standing::Standing;
use ::registrar::{Change, Failure, MemberId, Refusal as NotDone, Role, Status};
use grpc::{ClientOptions, OperatorClient};
use http::StatusCode;
use proto::operator::{Call, MasterView, Masters, Response};
use std::sync::Arc;
use std::time::Duration;

/// A master that was not heard of for so long is not called alive.
const ALIVE: Duration = Duration::from_secs(1);
/// Entries that a master may lack when it is given a vote: what is agreed upon in some milliseconds.
const BEHIND: u64 = 256;
/// How long another master has to take the lead over before an operator is told that it did not.
const TAKE_OVER: Duration = Duration::from_secs(5);
/// Between two tries to be taken in.
const AGAIN: Duration = Duration::from_millis(250);

/// Answers about the masters, and changes them.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) asks: Asks,
    pub(crate) standing: Standing,
    pub(crate) cluster: Arc<str>,
    /// In which this master leads, if it does.
    pub(crate) term: u64,
}

impl Membership {
    /// Returns if this master leads, at least until it was asked.
    ///
    /// # Errors
    /// It does not, or cannot know.
    pub(crate) async fn surely_lead(&self) -> Result<(), Refusal> {
        self.asks.surely_lead(self.term).await.map_err(|failure| {
            let message = format!("it is not certain that this master still leads: {failure}");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
        })
    }

    /// Answers the call, if it is about the masters. Only one that leads is asked.
    ///
    /// # Errors
    /// Why it is not done.
    pub(crate) async fn answer(&self, call: &Call) -> Result<Option<Response>, Refusal> {
        Ok(Some(match call {
            Call::GetMasters => {
                self.surely_lead().await?;
                Response::Masters(self.masters())
            }
            Call::AddMaster { id, address } => {
                self.add(member(*id)?, address).await?;
                Response::Ok
            }
            Call::RemoveMaster(id) => {
                self.remove(member(*id)?).await?;
                Response::Ok
            }
            Call::TransferLead(to) => {
                self.transfer(to.map(member).transpose()?).await?;
                Response::Ok
            }
            _ => return Ok(None),
        }))
    }

    fn masters(&self) -> Masters {
        let status = self.standing.status();
        let view = |id: MemberId| {
            let own = id == status.id;
            let address = status.members.addresses.get(&id).map(String::as_str);
            MasterView {
                id: id.get(),
                address: Arc::from(match own {
                    true => self.standing.authority(),
                    false => address.unwrap_or_default(),
                }),
                voting: status.members.voters.contains(&id),
                leading: status.leader == Some(id),
                alive: own || status.heard.get(&id).is_some_and(|ago| *ago < ALIVE),
                // Before its first word in this term nothing is known.
                matched: status.matched.get(&id).copied().filter(|matched| *matched > 0),
            }
        };
        Masters {
            cluster: Arc::clone(&self.cluster),
            term: status.term,
            commit: status.commit,
            masters: status.members.all().into_iter().map(view).collect(),
        }
    }

    /// Takes a master in, or notes that it is found elsewhere from now on.
    async fn add(&self, member: MemberId, address: &str) -> Result<(), Refusal> {
        if !grpc::is_address(address) {
            return Err(Refusal::bad_request(format!(
                "'{address}' is no address of a master: HOST:PORT is needed, which the others can \
                 reach"
            )));
        }
        let status = self.standing.status();
        let at = |id: &MemberId| status.members.addresses.get(id).map(String::as_str);
        if at(&member) == Some(address) {
            return Ok(());
        }
        let all = status.members.all();
        if let Some(other) = all.iter().find(|other| at(other) == Some(address)) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!(
                    "master {other} is at {address} already: should it be gone for ever, remove it \
                     first (tepui master replace {other})"
                ),
            ));
        }
        let address = address.to_owned();
        let change = match all.contains(&member) {
            true => Change::Readdress { member, address },
            false => Change::AddLearner { member, address },
        };
        self.change(change).await
    }

    async fn remove(&self, member: MemberId) -> Result<(), Refusal> {
        let Status { members, id, .. } = self.standing.status();
        if !members.contains(member) {
            let message = format!("no master has the id {member}: see 'tepui master list'");
            return Err(Refusal::new(StatusCode::NOT_FOUND, message));
        }
        if members.voters.len() == 1 && members.voters.contains(&member) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                format!("master {member} is the only one: to end a cluster, stop its master"),
            ));
        }
        if member == id {
            // Who is removed cannot say that it is done.
            self.transfer(None).await?;
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("master {member} led and has handed over: ask the one that leads now"),
            ));
        }
        self.change(Change::Remove { member }).await
    }

    async fn transfer(&self, to: Option<MemberId>) -> Result<(), Refusal> {
        let status = self.standing.status();
        if to == Some(status.id) {
            return Ok(());
        }
        if let Some(to) = to
            && !status.members.voters.contains(&to)
        {
            return Err(unknown(to));
        }
        if status.members.voters.len() < 2 {
            let alone = "this master is the only one: there is nobody to take the lead over";
            return Err(Refusal::new(StatusCode::CONFLICT, alone));
        }
        self.asks.transfer(to).await.map_err(refused)?;
        match tokio::time::timeout(TAKE_OVER, self.standing.follows()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("nobody took the lead over within {TAKE_OVER:?}: see 'tepui master list'"),
            )),
        }
    }

    async fn change(&self, change: Change) -> Result<(), Refusal> {
        self.asks.change(vec![change]).await.map(|_| ()).map_err(refused)
    }

    /// What the one that leads does by itself, for as long as it leads: gives a vote to those that
    /// have the log by now, and has itself found where it is.
    pub(crate) async fn tend(&self) {
        let mut status = self.standing.watch();
        loop {
            let due = due(&status.borrow_and_update(), self.standing.authority());
            if let Some(change) = due {
                tracing::info!(?change, "the masters change");
                if let Err(failure) = self.asks.change(vec![change]).await {
                    tracing::info!(%failure, "the masters do not change yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    /// What one that does not lead does by itself: has itself taken in where it is none of the
    /// masters yet, and found where it is. `seeds` are masters to ask as long as it knows none.
    pub(crate) async fn announce(&self, seeds: &[String]) {
        let mut status = self.standing.watch();
        let mut seed = 0;
        loop {
            let known = self.standing.leader_elsewhere();
            let lacks = lacks(&status.borrow_and_update(), self.standing.authority());
            let at = known.or_else(|| seeds.get(seed % seeds.len().max(1)).cloned());
            match at {
                Some(at) if lacks => {
                    if let Err(reason) = self.ask_in(&at).await {
                        tracing::info!(at, reason, "not taken in yet");
                        seed += 1;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                _ if status.changed().await.is_err() => return,
                _ => {}
            }
        }
    }

    async fn ask_in(&self, at: &str) -> Result<(), String> {
        let id = self.standing.status().id.get();
        let address = Arc::from(self.standing.authority());
        ask(at, Call::AddMaster { id, address }).await.map(|_| ())
    }
}

/// Asks the master at an address, or the one that leads if that names another.
async fn ask(at: &str, call: Call) -> Result<Response, String> {
    let asked = OperatorClient::at_leader([at], &ClientOptions::default(), &call).await;
    asked.map(|(_, response)| response).map_err(|error| error.to_string())
}

/// The cluster whose masters are at these addresses: the first one that answers says.
///
/// # Errors
/// `Join`.
pub(crate) async fn cluster_of(addresses: &[String]) -> Result<String, Error> {
    let mut reason = String::new();
    for at in addresses {
        match ask(at, Call::GetMasters).await {
            Ok(Response::Masters(masters)) => return Ok(masters.cluster.to_string()),
            Ok(_) => "it answered something else".clone_into(&mut reason),
            Err(error) => reason = error,
        }
    }
    Err(Error::Join { addresses: addresses.to_vec(), reason })
}

/// What the one that leads has to change next.
fn due(status: &Status, authority: &str) -> Option<Change> {
    if status.role != Role::Leader {
        return None;
    }
    let own = status.members.addresses.get(&status.id).map(String::as_str);
    if own != Some(authority) {
        return Some(Change::Readdress { member: status.id, address: authority.to_owned() });
    }
    let has_log = |learner: &&MemberId| {
        let matched = status.matched.get(learner).copied().unwrap_or(0);
        let alive = status.heard.get(learner).is_some_and(|ago| *ago < ALIVE);
        alive && matched > 0 && matched + BEHIND >= status.last
    };
    let ready = status.members.learners.iter().find(has_log);
    ready.map(|member| Change::Promote { member: *member })
}

/// Whether this master is none of the group yet, or is not looked for where it is. One that was
/// taken out knows members without itself, and does not ask to be one again.
fn lacks(status: &Status, authority: &str) -> bool {
    let known = status.members.addresses.get(&status.id).map(String::as_str);
    let was_one = status.members.contains(status.id) || status.members.all().is_empty();
    status.role != Role::Leader && was_one && known != Some(authority)
}

fn member(id: u64) -> Result<MemberId, Refusal> {
    MemberId::new(id).ok_or_else(|| Refusal::bad_request("no master has the id 0"))
}

fn unknown(member: MemberId) -> Refusal {
    let message = format!("no master that votes has the id {member}: see 'tepui master list'");
    Refusal::new(StatusCode::NOT_FOUND, message)
}

fn refused(failure: Failure) -> Refusal {
    let status = match &failure {
        Failure::Refused(NotDone::Change(_) | NotDone::ChangeUnderWay) => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, failure.to_string())
}

#[cfg(test)]
mod tests;
