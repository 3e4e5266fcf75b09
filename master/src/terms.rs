//! The life of a master: it takes part in the registry's group from its start to its end, and has a
//! core only while it leads there.
//!
//! Each time it begins to lead, a new core is made from the registry. When it leads no more, that
//! core goes, and with it all that waited for the registry, and the streams of agents and
//! frameworks: they find the one that leads now. Nothing is carried over from one term to the next.

use crate::connections::Streams;
use crate::front::Front;
use crate::http::follow::{self, Following};
use crate::http::{About, Context, Stale};
use crate::listen::{AcceptLimits, Accepting, AgentServers, accept, places};
use crate::logging::Logging;
use crate::membership::{self, Membership};
use crate::reads::{ReadLimits, Reads};
use crate::registrar::{Member, RegistrarError};
use crate::server::{Elsewhere, Server};
use crate::standing::Standing;
use crate::{Config, Error, http, link};
use ::registrar::{Role, Status};
use axum::Router;
use clock::Clock;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// How long another member has to take over from one that stops.
const HAND_OVER: Duration = Duration::from_secs(2);
/// Between two tries to begin a term, where the first one failed though nobody else leads.
const AGAIN: Duration = Duration::from_millis(500);

/// Runs a master on `listener` until `shutdown`: a member of the group that keeps the registry, and
/// the cluster's master while that member leads.
///
/// # Errors
/// Why it does not start; or that its facts cannot be made durable any more, so that it must end.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future,
) -> Result<(), Error> {
    config.check()?;
    let address = listener
        .local_addr()
        .map_err(|source| Error::Listen { address: "the given socket".to_owned(), source })?;
    let authority = format!("{}:{}", config.hostname, address.port());
    let joined = cluster_to_join(&config).await?;
    let member = Member::open(&config, &authority, joined.as_deref())?;
    let master = Arc::new(Process::new(config, address, &member, &authority));
    let accepting = Accepting {
        front: master.front.clone(),
        members: member.runtime().clone(),
        only_members: Front::new(|_| master.members.clone()),
        agents: Arc::clone(&master.agents),
    };
    let limits = AcceptLimits {
        max_connections: places(master.config.max_connections),
        request_timeout: master.config.request_timeout,
        idle_timeout: master.config.idle_timeout,
        callers: master.config.callers,
    };
    tracing::info!(%address, member = %member.id(), "master serving");
    let mut serving = pin!(async {
        tokio::select! {
            result = master.terms(&member) => result,
            () = accept(listener, limits, accepting) => Ok(()),
            // It ends only with the member.
            () = master.following.membership.announce(&master.config.join) => Err(member.end().into()),
        }
    });
    let ended = tokio::select! {
        result = &mut serving => Some(result),
        _ = shutdown => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            tracing::info!("master stopping");
            // Others hear of it through the streams that are still served.
            tokio::select! {
                result = serving => result,
                () = hand_over(&member) => Ok(()),
            }
        }
    };
    match result {
        Err(Error::Registry(error)) if error.is_removal() => {
            tracing::warn!(
                "this master was taken out for ever: its data directory can be deleted, and with \
                 a new one it can join again"
            );
            Ok(())
        }
        result => result,
    }
}

/// The cluster that this master is to join, if it is none of its members yet.
async fn cluster_to_join(config: &Config) -> Result<Option<String>, Error> {
    if config.join.is_empty() || Member::exists(config)? {
        return Ok(None);
    }
    membership::cluster_of(&config.join).await.map(Some)
}

/// Has another member lead, if there is one.
async fn hand_over(member: &Member) {
    let mut status = member.status();
    let is_alone = |now: &Status| now.role != Role::Leader || now.members.voters.len() < 2;
    if is_alone(&status.borrow()) {
        return;
    }
    // It fails only where the member has ended.
    let _ = member.asks().transfer(None).await;
    let handed = status.wait_for(|now| now.role != Role::Leader);
    match tokio::time::timeout(HAND_OVER, handed).await {
        Ok(_) => tracing::info!("the lead was handed over"),
        Err(_) => tracing::warn!(after = ?HAND_OVER, "nobody took the lead over"),
    }
}

/// What there is of a master whatever part it plays.
struct Process {
    config: Arc<Config>,
    address: SocketAddr,
    clock: Clock,
    front: Front,
    following: Following,
    /// What every master answers to other members.
    members: Router,
    agents: Arc<AgentServers>,
}

impl Process {
    fn new(config: Config, address: SocketAddr, member: &Member, authority: &str) -> Self {
        let (clock, config) = (Clock::start(), Arc::new(config));
        let following = Following {
            membership: Membership {
                asks: member.asks(),
                standing: Standing::new(member.status(), authority),
                cluster: Arc::clone(member.cluster_id()),
                term: 0,
            },
            counts: Arc::default(),
            logging: Logging::new(config.log.clone()),
            stale: Stale::new(Arc::clone(&config), address, clock, member.asks()),
            started: clock.started(),
            version: config.options.version.clone(),
        };
        let members = Router::new().route_service(::registrar::PATH, member.service());
        let follower = |front| follow::router(following.clone(), front).merge(members.clone());
        let front = Front::new(follower);
        Self { front, config, address, clock, following, members, agents: Arc::default() }
    }

    /// One term after the other, for as long as the member lives.
    async fn terms(&self, member: &Member) -> Result<(), Error> {
        let mut status = member.status();
        loop {
            let leads = status.wait_for(|now| now.role == Role::Leader).await;
            let Ok(term) = leads.map(|now| now.term) else { return Err(member.end().into()) };
            let result = self.term(member, term).await;
            let follower = follow::router(self.following.clone(), self.front.clone());
            self.front.follow(follower.merge(self.members.clone()));
            match result {
                Ok(()) => {
                    self.following.membership.standing.set_problem(None);
                    tracing::info!(term, "this master leads no more");
                }
                Err(error) if error.is_lost_lead() => {
                    let problem = error.to_string();
                    if self.following.membership.standing.set_problem(Some(problem)) {
                        tracing::warn!(term, %error, "this master cannot lead");
                    }
                    // Where it still leads in the group, the reason is its own disk.
                    if tokio::time::timeout(AGAIN, over(member.status(), term)).await.is_ok() {
                        self.following.membership.standing.set_problem(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One term: a core from the registry as it is, until the member leads no more.
    async fn term(&self, member: &Member, term: u64) -> Result<(), RegistrarError> {
        let config = &self.config;
        let opened = tokio::select! {
            opened = member.lead(config, term) => opened?,
            () = over(member.status(), term) => return Ok(()),
        };
        let (inbox, messages) = mpsc::channel(config.inbox);
        let limits = ReadLimits { at_a_time: config.reads, wait: config.read_wait };
        let (reads, feed) =
            Reads::start(config.options.completed_tasks, config.cut_off_grace, limits)
                .map_err(RegistrarError::Thread)?;
        let about = About::new(config, self.address, &opened, self.clock.started());
        let elsewhere = Elsewhere {
            http: Arc::clone(&self.following.counts),
            reads: reads.counts(),
            agents: Arc::clone(&self.agents),
            standing: self.following.membership.standing.clone(),
        };
        let operators = reads.runtime().clone();
        let streams = Arc::new(Streams::default());
        let context = Context::new(config, about, inbox, streams, reads, &self.following, term);
        let router = http::router(context.clone()).merge(link::router(context));
        let mut server = Server::new(config, self.address, opened, self.clock, feed, elsewhere);
        self.following.membership.standing.set_problem(None);
        self.front.lead(router.merge(self.members.clone()), operators);
        tracing::info!(term, "this master leads");
        tokio::select! {
            // Who leads no more says nothing more.
            biased;
            () = over(member.status(), term) => Ok(()),
            result = server.serve(messages) => result,
            // It ends only with the member.
            () = self.following.membership.tend() => Err(member.end()),
        }
    }
}

/// Returns once the member does not lead in `term` any more.
async fn over(mut status: watch::Receiver<Status>, term: u64) {
    // A member that ended leads no more either.
    let _ = status.wait_for(|now| now.role != Role::Leader || now.term != term).await;
}
