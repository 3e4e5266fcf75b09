//! All three masters are killed and started again: how long until all agents are back and all their
//! tasks are accounted, at growing numbers of agents.
//!
//! The clock starts before the masters are executed. Agents come back as in `failover`: with their
//! tasks, made into frames before, many on one connection, and at once, but to the one that leads,
//! which has to be elected first. The floor is a server that decodes the same bytes and does nothing
//! else, before and after.

use crate::crowd::Crowd;
use crate::master::Master;
use crate::masters::{health, three};
use crate::plain::{Plain, listening};
use crate::stats::{growth_exponent, median};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Agents; with ten tasks each.
const SIZES: [u32; 4] = [1_250, 2_500, 5_000, 10_000];
const TASKS: u32 = 10;
/// Outages at each size.
const RUNS: usize = 3;

/// Prints seconds.
pub(crate) fn run() {
    println!(
        "three masters, all killed and started again, until all agents are back and all their tasks are accounted ({TASKS} each; medians of {RUNS}):"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime starts"), async {
        let mut masters = three();
        let crowd = Crowd::new(TASKS);
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for agents in SIZES {
            let address = leader(&masters).await;
            crowd.grow(&address, agents).await;
            let before = floor(&crowd).await;
            let mut times = Vec::new();
            for _ in 0..RUNS {
                times.push(outage(&mut masters, &crowd).await);
            }
            let after = floor(&crowd).await;
            let (all, led): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
            let (time, floor) = (median(&all), f64::midpoint(before, after));
            println!(
                "  {agents:>6} agents, {:>7} tasks: floor {before:.2} s, ours {time:.2} s (of which {:.2} s until somebody leads), floor {after:.2} s: {:.2} of the floor",
                agents * TASKS,
                median(&led),
                time / floor
            );
            ours.push((f64::from(agents), time));
            floors.push((f64::from(agents), floor));
        }
        println!(
            "  growth with agents: {:.2}; of the floor {:.2}",
            growth_exponent(&ours),
            growth_exponent(&floors)
        );
    });
}

/// Seconds until all are back, and until somebody led.
async fn outage(masters: &mut [Master], crowd: &Rc<Crowd>) -> (f64, f64) {
    masters.iter_mut().for_each(Master::kill);
    let begin = Instant::now();
    masters.iter_mut().for_each(Master::start_again);
    let address = leader(masters).await;
    let led = begin.elapsed().as_secs_f64();
    crowd.connect(&address, 0..crowd.len()).await;
    let all = begin.elapsed().as_secs_f64();
    let leads = masters.iter().find(|master| master.address == address).expect("one of them");
    crate::failover::check(leads, crowd.len());
    (all, led)
}

/// Who leads, as soon as somebody does and answers for it.
async fn leader(masters: &[Master]) -> String {
    loop {
        for master in masters {
            if health(&master.address).is_some_and(|health| health["role"] == "leader") {
                listening(&master.address).await;
                return master.address.clone();
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn floor(crowd: &Rc<Crowd>) -> f64 {
    let begin = Instant::now();
    let plain = Plain::start(grpc::AGENT_LINK_PATH);
    listening(&plain.address).await;
    crowd.connect(&plain.address, 0..crowd.len()).await;
    begin.elapsed().as_secs_f64()
}
