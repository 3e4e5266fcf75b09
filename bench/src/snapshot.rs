//! The registry's disk: how big the snapshot of a large cluster is and how long it takes to reach
//! another master and to be loaded; and what a day of changes leaves behind.
//!
//! The registry is the master's own, with its real records, filled through its registrar. Its
//! snapshot is read from the disk of the member as it stands there, and goes between real masters.
//! The floor beside it is a file of as many bytes, written and synced.

use crate::crowd;
use crate::master::{Master, free_address};
use crate::masters::health;
use master::Config;
use master::registrar::{OpenRegistry, open_registry};
use master_core::{Quota, RegistryOp};
use proto::{AgentId, FrameworkId, FrameworkInfo, ResourceName, Role, Time};
use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The registry whose snapshot is measured.
const AGENTS: u32 = 50_000;
const FRAMEWORKS: u32 = 5_000;
/// The registry that changes for a day.
const DAY_AGENTS: u32 = 5_000;
const DAY_FRAMEWORKS: u32 = 500;
/// Commits of a day: five a second.
const DAY: u32 = 432_000;
/// How often the directory is measured meanwhile.
const LOOKS: u32 = 100;
/// Facts that are proposed as one entry while a registry is filled.
const BATCH: usize = 100;
/// What is bigger is no answer to the question.
const BOUND: Duration = Duration::from_secs(300);

/// Prints sizes and seconds.
pub(crate) fn run() {
    println!(
        "registry of {AGENTS} agents and {FRAMEWORKS} frameworks that are away and keep state:"
    );
    let mut first = Master::start(&[]);
    wait_for(|| health(&first.address).is_some_and(|health| health["role"] == "leader"));
    first.kill();
    let begin = Instant::now();
    // Twice, so that the newest snapshot has all of it.
    for _ in 0..2 {
        fill(first.data_dir(), AGENTS, FRAMEWORKS);
    }
    let filled = begin.elapsed().as_secs_f64();
    let (snapshot, log) = sizes(first.data_dir());
    println!(
        "  snapshot {:.1} MB (bound 64), log {:.1} MB, directory {:.1} MB; {} facts made durable in {filled:.1} s",
        mb(snapshot),
        mb(log),
        mb(disk(first.data_dir())),
        2 * (AGENTS + 4 * FRAMEWORKS)
    );
    let floor = written(first.data_dir(), snapshot);
    let begin = Instant::now();
    first.start_again();
    wait_for(|| health(&first.address).is_some_and(|health| health["role"] == "leader"));
    let loaded = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let second = Master::join(&free_address(), &first.address, &[]);
    let index = |address: &str| health(address).and_then(|health| health["applied"].as_u64());
    let leads = first.address.as_str();
    wait_for(|| {
        index(&second.address).zip(index(leads)).is_some_and(|(its, all)| its > 0 && its >= all)
    });
    let joined = begin.elapsed().as_secs_f64();
    println!(
        "  floor, a file of the snapshot's size written and synced: {floor:.2} s; a master's exec until it has loaded it and leads: {loaded:.2} s ({:.1} of the floor); a newcomer's exec until it has fetched, stored and loaded it: {joined:.2} s ({:.1})",
        loaded / floor,
        joined / floor
    );
}

/// Prints how much room the directory takes while so many commits are made.
pub(crate) fn day(commits: Option<u32>) {
    let commits = commits.unwrap_or(DAY);
    let place = tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
    fill(place.path(), DAY_AGENTS, DAY_FRAMEWORKS);
    let mut opened = open(place.path());
    let mut changes = Changes::new();
    let mut sizes = Vec::new();
    let begin = Instant::now();
    for n in 1..=commits {
        commit(&mut opened, vec![changes.next()]);
        if n % (commits / LOOKS).max(1) == 0 {
            sizes.push(disk(place.path()));
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let half = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    let (early, late) = sizes.split_at(sizes.len() / 2);
    println!(
        "a day of changes, {commits} commits one after the other ({:.0}/s), {DAY_AGENTS} agents and {DAY_FRAMEWORKS} frameworks: directory after a hundredth {:.1} MB, highest {:.1} MB, last {:.1} MB; highest of the second half {:.2} of the first half's",
        f64::from(commits) / seconds,
        mb(sizes[0]),
        mb(half(&sizes)),
        mb(sizes[sizes.len() - 1]),
        half(late) as f64 / half(early) as f64
    );
}

fn open(dir: &Path) -> OpenRegistry {
    open_registry(&Config::new(dir, "bench")).expect("the registry opens")
}

/// Makes facts durable.
fn commit(opened: &mut OpenRegistry, facts: Vec<RegistryOp>) {
    let (tell, told) = channel();
    opened.registrar.propose(facts, Box::new(move |result| drop(tell.send(result))));
    told.recv().expect("it is answered").expect("the disk works");
}

/// All agents and frameworks, described anew where they are there already.
fn fill(dir: &Path, agents: u32, frameworks: u32) {
    let mut opened = open(dir);
    let mut facts: Vec<RegistryOp> = (0..agents).map(admit).collect();
    for n in 0..frameworks {
        facts.extend(framework_facts(n));
    }
    for some in facts.chunks(BATCH) {
        commit(&mut opened, some.to_vec());
    }
}

fn admit(n: u32) -> RegistryOp {
    let info = crowd::info(n, Some(agent_id(n)));
    let registered = time(n);
    RegistryOp::AdmitAgent {
        info,
        version: Arc::from("0.1.0"),
        nonce: Some(u64::from(n)),
        registered,
    }
}

fn agent_id(n: u32) -> AgentId {
    AgentId::new(format!("9457e5d1-93fa-4d0e-9da8-832c2afbd666-S{n}")).expect("an id")
}

fn framework_id(n: u32) -> FrameworkId {
    FrameworkId::new(format!("9457e5d1-93fa-4d0e-9da8-832c2afbd666-{n:04}")).expect("an id")
}

fn time(n: u32) -> Time {
    Time::from_nanos(1_700_000_000_000_000_000 + u64::from(n) * 1_000_000_007)
}

fn framework(n: u32) -> FrameworkInfo {
    let roles = ["batch", "serve"].map(|kind| format!("team-{}/{kind}", n % 100));
    FrameworkInfo {
        id: Some(framework_id(n)),
        failover_timeout: Duration::from_secs(604_800),
        checkpoint: true,
        roles: roles.iter().map(|role| Role::new(role.as_str()).expect("a role")).collect(),
        single_role: false,
        hostname: Arc::from(format!("scheduler-{n:04}.example.org")),
        principal: Some(Arc::from(format!("team-{}", n % 100))),
        webui_url: Some(Arc::from(format!("http://scheduler-{n:04}.example.org:8080/"))),
        labels: vec![(Arc::from("owner"), Some(Arc::from("somebody@example.org")))],
        ..FrameworkInfo::new("service", "workloads")
    }
}

/// One that is away, and keeps two keys.
fn framework_facts(n: u32) -> Vec<RegistryOp> {
    let (info, registered, framework_id) = (framework(n), time(n), framework_id(n));
    let mut facts = vec![
        RegistryOp::HoldFramework { info: info.clone(), registered, deadline: time(n + 604_800) },
        RegistryOp::OpenState { info, registered },
    ];
    facts.extend((1..=2).map(|version| put(&framework_id, version, 200)));
    facts
}

fn put(framework_id: &FrameworkId, version: u64, bytes: usize) -> RegistryOp {
    RegistryOp::PutState {
        framework_id: framework_id.clone(),
        key: Arc::from(format!("shards/{}", version % 4)),
        value: vec![0x5a; bytes].into(),
        version,
        write: Some(version),
    }
}

/// What happens in a day, from a generator that is the same each time.
struct Changes {
    chance: u64,
    /// Agents and frameworks that are there beyond the first ones, and how many ever were.
    newcomers: VecDeque<u32>,
    agents: u32,
    frameworks: u32,
    /// Versions of the state of each framework.
    versions: Vec<u64>,
}

impl Changes {
    fn new() -> Self {
        let versions = vec![2; DAY_FRAMEWORKS as usize];
        let newcomers = VecDeque::new();
        Self { chance: 1, newcomers, agents: DAY_AGENTS, frameworks: DAY_FRAMEWORKS, versions }
    }

    fn below(&mut self, end: u32) -> u32 {
        // As xorshift has it.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance % u64::from(end)) as u32
    }

    fn next(&mut self) -> RegistryOp {
        let (agent, of) = (self.below(DAY_AGENTS), self.below(DAY_FRAMEWORKS));
        match self.below(100) {
            0..20 => RegistryOp::MarkUnreachable { agent_id: agent_id(agent), since: time(agent) },
            20..40 => RegistryOp::MarkReachable { agent_id: agent_id(agent) },
            40..45 => {
                self.agents += 1;
                self.newcomers.push_back(self.agents);
                admit(self.agents)
            }
            45..50 => match self.newcomers.pop_front() {
                Some(oldest) => RegistryOp::RemoveAgent { agent_id: agent_id(oldest) },
                None => RegistryOp::DeactivateAgent { agent_id: agent_id(agent) },
            },
            50..62 => {
                let (info, registered, deadline) = (framework(of), time(of), time(of + 604_800));
                RegistryOp::HoldFramework { info, registered, deadline }
            }
            62..74 => RegistryOp::ReleaseFramework { framework_id: framework_id(of) },
            74..80 => {
                self.frameworks += 1;
                let (info, registered) = (framework(self.frameworks), time(of));
                RegistryOp::CompleteFramework {
                    info,
                    registered,
                    unregistered: time(self.frameworks),
                }
            }
            80..90 => {
                let role = Role::new(format!("team-{}", self.below(200))).expect("a role");
                let limits = [(ResourceName::new("cpus"), u64::from(self.below(100_000)))].into();
                RegistryOp::SetQuota { role, quota: Quota { limits, ..Quota::default() } }
            }
            _ => {
                let version = &mut self.versions[of as usize];
                *version += 1;
                put(&framework_id(of), *version, 1_024)
            }
        }
    }
}

/// Bytes of the snapshot and of the log of a member that does not run, by its records.
fn sizes(dir: &Path) -> (u64, u64) {
    let all = std::fs::read_dir(dir).expect("the directory is there").flatten();
    let is_member = |name: &str| name.starts_with("registrar");
    let member = all
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_member));
    let store = store::Store::open(&member.expect("a member"), store::Options::new("registrar", 1));
    let store = store.expect("its disk opens");
    let sum = |prefix: &[u8]| {
        let records = store::Storage::scan(&store, prefix);
        records.map(|record| record.expect("a whole record").value.len() as u64).sum()
    };
    (sum(b"s/"), sum(b"l/"))
}

/// Bytes that a directory takes on its disk.
fn disk(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the directory is there").flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => disk(&entry.path()),
        Ok(data) => data.blocks() * 512,
        // It went meanwhile.
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Seconds to write and sync so many bytes.
fn written(dir: &Path, bytes: u64) -> f64 {
    let begin = Instant::now();
    let path = dir.join("floor");
    let mut file = std::fs::File::create(&path).expect("a file can be made");
    let part = vec![0x5a; 1 << 20];
    for _ in 0..=(bytes >> 20) {
        file.write_all(&part).expect("the disk works");
    }
    file.sync_all().expect("the disk works");
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("it is there");
    seconds
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn wait_for(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < BOUND, "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}
