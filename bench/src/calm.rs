//! Whether a leader is deposed only because the machine is busy: three masters and no fault, while
//! processes of this one spin on all processors and sync all the time. Each change of the term is an
//! election that nobody needed.

use crate::master::Master;
use crate::masters::{health, three};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Processes that spin, for each processor, in one part of the run after the other.
const LOADS: [usize; 4] = [0, 1, 2, 8];
/// How long each lasts.
const PART: Duration = Duration::from_secs(30);
/// What is written between two syncs.
const BLOCK: usize = 1 << 20;

/// Prints terms.
pub(crate) fn run() {
    let masters = three();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("three masters, no fault, {} s each:", PART.as_secs());
    for load in LOADS {
        let mut spinning: Vec<Child> = (0..load * processors).map(|_| spin()).collect();
        let before = term(&masters);
        let (begin, mut syncs, mut longest) = (Instant::now(), 0_u32, Duration::ZERO);
        let mut file = tempfile::tempfile().expect("TMPDIR works");
        while begin.elapsed() < PART {
            let sync = Instant::now();
            if load > 0 {
                file.write_all(&[0x5a; BLOCK]).and_then(|()| file.sync_all()).expect("it works");
                syncs += 1;
                longest = longest.max(sync.elapsed());
            } else {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        let after = term(&masters);
        spinning.iter_mut().for_each(|child| {
            // Fails only if it is gone.
            let _ = child.kill();
            let _ = child.wait();
        });
        println!(
            "  {} processes that spin, {syncs} syncs of 1 MiB beside it (longest {:.0} ms): {} elections",
            load * processors,
            longest.as_secs_f64() * 1e3,
            after - before
        );
    }
}

fn spin() -> Child {
    let spin = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
    spin.expect("there is a shell")
}

/// The newest term that a master knows.
fn term(masters: &[Master]) -> u64 {
    let terms = masters.iter().filter_map(|master| health(&master.address)?["term"].as_u64());
    terms.max().expect("a master answers")
}
