//! What the threads of a process did: how long they ran, and how long they waited for a processor
//! although they could have run.

use std::collections::BTreeMap;

/// One kind of thread.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) name: String,
    /// Seconds.
    pub(super) ran: f64,
    /// Seconds in which it was ready and another thread had the processor.
    pub(super) waited: f64,
    /// Times that it got a processor.
    pub(super) turns: f64,
}

/// The threads of a process, those of one name together.
pub(super) fn of(pid: u32) -> Vec<Thread> {
    let mut all: BTreeMap<String, Thread> = BTreeMap::new();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    for thread in threads.flatten() {
        let file = |name: &str| std::fs::read_to_string(thread.path().join(name)).ok();
        let (Some(name), Some(times)) = (file("comm"), file("schedstat")) else { continue };
        let numbers: Vec<f64> = times.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [ran, waited, turns] = numbers[..] else { continue };
        let name = name.trim().to_owned();
        let none = Thread { name: name.clone(), ran: 0.0, waited: 0.0, turns: 0.0 };
        let sum = all.entry(name).or_insert(none);
        sum.ran += ran / 1e9;
        sum.waited += waited / 1e9;
        sum.turns += turns;
    }
    all.into_values().collect()
}

/// Seconds that threads of this process ran which have ended.
pub(super) fn ended() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let ticks = |at: usize| {
        let field = fields.as_ref().and_then(|fields| fields.get(at).copied());
        field.and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let all = (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64;
    let living: f64 = of(std::process::id()).iter().map(|thread| thread.ran).sum();
    (all - living).max(0.0)
}

/// What happened between two looks, without threads that did nothing.
pub(super) fn between(before: &[Thread], after: &[Thread]) -> Vec<Thread> {
    let was = |name: &str| before.iter().find(|thread| thread.name == name);
    let spent = |now: &Thread| {
        let (ran, waited, turns) =
            was(&now.name).map_or((0.0, 0.0, 0.0), |was| (was.ran, was.waited, was.turns));
        let (ran, waited, turns) = (now.ran - ran, now.waited - waited, now.turns - turns);
        Thread { name: now.name.clone(), ran, waited, turns }
    };
    after.iter().map(spent).filter(|thread| thread.ran > 0.001).collect()
}
