//! How this master stands among the masters: what it leads or whom it follows, for people, monitors
//! and those who look for the leader.

use ::registrar::{MemberId, Role, Status};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A leader that was not heard of for so long may be gone: five of its signs of life are missing.
const SILENT: Duration = Duration::from_millis(250);

/// What is the matter with one that was taken out and whom nobody told yet.
const REMOVED: &str = "this master was taken out of the group: it ends by itself once the other \
     masters say so, and waits until it hears of them";

/// How this master stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    status: watch::Receiver<Status>,
    /// `HOST:PORT` under which others reach this master.
    authority: Arc<str>,
    /// Why it does not lead though it is its turn.
    problem: Arc<Mutex<Option<String>>>,
}

impl Standing {
    pub(crate) fn new(status: watch::Receiver<Status>, authority: &str) -> Self {
        Self { status, authority: Arc::from(authority), problem: Arc::default() }
    }

    /// Of a master that is none.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        let id = MemberId::new(1).expect("one is not zero");
        let status = Status {
            id,
            role: Role::Follower,
            leader: None,
            term: 0,
            commit: 0,
            applied: 0,
            first: 0,
            last: 0,
            snapshot: 0,
            forgot: false,
            members: ::registrar::Members::default(),
            removed: false,
            matched: std::collections::BTreeMap::new(),
            heard: std::collections::BTreeMap::new(),
            handing_to: None,
        };
        Self::new(watch::Sender::new(status).subscribe(), "nowhere:1")
    }

    /// `HOST:PORT` under which others reach this master.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Why this master does not lead though it is its turn, if that is so. Says whether that is new.
    pub(crate) fn set_problem(&self, problem: Option<String>) -> bool {
        let mut place = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = place.is_none() && problem.is_some();
        *place = problem;
        is_new
    }

    /// As it was set.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the member stands; changes are to be waited for.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Returns once this master does not lead.
    pub(crate) async fn follows(&self) {
        // A member that ended leads no more either.
        let _ = self.watch().wait_for(|now| now.role != Role::Leader).await;
    }

    pub(crate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Where the leader is, if it is another master and known.
    pub(crate) fn leader_elsewhere(&self) -> Option<String> {
        elsewhere(&self.status.borrow())
    }

    /// Returns once another master is known to lead: where it is.
    pub(crate) async fn followed(&self) -> String {
        let mut status = self.status.clone();
        let known = status.wait_for(|status| elsewhere(status).is_some()).await;
        match known.ok().and_then(|status| elsewhere(&status)) {
            Some(leader) => leader,
            // The member ended, and soon the process does.
            None => std::future::pending().await,
        }
    }

    /// For `/health`: whoever answers is alive, whatever part it plays.
    pub(crate) fn health(&self) -> Value {
        let status = self.status.borrow();
        let leader = match status.role {
            Role::Leader => Some(self.authority.to_string()),
            Role::Candidate | Role::Follower => elsewhere(&status),
        };
        json!({
            "role": role_name(status.role),
            "leader": leader,
            "member": status.id.to_string(),
            "masters": status.members.voters.len(),
            "term": status.term,
            "commit": status.commit,
            "applied": status.applied,
            "lag": status.commit.saturating_sub(status.applied),
            "problem": self.problem().or_else(|| status.removed.then(|| REMOVED.to_owned())),
        })
    }
}

/// The part it plays, as people and labels have it.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Candidate => "candidate",
        Role::Follower => "follower",
    }
}

/// Where the leader is, if another one leads and is not silent: nobody is sent to where nobody
/// answers, but waits for the next leader.
fn elsewhere(status: &Status) -> Option<String> {
    let is_silent = |leader: &MemberId| status.heard.get(leader).is_none_or(|ago| *ago > SILENT);
    let of = |leader: MemberId| status.members.addresses.get(&leader).cloned();
    let leader = status.leader.filter(|leader| *leader != status.id && !is_silent(leader));
    leader.and_then(of).filter(|address| !address.is_empty())
}
