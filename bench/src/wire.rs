//! Offers delivered and declined over gRPC, a second: frameworks of this process, simulated
//! agents, and a real master.
//!
//! An offer counts once its framework has it and the master has taken its DECLINE (the master's
//! own count). Each framework has a connection of its own, and declines what one OFFERS event
//! brought in one call without a filter, so all of it is offered again at once: offers are always
//! out, and nothing waits for a clock. Of an offer it reads the id. Before and after each size, the
//! floor: messages of the same sizes, as many of them under way, echoed by the same gRPC layer with
//! no master behind it.

use crate::cpu::{self, Used};
use crate::crowd::Crowd;
use crate::lean;
use crate::master::Master;
use crate::plain::{Plain, listening};
use crate::raw::Raw;
use crate::stats::{growth_exponent, median};
use grpc::{ClientOptions, Connection, Duplex};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{Encoding, FrameworkInfo, Wire};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// How long one run counts, how many there are, and what goes before them.
const RUN: Duration = Duration::from_secs(1);
const RUNS: usize = 5;
/// Of the floor, before ours and again after it.
const FLOOR_RUNS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(700);

/// Agents, with as many frameworks as there are at the most; and frameworks, with as many agents.
const AGENTS: [u32; 4] = [1_250, 2_500, 5_000, 10_000];
const FRAMEWORKS: [usize; 4] = [125, 250, 500, 1_000];

/// What all frameworks have seen.
#[derive(Default)]
struct Seen {
    events: Cell<u64>,
    offers: Cell<u64>,
    /// The bytes of these events, and of the calls that declined them.
    bytes: Cell<(u64, u64)>,
}

/// Prints offers a second; with numbers of agents and of frameworks for those alone.
pub(crate) fn run(only: Option<(u32, usize)>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime starts"), async {
        println!("offers delivered and declined over gRPC (medians of {RUNS} runs):");
        let master = Master::start(&["--agent-timeout", "3600"]);
        listening(&master.address).await;
        let crowd = Crowd::new(0);
        match only {
            Some((agents, frameworks)) => {
                crowd.grow(&master.address, agents).await;
                point(&master, agents, frameworks).await.print_times();
            }
            None => grow(&master, &crowd).await,
        }
        println!("  memory of the master: {:.1} MB", master.resident() as f64 / 1e6);
    });
}

/// More and more agents for all frameworks, and then more and more frameworks for all agents.
async fn grow(master: &Master, crowd: &Rc<Crowd>) {
    let [.., most] = FRAMEWORKS;
    let mut by_agents = Growth::default();
    for agents in AGENTS {
        crowd.grow(&master.address, agents).await;
        let figures = point(master, agents, most).await;
        by_agents.add(f64::from(agents), &figures);
        if agents == crowd_of_all() {
            figures.print_times();
        }
    }
    let mut by_frameworks = Growth::default();
    for count in FRAMEWORKS {
        let figures = point(master, crowd_of_all(), count).await;
        by_frameworks.add(count as f64, &figures);
    }
    by_agents.print("agents");
    by_frameworks.print("frameworks");
}

fn crowd_of_all() -> u32 {
    let [.., all] = AGENTS;
    all
}

/// What one offer took at each size, of ours and of the floor.
#[derive(Default)]
struct Growth {
    ours: Vec<(f64, f64)>,
    floor: Vec<(f64, f64)>,
}

impl Growth {
    fn add(&mut self, size: f64, figures: &Figures) {
        self.ours.push((size, 1.0 / figures.rate));
        self.floor.push((size, 1.0 / figures.floor()));
    }

    fn print(&self, over: &str) {
        println!(
            "  growth of the time of one offer over {over}: {:.2}; of the floor {:.2}",
            growth_exponent(&self.ours),
            growth_exponent(&self.floor)
        );
    }
}

/// Floor, ours, floor. What the floor's messages are like is seen in a short run before.
async fn point(master: &Master, agents: u32, frameworks: usize) -> Figures {
    let seen = self::frameworks(master, frameworks, 1).await;
    let before = seen.echo().await;
    let mut figures = self::frameworks(master, frameworks, RUNS).await;
    let after = figures.echo().await;
    figures.floors = [before, after];
    figures.print(agents, frameworks);
    figures
}

/// What was measured with one number of agents and of frameworks.
struct Figures {
    /// Offers a second, of each run.
    rates: Vec<f64>,
    rate: f64,
    /// Offers in one event.
    batch: f64,
    /// Bytes of an offer in an event, and of its part in the call.
    bytes: (f64, f64),
    /// Processor time in the runs by thread, and the offers of all runs.
    master: Used,
    clients: Used,
    offers: f64,
    frameworks: usize,
    /// Offers a second, before and after.
    floors: [f64; 2],
}

/// Subscribes so many frameworks, lets them decline, and ends them.
async fn frameworks(master: &Master, count: usize, runs: usize) -> Figures {
    let seen = Rc::new(Seen::default());
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(tokio::task::spawn_local(decline(master.address.clone(), Rc::clone(&seen))));
    }
    tokio::time::sleep(WARM_UP).await;
    while seen.offers.get() == 0 {
        tokio::time::sleep(WARM_UP).await;
    }
    let threads = || (cpu::of_threads(master.pid()), cpu::of_threads(std::process::id()));
    let (before, seen_before) = (threads(), (seen.events.get(), seen.offers.get()));
    let declined = || master.metrics()["tepui_master_offers_total{outcome=\"declined\"}"];
    let (mut rates, mut offers) = (Vec::new(), 0.0);
    let (mut begin, mut was) = (Instant::now(), declined());
    for _ in 0..runs {
        tokio::time::sleep(RUN).await;
        let (end, is) = (Instant::now(), declined());
        rates.push((is - was) / (end - begin).as_secs_f64());
        offers += is - was;
        (begin, was) = (end, is);
    }
    let after = threads();
    let events = seen.events.get() - seen_before.0;
    for framework in all {
        framework.abort();
    }
    let (down, up) = seen.bytes.get();
    let part = |bytes: u64| bytes as f64 / seen.offers.get() as f64;
    Figures {
        rate: median(&rates),
        rates,
        batch: (seen.offers.get() - seen_before.1) as f64 / events as f64,
        bytes: (part(down), part(up)),
        master: cpu::between(&before.0, &after.0),
        clients: cpu::between(&before.1, &after.1),
        offers,
        frameworks: count,
        floors: [f64::NAN; 2],
    }
}

impl Figures {
    fn print(&self, agents: u32, frameworks: usize) {
        let most = self.rates.iter().copied().fold(f64::NAN, f64::max);
        let least = self.rates.iter().copied().fold(f64::NAN, f64::min);
        let [before, after] = self.floors;
        println!(
            "  {agents:>6} agents, {frameworks:>5} frameworks: floor {before:.0}/s, ours {:.0}/s ({least:.0} to {most:.0}), floor {after:.0}/s: {:.2} of the floor; {:.1} offers an event",
            self.rate,
            self.rate / self.floor(),
            self.batch
        );
    }

    fn floor(&self) -> f64 {
        self.floors.iter().sum::<f64>() / 2.0
    }

    fn print_times(&self) {
        println!(
            "  an offer has {:.0} bytes, its decline {:.0}; processor time of one, in microseconds:",
            self.bytes.0, self.bytes.1
        );
        for (what, used) in [("master", &self.master), ("frameworks", &self.clients)] {
            for (thread, seconds) in used {
                let micros = seconds * 1e6 / self.offers;
                if micros >= 0.01 {
                    println!("    {what:<11} {thread:<16} {micros:>6.2}");
                }
            }
        }
    }

    /// Offers a second of the floor: events of as many bytes, answered with calls of as many.
    async fn echo(&self) -> f64 {
        let batch = self.batch.max(1.0).round();
        let (answer, call) = ((self.bytes.0 * batch) as u32, (self.bytes.1 * batch) as usize);
        echo(self.frameworks, answer, call).await * batch
    }
}

/// One framework, until it is dropped.
async fn decline(master: String, seen: Rc<Seen>) {
    let options = ClientOptions { queue: 4, ..ClientOptions::default() };
    let connection = Connection::open(&master, &options).await.expect("the master listens");
    let opened = connection.stream::<Raw, Raw>(grpc::SCHEDULER_PATH).await;
    let Duplex { sender, mut incoming, .. } = opened.expect("the master takes frameworks");
    let subscribe = Subscribe {
        framework_info: FrameworkInfo::new("root", "bench"),
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
        fence: None,
    };
    let body = CallBody::Subscribe(Box::new(subscribe));
    let call = Raw::of(&Call { framework_id: None, body });
    sender.send(call).await.expect("the stream is open");
    let mut id = Vec::new();
    // Ends with the master.
    while let Ok(Some(Raw(event))) = incoming.next().await {
        if id.is_empty() {
            let event = Event::decode(&event, Encoding::Protobuf, &options.limits);
            if let Event::Subscribed { framework_id, .. } = event.expect("an event can be read") {
                id = lean::message_of(&framework_id);
            }
            continue;
        }
        let Some((call, count)) = lean::decline(&id, &event) else { continue };
        seen.events.set(seen.events.get() + 1);
        seen.offers.set(seen.offers.get() + count as u64);
        let (down, up) = seen.bytes.get();
        seen.bytes.set((down + event.len() as u64, up + call.len() as u64));
        sender.send(Raw(call)).await.expect("the stream is open");
    }
}

/// Round trips a second of messages of these sizes, one under way on each of so many connections.
async fn echo(connections: usize, answer: u32, call: usize) -> f64 {
    let plain = Plain::start(grpc::SCHEDULER_PATH);
    listening(&plain.address).await;
    let trips = Rc::new(Cell::new(0u64));
    for _ in 0..connections {
        let (address, trips) = (plain.address.clone(), Rc::clone(&trips));
        tokio::task::spawn_local(async move {
            let options = ClientOptions { queue: 4, ..ClientOptions::default() };
            let connection = Connection::open(&address, &options).await.expect("it listens");
            let opened = connection.stream::<Raw, Raw>(grpc::SCHEDULER_PATH).await;
            let mut stream = opened.expect("it takes streams");
            let mut message = vec![0; call.max(4)];
            message[..4].copy_from_slice(&answer.to_le_bytes());
            let message = Raw(message.into());
            while stream.sender.send(message.clone()).await.is_ok() {
                let Ok(Some(Raw(back))) = stream.incoming.next().await else { return };
                assert_eq!(back.len(), answer as usize);
                trips.set(trips.get() + 1);
            }
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let mut rates = Vec::new();
    for _ in 0..FLOOR_RUNS {
        let (begin, was) = (Instant::now(), trips.get());
        tokio::time::sleep(RUN).await;
        rates.push((trips.get() - was) as f64 / begin.elapsed().as_secs_f64());
    }
    median(&rates)
}
