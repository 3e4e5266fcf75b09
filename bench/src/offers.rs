//! How fast offers come: after SUBSCRIBE, and after resources were freed.

use crate::cluster::Cluster;
use crate::stats;
use grpc::{ClientOptions, Duplex, SchedulerClient};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{Filters, FrameworkId, FrameworkInfo, Offer};
use std::collections::BTreeSet;
use std::time::Instant;

const COUNT: usize = 300;

type Stream = Duplex<Call, Event>;

/// Prints medians in milliseconds.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let cluster = Cluster::start("cpus:2;mem:4096", &["--no-cgroups"]);
        let mut first = Vec::new();
        for _ in 0..COUNT {
            let (mut stream, id, start) = subscribe(&cluster.master).await;
            next_offer(&mut stream).await;
            first.push(start.elapsed().as_secs_f64() * 1e3);
            call(&stream, &id, CallBody::Teardown).await;
        }
        let (mut stream, id, _) = subscribe(&cluster.master).await;
        let mut freed = Vec::new();
        let mut offer = next_offer(&mut stream).await;
        for _ in 0..COUNT {
            let start = Instant::now();
            let decline =
                CallBody::Decline { offer_ids: vec![offer.id.clone()], filters: Filters::none() };
            call(&stream, &id, decline).await;
            offer = next_offer(&mut stream).await;
            freed.push(start.elapsed().as_secs_f64() * 1e3);
        }
        println!("offers ({COUNT} each):");
        print("SUBSCRIBE to first offer", &first);
        print("freed resources to their next offer", &freed);
    });
}

fn print(what: &str, samples: &[f64]) {
    println!(
        "  {what}: p50 {:.2} ms, p99 {:.2} ms",
        stats::median(samples),
        stats::percentile(samples, 0.99)
    );
}

async fn subscribe(master: &str) -> (Stream, FrameworkId, Instant) {
    let mut stream = SchedulerClient::connect(master, &ClientOptions::default())
        .await
        .expect("the master listens");
    let subscribe = Subscribe {
        framework_info: FrameworkInfo::new("root", "bench"),
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
    };
    let start = Instant::now();
    let body = CallBody::Subscribe(Box::new(subscribe));
    stream.sender.send(Call { framework_id: None, body }).await.expect("the stream is open");
    loop {
        if let Event::Subscribed { framework_id, .. } = event(&mut stream).await {
            return (stream, framework_id, start);
        }
    }
}

async fn call(stream: &Stream, id: &FrameworkId, body: CallBody) {
    let call = Call { framework_id: Some(id.clone()), body };
    stream.sender.send(call).await.expect("the stream is open");
}

async fn next_offer(stream: &mut Stream) -> Offer {
    loop {
        if let Event::Offers(mut offers) = event(stream).await {
            return offers.swap_remove(0);
        }
    }
}

async fn event(stream: &mut Stream) -> Event {
    stream.incoming.next().await.expect("the stream is open").expect("the event can be read")
}
