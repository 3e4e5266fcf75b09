//! Readers over HTTP who take nothing, or hardly anything: they have some places of reads and not
//! all, and who finds none is told so in time.

use super::{config, request, start, within};
use crate::client::{Answer, Http};
use crate::reads::many_tasks;
use proto::agent_link::AgentEvent;
use std::net::Ipv4Addr;
use std::time::Duration;

/// An answer that is more than sockets hold.
const BIG: &str = "/tasks?limit=-1";
const METRICS: &str = "/metrics";

fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// Asks for a big answer from there, and reads no more than its head.
async fn begin(from: Ipv4Addr, address: &str) -> Http {
    let mut http = Http::connect_narrow_from(from, address).await;
    http.send("GET", BIG, &[], b"").await;
    assert_eq!(http.head().await.status, 200);
    http
}

async fn ask(from: Ipv4Addr, address: &str) -> Answer {
    Http::connect_narrow_from(from, address).await.request("GET", "/roles", &[], "").await
}

/// Asks for something short that tells.
async fn has_tasks(address: &str) -> bool {
    let path = "/frameworks?fields=used_resources";
    let frameworks = request(address, "GET", path, &[], "").await;
    frameworks.body.contains("\"mem\":2000.0")
}

#[track_caller]
fn assert_no_place(answer: &Answer) {
    assert_eq!((answer.status, &*answer.headers["retry-after"]), (503, "1"), "{answer:?}");
    let told = "4 answers are being read at a time, 3 from one address";
    assert!(answer.body.starts_with(told), "{answer:?}");
}

#[tokio::test]
async fn who_reads_slowly_has_not_all_places_and_nobody_waits_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    (config.reads, config.read_wait) = (4, Duration::from_millis(500));
    // They hold their places for as long as this test takes, on whatever machine.
    config.reader_stall = Duration::from_secs(3600);
    config.read_whole = Duration::from_secs(3600);
    let (master, mut agent, events) = start(config).await;
    agent.link.sender.send(many_tasks(&agent, 20_000)).await.unwrap();
    while !matches!(agent.next().await, AgentEvent::Reregistered { .. }) {}
    let address = &master.address;
    within("the tasks", async { while !has_tasks(address).await {} }).await;
    let before = request(address, "GET", BIG, &[], "").await.body;
    assert!(before.len() > 5_000_000, "more than sockets hold: {}", before.len());
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(begin(host(1), address).await);
    }
    // One more of the same address, many times; and others.
    for _ in 0..5 {
        assert_no_place(&ask(host(1), address).await);
        assert_eq!(ask(host(2), address).await.status, 200);
    }
    slow.push(begin(host(2), address).await);
    for last in 1..4 {
        assert_no_place(&ask(host(last), address).await);
    }
    // What is no read, and who calls, needs no place.
    assert_eq!(request(address, "GET", METRICS, &[], "").await.status, 200);
    assert_eq!(request(address, "GET", "/health", &[], "").await.status, 200);
    // A place is free as soon as its reader is gone.
    slow.clear();
    within("a place", async { while ask(host(1), address).await.status != 200 {} }).await;
    assert!(request(address, "GET", BIG, &[], "").await.body == before, "nothing has changed");
    drop(events);
    master.stop().await;
}
