//! Three masters of which the leading one is killed: how long until offers flow again at a
//! framework, and until all agents are back; and how long that takes after all were away.
//!
//! Agents and the framework are simulated, each with a connection of its own, and look for the
//! leader as real ones do: they know all addresses, follow redirects at once, and wait longer and
//! longer, by chance, while nobody takes them. How much of it is the election of another leader is
//! timed beside it, by what the masters say of themselves.

use crate::master::{Master, free_address};
use crate::stats::percentile;
use grpc::{AgentLinkClient, ClientOptions, Duplex, SchedulerClient};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resources};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// Agents, if no number is given.
const AGENTS: u32 = 1_000;
/// Times that the leader is killed.
const KILLS: usize = 30;
/// Times with so many agents that each takes seconds.
const MANY: u32 = 5_000;
const FEWER_KILLS: usize = 10;
/// Times that all are.
const OUTAGES: usize = 3;
/// The first pause of an agent, and of a framework, doubled each time; and the longest one.
const AGENT_PAUSE: Duration = Duration::from_millis(100);
const FRAMEWORK_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Redirects in a row that are followed at once.
const REDIRECTS: u32 = 3;
/// Nothing takes longer.
const BOUND: Duration = Duration::from_secs(120);

/// What agents and the framework have seen.
#[derive(Default)]
struct Seen {
    there: Cell<u32>,
    offers: Cell<Option<Instant>>,
    news: Notify,
}

impl Seen {
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(BOUND, wait).await.expect("agents and framework find the leader");
    }
}

/// Prints seconds.
pub(crate) fn run(agents: Option<u32>) {
    let agents = agents.unwrap_or(AGENTS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime starts"), async {
        let mut masters = three();
        let addresses: Rc<Vec<String>> =
            Rc::new(masters.iter().map(|m| m.address.clone()).collect());
        let seen = Rc::<Seen>::default();
        for n in 0..agents {
            tokio::task::spawn_local(agent(n, Rc::clone(&addresses), Rc::clone(&seen)));
        }
        tokio::task::spawn_local(framework(Rc::clone(&addresses), Rc::clone(&seen)));
        seen.until(|seen| seen.there.get() == agents && seen.offers.get().is_some()).await;
        println!("three masters, {agents} agents with a connection each:");
        let mut kills = Kills::default();
        for _ in 0..if agents < MANY { KILLS } else { FEWER_KILLS } {
            kills.one(&mut masters, &seen, agents).await;
        }
        kills.print();
        outages(&mut masters, &seen, agents).await;
    });
}

/// Three masters that vote.
pub(crate) fn three() -> Vec<Master> {
    let mut masters = vec![Master::start(&["--agent-timeout", "60"])];
    let first = masters[0].address.clone();
    for _ in 2..=3 {
        masters.push(Master::join(&free_address(), &first, &["--agent-timeout", "60"]));
        joined(&masters);
    }
    masters
}

/// Returns once all of them say that they are so many.
pub(crate) fn joined(masters: &[Master]) {
    let begin = Instant::now();
    let count = masters.len();
    while !masters.iter().all(|m| health(&m.address).is_some_and(|h| h["masters"] == count)) {
        assert!(begin.elapsed() < BOUND, "the masters do not agree");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a master says of itself.
pub(crate) fn health(address: &str) -> Option<serde_json::Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

fn leads(address: &str) -> bool {
    health(address).is_some_and(|health| health["role"] == "leader")
}

/// Seconds from each kill.
#[derive(Default)]
struct Kills {
    elected: Vec<f64>,
    offers: Vec<f64>,
    back: Vec<f64>,
}

impl Kills {
    async fn one(&mut self, masters: &mut [Master], seen: &Rc<Seen>, agents: u32) {
        let leader = masters.iter().position(|master| leads(&master.address));
        let leader = leader.expect("one of them leads");
        let others = masters.iter().enumerate().filter(|(at, _)| *at != leader);
        let others: Vec<String> = others.map(|(_, master)| master.address.clone()).collect();
        let begin = Instant::now();
        masters[leader].kill();
        seen.offers.set(None);
        let watch = std::thread::spawn(move || {
            while !others.iter().any(|other| leads(other)) {
                std::thread::sleep(Duration::from_millis(2));
            }
            begin.elapsed()
        });
        seen.until(|seen| seen.there.get() < agents).await;
        seen.until(|seen| seen.offers.get().is_some()).await;
        let offers = seen.offers.get().expect("they came");
        self.offers.push(offers.duration_since(begin).as_secs_f64());
        seen.until(|seen| seen.there.get() == agents).await;
        self.back.push(begin.elapsed().as_secs_f64());
        self.elected.push(watch.join().expect("it only watches").as_secs_f64());
        masters[leader].start_again();
        let address = masters[leader].address.clone();
        let follows = |health: serde_json::Value| health["leader"].is_string();
        while !health(&address).is_some_and(follows) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn print(&self) {
        println!("  leader killed (SIGKILL), {} times:", self.offers.len());
        for (what, times) in [
            ("another one says that it leads", &self.elected),
            ("offers flow at the framework", &self.offers),
            ("all agents are back", &self.back),
        ] {
            println!(
                "    {what}: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, worst {:.2} s",
                percentile(times, 0.5),
                percentile(times, 0.9),
                percentile(times, 0.99),
                percentile(times, 1.0)
            );
        }
    }
}

/// All masters are killed, and started again at once.
async fn outages(masters: &mut [Master], seen: &Rc<Seen>, agents: u32) {
    let mut times = Vec::new();
    for _ in 0..OUTAGES {
        masters.iter_mut().for_each(Master::kill);
        seen.offers.set(None);
        seen.until(|seen| seen.there.get() == 0).await;
        let begin = Instant::now();
        masters.iter_mut().for_each(Master::start_again);
        seen.until(|seen| seen.there.get() == agents && seen.offers.get().is_some()).await;
        times.push(begin.elapsed().as_secs_f64());
    }
    println!(
        "  all masters killed, from their exec until all agents are back and offers flow: p50 {:.2} s, worst {:.2} s ({OUTAGES} times)",
        percentile(&times, 0.5),
        percentile(&times, 1.0)
    );
}

/// Where somebody who looks for the leader goes next, and when.
struct Search {
    masters: Rc<Vec<String>>,
    next: usize,
    leader: Option<String>,
    redirects: u32,
    failures: u32,
    first: Duration,
    chance: u64,
}

impl Search {
    fn new(masters: Rc<Vec<String>>, n: u32, first: Duration) -> Self {
        let (leader, redirects, failures) = (None, 0, 0);
        let chance = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
        Self { masters, next: n as usize, leader, redirects, failures, first, chance }
    }

    fn address(&mut self) -> String {
        self.leader.take().unwrap_or_else(|| {
            self.next += 1;
            self.masters[self.next % self.masters.len()].clone()
        })
    }

    /// Waits, if it must.
    async fn failed(&mut self, leader: Option<&str>) {
        if let Some(leader) = leader.filter(|_| self.redirects < REDIRECTS) {
            self.leader = Some(leader.to_owned());
            self.redirects += 1;
            return;
        }
        self.redirects = 0;
        let most = self.first.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        // As xorshift has it.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        tokio::time::sleep(most.mul_f64((self.chance % 1_000) as f64 / 1_000.0)).await;
    }
}

/// One agent, for ever.
async fn agent(n: u32, masters: Rc<Vec<String>>, seen: Rc<Seen>) {
    let mut search = Search::new(masters, n, AGENT_PAUSE);
    let id = RefCell::new(None);
    let options = ClientOptions::default();
    loop {
        let at = search.address();
        match AgentLinkClient::connect::<AgentEvent>(&at, &options).await {
            Ok(stream) => {
                if live(n, stream, &id, &seen).await {
                    (search.failures, search.redirects) = (0, 0);
                    seen.there.set(seen.there.get() - 1);
                    seen.news.notify_waiters();
                }
                search.failed(None).await;
            }
            Err(error) => search.failed(error.leader()).await,
        }
    }
}

/// Until its stream ends; says whether the master took it.
async fn live(
    n: u32,
    mut stream: Duplex<AgentCall, AgentEvent>,
    id: &RefCell<Option<AgentId>>,
    seen: &Seen,
) -> bool {
    let info = AgentInfo {
        id: id.borrow().clone(),
        hostname: Arc::from(format!("agent-{n:05}.example.org")),
        port: 5051,
        resources: Resources::cpus_mem(24_000, 98_304_000),
        attributes: Vec::new(),
        domain: None,
    };
    let version = Arc::from("1");
    let call = match &info.id {
        None => AgentCall::Register { info, version, nonce: u64::from(n) },
        Some(_) => AgentCall::Reregister {
            info,
            version,
            tasks: Vec::new(),
            frameworks: Vec::new(),
            executors: Vec::new(),
        },
    };
    let mut is_there = false;
    let mut say = Some(call);
    loop {
        if let Some(call) = say.take()
            && stream.sender.send(call).await.is_err()
        {
            return is_there;
        }
        match stream.incoming.next().await {
            Ok(Some(AgentEvent::Ping { sequence })) => say = Some(AgentCall::Pong { sequence }),
            Ok(Some(AgentEvent::Registered { agent_id, .. }))
            | Ok(Some(AgentEvent::Reregistered { agent_id, .. })) => {
                *id.borrow_mut() = Some(agent_id);
                if !is_there {
                    is_there = true;
                    seen.there.set(seen.there.get() + 1);
                    seen.news.notify_waiters();
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return is_there,
        }
    }
}

/// The framework, for ever: it keeps all offers.
async fn framework(masters: Rc<Vec<String>>, seen: Rc<Seen>) {
    let mut search = Search::new(masters, 0, FRAMEWORK_PAUSE);
    let options = ClientOptions::default();
    let mut id: Option<FrameworkId> = None;
    loop {
        let at = search.address();
        let mut stream = match SchedulerClient::connect(&at, &options).await {
            Ok(stream) => stream,
            Err(error) => {
                search.failed(error.leader()).await;
                continue;
            }
        };
        let framework_info = FrameworkInfo {
            id: id.clone(),
            failover_timeout: Duration::from_secs(3_600),
            ..FrameworkInfo::new("root", "bench")
        };
        let subscribe = Subscribe {
            framework_info,
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
            fence: None,
        };
        let body = CallBody::Subscribe(Box::new(subscribe));
        // Should the stream be gone, the next line tells.
        let _ = stream.sender.send(Call { framework_id: id.clone(), body }).await;
        while let Ok(Some(event)) = stream.incoming.next().await {
            match event {
                Event::Subscribed { framework_id, .. } => {
                    id = Some(framework_id);
                    (search.failures, search.redirects) = (0, 0);
                }
                Event::Offers(_) if seen.offers.get().is_none() => {
                    seen.offers.set(Some(Instant::now()));
                    seen.news.notify_waiters();
                }
                _ => {}
            }
        }
        search.failed(None).await;
    }
}
