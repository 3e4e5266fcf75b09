//! How fast offers come: after SUBSCRIBE, and after resources were freed.
//!
//! First with one real agent alone. Then with ever more simulated ones: one framework has offers of
//! all of them but one, which it has declined for long, so that the others are offered that one
//! again and again, however big the cluster is. The floor, before and after: one message there and
//! one back, of the same sizes, with the same gRPC layer and no master behind it; where a framework
//! subscribes, on a new connection each time.

use crate::cluster::Cluster;
use crate::crowd::Crowd;
use crate::master::Master;
use crate::plain::{Plain, listening};
use crate::raw::Raw;
use crate::stats::{growth_exponent, median, percentile};
use grpc::{ClientOptions, Duplex, SchedulerClient};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{Encoding, Filters, FrameworkId, FrameworkInfo, Offer, Wire};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::LocalSet;

const COUNT: usize = 300;
const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];
/// Longer than everything here takes: what is declined, and offers that are kept.
const LONG: Duration = Duration::from_secs(86_400);

type Stream = Duplex<Call, Event>;

/// Prints medians in milliseconds.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime starts"), async {
        println!("offers (milliseconds, medians of {COUNT} each):");
        let cluster = Cluster::start("cpus:2;mem:4096", &["--no-cgroups"]);
        measure(&cluster.master).await.print("one real agent");
        drop(cluster);
        let long = LONG.as_secs().to_string();
        let master = Master::start(&["--agent-timeout", "3600", "--offer-timeout", &long]);
        listening(&master.address).await;
        let crowd = Crowd::new(0);
        let keeper = Keeper::subscribe(&master.address).await;
        let mut points = Vec::new();
        for agents in SIZES {
            crowd.grow(&master.address, agents).await;
            keeper.keep_until(agents).await;
            let figures = measure(&master.address).await;
            figures.print(&format!("{agents} agents"));
            points.push((f64::from(agents), figures));
        }
        for (at, what) in WHAT.iter().enumerate() {
            let growth = |figure: fn(&Row) -> f64| {
                let all: Vec<_> = points.iter().map(|(n, row)| (*n, figure(&row.0[at]))).collect();
                growth_exponent(&all)
            };
            println!(
                "  growth with agents, {what}: {:.2}; of the floor {:.2}",
                growth(|row| median(&row.ours)),
                growth(Row::floor)
            );
        }
    });
}

const WHAT: [&str; 2] = ["SUBSCRIBE to first offer", "freed resources to their next offer"];

/// Milliseconds.
struct Row {
    floors: [f64; 2],
    ours: Vec<f64>,
}

impl Row {
    fn floor(&self) -> f64 {
        self.floors.iter().sum::<f64>() / 2.0
    }
}

/// Of both.
struct Figures([Row; 2]);

impl Figures {
    fn print(&self, of: &str) {
        for (what, row) in WHAT.iter().zip(&self.0) {
            let ([before, after], ours) = (row.floors, median(&row.ours));
            println!(
                "  {of:>14}, {what}: floor {before:.2}, ours {ours:.2} (p99 {:.2}), floor {after:.2}; {:.1} times the floor",
                percentile(&row.ours, 0.99),
                ours / row.floor()
            );
        }
    }
}

/// Bytes of what goes up and of what comes back.
type Sizes = (usize, usize);

async fn measure(master: &str) -> Figures {
    let (_, first) = firsts(master, 1).await;
    let (_, freed) = freeds(master, 1).await;
    let before = [echo(first, true).await, echo(freed, false).await];
    let ours = [firsts(master, COUNT).await.0, freeds(master, COUNT).await.0];
    let after = [echo(first, true).await, echo(freed, false).await];
    let [one, two] = ours;
    Figures([
        Row { floors: [before[0], after[0]], ours: one },
        Row { floors: [before[1], after[1]], ours: two },
    ])
}

async fn firsts(master: &str, count: usize) -> (Vec<f64>, Sizes) {
    let (mut times, mut sizes) = (Vec::new(), (0, 0));
    for _ in 0..count {
        let mut subscribed = subscribe(master).await;
        let event = offers(&mut subscribed.stream).await;
        times.push(subscribed.start.elapsed().as_secs_f64() * 1e3);
        call(&subscribed.stream, &subscribed.id, CallBody::Teardown).await;
        let down = event.encode(Encoding::Protobuf).len();
        sizes = (subscribed.sizes.0, subscribed.sizes.1 + down);
    }
    (times, sizes)
}

async fn freeds(master: &str, count: usize) -> (Vec<f64>, Sizes) {
    let Subscribed { mut stream, id, .. } = subscribe(master).await;
    let (mut times, mut sizes) = (Vec::new(), (0, 0));
    let mut event = offers(&mut stream).await;
    for _ in 0..count {
        let body = CallBody::Decline { offer_ids: ids(&event), filters: Filters::none() };
        let start = Instant::now();
        let up = call(&stream, &id, body).await;
        event = offers(&mut stream).await;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        sizes = (up, event.encode(Encoding::Protobuf).len());
    }
    call(&stream, &id, CallBody::Teardown).await;
    (times, sizes)
}

/// The median of as many messages there and back.
async fn echo((up, down): Sizes, connect: bool) -> f64 {
    let plain = Plain::start(grpc::SCHEDULER_PATH);
    listening(&plain.address).await;
    let mut message = vec![0; up.max(4)];
    let down = u32::try_from(down).expect("events are short");
    message[..4].copy_from_slice(&down.to_le_bytes());
    let message = Raw(message.into());
    let open = || async {
        let options = ClientOptions::default();
        let connection = grpc::Connection::open(&plain.address, &options).await;
        let opened = connection.expect("it listens").stream::<Raw, Raw>(grpc::SCHEDULER_PATH).await;
        opened.expect("it takes streams")
    };
    let mut stream = open().await;
    let mut times = Vec::new();
    for _ in 0..COUNT {
        if connect {
            stream = open().await;
        }
        let start = Instant::now();
        stream.sender.send(message.clone()).await.expect("the stream is open");
        let back = stream.incoming.next().await.expect("the stream is open");
        assert_eq!(back.map(|back| back.0.len()), Some(down as usize));
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    median(&times)
}

/// A framework that has all offers but one.
struct Keeper {
    has: Rc<Cell<u32>>,
    more: Rc<Notify>,
}

impl Keeper {
    async fn subscribe(master: &str) -> Self {
        let Subscribed { mut stream, id, .. } = subscribe(master).await;
        let (has, more) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        let keeper = Self { has: Rc::clone(&has), more: Rc::clone(&more) };
        tokio::task::spawn_local(async move {
            // Ends with the master.
            while let Ok(Some(event)) = stream.incoming.next().await {
                let Event::Offers(mut offers) = event else { continue };
                let new = u32::try_from(offers.len()).expect("offers are of agents");
                if has.get() == 0 {
                    offers.truncate(1);
                    let filters = Filters { refuse: LONG };
                    let offer_ids = ids(&Event::Offers(offers));
                    call(&stream, &id, CallBody::Decline { offer_ids, filters }).await;
                }
                has.set(has.get() + new);
                more.notify_one();
            }
        });
        keeper
    }

    /// Until it has had offers of so many agents.
    async fn keep_until(&self, agents: u32) {
        while self.has.get() < agents {
            self.more.notified().await;
        }
    }
}

fn ids(event: &Event) -> Vec<proto::OfferId> {
    let Event::Offers(offers) = event else { return Vec::new() };
    offers.iter().map(|Offer { id, .. }| id.clone()).collect()
}

struct Subscribed {
    stream: Stream,
    id: FrameworkId,
    start: Instant,
    sizes: Sizes,
}

async fn subscribe(master: &str) -> Subscribed {
    let mut stream = SchedulerClient::connect(master, &ClientOptions::default())
        .await
        .expect("the master listens");
    let subscribe = Subscribe {
        framework_info: FrameworkInfo::new("root", "bench"),
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
        fence: None,
    };
    let body = CallBody::Subscribe(Box::new(subscribe));
    let call = Call { framework_id: None, body };
    let up = call.encode(Encoding::Protobuf).len();
    let start = Instant::now();
    stream.sender.send(call).await.expect("the stream is open");
    loop {
        let event = event(&mut stream).await;
        let down = event.encode(Encoding::Protobuf).len();
        if let Event::Subscribed { framework_id: id, .. } = event {
            return Subscribed { stream, id, start, sizes: (up, down) };
        }
    }
}

/// Bytes of the call.
async fn call(stream: &Stream, id: &FrameworkId, body: CallBody) -> usize {
    let call = Call { framework_id: Some(id.clone()), body };
    let bytes = call.encode(Encoding::Protobuf).len();
    stream.sender.send(call).await.expect("the stream is open");
    bytes
}

async fn offers(stream: &mut Stream) -> Event {
    loop {
        let event = event(stream).await;
        if let Event::Offers(_) = event {
            return event;
        }
    }
}

async fn event(stream: &mut Stream) -> Event {
    stream.incoming.next().await.expect("the stream is open").expect("the event can be read")
}
