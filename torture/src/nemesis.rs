//! Brings the faults, one after the other, and waits after each until the cluster is whole again.
//!
//! Nothing it does waits for the cluster to be well-behaved: a fault that the cluster does not get
//! over is written down, and the next one comes all the same.

mod disks;

use crate::cluster::{Cluster, agent_address, lock, master_address, pause};
use crate::dice::Dice;
use crate::faults::{Kind, Order};
use crate::history::Fact;
use crate::hosts::{Cut, MASTERS};
use crate::http;
use crate::operator::Operator;
use crate::registers::{self, CLIENTS};
use rustix::process::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the cluster has to be whole again after a fault is over.
const WHOLE: Duration = Duration::from_secs(45);
/// How long all must have run by then, if anybody ended by itself.
const STEADY: Duration = Duration::from_secs(2);
/// Between two faults: the load runs undisturbed for a moment.
const BREATH_MILLIS: u64 = 1_000;

pub(crate) struct Nemesis {
    cluster: Arc<Cluster>,
    dice: Dice,
    seed: u64,
    is_long: bool,
    id: u32,
}

impl Nemesis {
    /// In a long run there is time for long outages.
    pub(crate) fn new(cluster: Arc<Cluster>, seed: u64, is_long: bool) -> Self {
        Self { cluster, dice: Dice::new(seed ^ 0x5eed), seed, is_long, id: 0 }
    }

    /// Brings faults until this moment.
    pub(crate) async fn torment(&mut self, end: Instant) -> anyhow::Result<()> {
        for kind in Order::new(self.seed) {
            if Instant::now() > end {
                break;
            }
            self.id += 1;
            let (row, name) = kind.names();
            println!("{row:>4} {name}");
            self.bring(kind).await?;
            self.cluster.history.note(Fact::Healed { id: self.id });
            if !self.recover().await? {
                // What came now would strike a cluster that has nothing left to lose.
                println!("     it is not whole again: no more faults");
                break;
            }
            pause(BREATH_MILLIS).await;
        }
        Ok(())
    }

    async fn bring(&mut self, kind: Kind) -> anyhow::Result<()> {
        let leader = self.cluster.wait_for_leader().await?;
        let other = (leader + 1 + self.dice.index(2)) % MASTERS.len();
        let third = MASTERS.len() - leader - other;
        match kind {
            Kind::KillLeader => self.kill_leaders(leader).await,
            Kind::StopLeader => self.stop(leader).await,
            Kind::CutDrop => self.cut(leader, Cut::Drop).await,
            Kind::CutReset => self.cut(leader, Cut::Reset).await,
            Kind::CutNoRoute => self.cut(leader, Cut::NoRoute).await,
            Kind::CutLink => self.link_down(leader).await,
            Kind::OneWay => self.one_way(leader, other).await,
            Kind::Bridge => self.bridge(leader, other, third).await,
            Kind::Flapping => self.flapping(leader).await,
            Kind::FsyncError => self.fsync_error(leader).await,
            Kind::FullDisk => self.full_disk().await,
            Kind::FlippedBit => self.damage(other, disks::Damage::Bit).await,
            Kind::TornLog => self.damage(other, disks::Damage::Tail).await,
            Kind::LostDisk => self.lost_disk(other).await,
            Kind::NoQuorum => self.masters_away(&[leader, other], 4_000).await,
            Kind::KillAgents => self.kill_agents().await,
            Kind::KillSchedulers => self.kill_schedulers().await,
            Kind::ClockJump => self.clock_jump(leader).await,
            Kind::AllDown => {
                self.masters_away(&[0, 1, 2], if self.is_long { 45_000 } else { 8_000 }).await
            }
            Kind::Everything => self.kill_everything().await,
        }
    }

    /// Writes down that a fault begins.
    fn begins(&self, kind: Kind, on: &str) {
        let (row, name) = kind.names();
        self.cluster.history.note(Fact::Fault {
            id: self.id,
            row: row.to_owned(),
            name: name.to_owned(),
            on: on.to_owned(),
        });
    }

    fn expect(&self, what: &str, ok: bool) {
        self.cluster.history.note(Fact::Expect { id: self.id, what: what.to_owned(), ok });
    }

    fn seen(&self, what: &str) {
        self.cluster.history.note(Fact::Seen { id: self.id, what: what.to_owned() });
    }

    /// Who leads though this master is out of the way: one of the others has to.
    async fn expect_another(&self, leader: usize) {
        let now = self.cluster.leader().await;
        self.expect("another master leads meanwhile", now.is_some_and(|now| now != leader));
    }

    /// Asks a master that does not lead any more, and may not know it, again and again: an answer of
    /// its own must not be old.
    async fn ask_it_alone(&self, master: usize, millis: u64) {
        let asking = async {
            loop {
                let mut operator = Operator::new(vec![master_address(master)]);
                registers::read(&self.cluster, &mut operator, CLIENTS + master, false).await;
                pause(100).await;
            }
        };
        // It ends with the time.
        let _ = tokio::time::timeout(Duration::from_millis(millis), asking).await;
    }

    /// Whether all is whole again in time.
    async fn recover(&mut self) -> anyhow::Result<bool> {
        let begin = Instant::now();
        let mut since = begin.checked_sub(STEADY).unwrap_or(begin);
        loop {
            if self.start_what_ended().await? {
                since = Instant::now();
            }
            // Who ends again and again is there now and then.
            if self.cluster.is_whole().await && since.elapsed() >= STEADY {
                self.cluster.history.note(Fact::Whole { id: self.id });
                return Ok(true);
            }
            if begin.elapsed() > WHOLE {
                self.expect("the cluster is whole again within 45 s", false);
                return Ok(false);
            }
            pause(100).await;
        }
    }

    /// As the host's service manager does: who ended by itself is started again. A master that ended
    /// because of its disk gets a new one, which is an operator's work. Says whether anybody had
    /// ended.
    async fn start_what_ended(&mut self) -> anyhow::Result<bool> {
        let cluster = Arc::clone(&self.cluster);
        let mut some = false;
        for process in cluster.masters.iter().chain(&cluster.agents).chain(&cluster.frameworks) {
            let at = cluster.masters.iter().position(|master| std::ptr::eq(master, process));
            let is_damaged = {
                let mut process = lock(process);
                if process.runs() {
                    continue;
                }
                some = true;
                process.kill_9();
                process.has_ended_with("are damaged")
            };
            match at.filter(|_| is_damaged) {
                Some(master) => {
                    self.seen(&format!("{} found damage later, and was replaced", name(master)));
                    self.replace(master).await?;
                }
                None => lock(process).start()?,
            }
        }
        Ok(some)
    }

    async fn kill_leaders(&mut self, first: usize) -> anyhow::Result<()> {
        self.begins(Kind::KillLeader, &format!("{}, then who follows", name(first)));
        for _ in 0..3 {
            let leader = self.cluster.wait_for_leader().await?;
            lock(&self.cluster.masters[leader]).kill_9();
            pause(500 + self.dice.below(1_500)).await;
            lock(&self.cluster.masters[leader]).start()?;
            pause(500).await;
        }
        Ok(())
    }

    async fn stop(&mut self, leader: usize) -> anyhow::Result<()> {
        self.begins(Kind::StopLeader, &name(leader));
        lock(&self.cluster.masters[leader]).signal(Signal::STOP);
        let most = if self.is_long { 57_000 } else { 6_000 };
        pause(3_000 + self.dice.below(most)).await;
        self.expect_another(leader).await;
        // Asked before it wakes, so that nothing comes to it before the question.
        let wake = async {
            pause(300).await;
            lock(&self.cluster.masters[leader]).signal(Signal::CONT);
        };
        tokio::join!(self.ask_it_alone(leader, 1_500), wake);
        Ok(())
    }

    async fn cut(&mut self, leader: usize, how: Cut) -> anyhow::Result<()> {
        let kind = match how {
            Cut::Drop => Kind::CutDrop,
            Cut::Reset => Kind::CutReset,
            Cut::NoRoute => Kind::CutNoRoute,
        };
        self.begins(kind, &name(leader));
        for other in (0..MASTERS.len()).filter(|other| *other != leader) {
            MASTERS[leader].cut(MASTERS[other], how)?;
        }
        let millis = 3_000 + self.dice.below(4_000);
        self.ask_it_alone(leader, millis).await;
        self.expect_another(leader).await;
        heal_all()
    }

    async fn link_down(&mut self, leader: usize) -> anyhow::Result<()> {
        self.begins(Kind::CutLink, &name(leader));
        MASTERS[leader].link(false)?;
        pause(3_000 + self.dice.below(4_000)).await;
        self.expect_another(leader).await;
        heal_all()
    }

    async fn one_way(&mut self, leader: usize, other: usize) -> anyhow::Result<()> {
        let (deaf, to) = if self.dice.below(2) == 0 { (leader, other) } else { (other, leader) };
        self.begins(Kind::OneWay, &format!("{} does not hear {}", name(deaf), name(to)));
        MASTERS[deaf].deafen(MASTERS[to])?;
        pause(3_000 + self.dice.below(4_000)).await;
        heal_all()
    }

    async fn bridge(&mut self, leader: usize, other: usize, third: usize) -> anyhow::Result<()> {
        self.begins(
            Kind::Bridge,
            &format!("{} sees {} and {}", name(third), name(leader), name(other)),
        );
        MASTERS[leader].cut(MASTERS[other], Cut::Drop)?;
        pause(3_000 + self.dice.below(4_000)).await;
        heal_all()
    }

    async fn flapping(&mut self, leader: usize) -> anyhow::Result<()> {
        self.begins(Kind::Flapping, &name(leader));
        for _ in 0..12 {
            for other in (0..MASTERS.len()).filter(|other| *other != leader) {
                MASTERS[leader].cut(MASTERS[other], Cut::Drop)?;
            }
            pause(200).await;
            heal_all()?;
            pause(200).await;
        }
        Ok(())
    }

    async fn masters_away(&mut self, which: &[usize], millis: u64) -> anyhow::Result<()> {
        let names: Vec<String> = which.iter().map(|at| name(*at)).collect();
        let kind = if which.len() == 3 { Kind::AllDown } else { Kind::NoQuorum };
        self.begins(kind, &names.join(", "));
        for at in which {
            lock(&self.cluster.masters[*at]).kill_9();
        }
        pause(millis + self.dice.below(millis)).await;
        let leads = self.cluster.leader().await;
        self.expect("nobody leads without a majority", leads.is_none());
        for at in which {
            lock(&self.cluster.masters[*at]).start()?;
        }
        Ok(())
    }

    async fn kill_agents(&mut self) -> anyhow::Result<()> {
        let count = 1 + self.dice.index(self.cluster.agents.len());
        let mut order: Vec<usize> = (0..self.cluster.agents.len()).collect();
        self.dice.shuffle(&mut order);
        let names: Vec<String> = order[..count].iter().map(|at| format!("a{}", at + 1)).collect();
        self.begins(Kind::KillAgents, &names.join(", "));
        for agent in order[..count].iter().copied() {
            lock(&self.cluster.agents[agent]).kill_9();
            self.cluster.history.note(Fact::Agent { agent, up: false });
        }
        pause(300 + self.dice.below(1_500)).await;
        for agent in order[..count].iter().copied() {
            lock(&self.cluster.agents[agent]).start()?;
            self.cluster.history.note(Fact::Agent { agent, up: true });
        }
        Ok(())
    }

    async fn kill_schedulers(&mut self) -> anyhow::Result<()> {
        self.begins(Kind::KillSchedulers, "alpha, beta, jobs");
        for (at, framework) in self.cluster.frameworks.iter().enumerate() {
            lock(framework).kill_9();
            if let Some(name) = crate::cluster::SCHEDULERS.get(at) {
                // It cannot write it down itself any more.
                let framework = (*name).to_owned();
                self.cluster.history.note(Fact::Disconnected { framework });
            }
        }
        pause(500 + self.dice.below(2_000)).await;
        for framework in &self.cluster.frameworks {
            lock(framework).start()?;
        }
        Ok(())
    }

    /// As when the power of all machines goes, but for their tasks.
    async fn kill_everything(&mut self) -> anyhow::Result<()> {
        self.begins(Kind::Everything, "all masters, agents and frameworks");
        let cluster = &self.cluster;
        let all = || cluster.masters.iter().chain(&cluster.agents).chain(&cluster.frameworks);
        for process in all() {
            lock(process).kill_9();
        }
        for name in crate::cluster::SCHEDULERS {
            cluster.history.note(Fact::Disconnected { framework: name.to_owned() });
        }
        for agent in 0..cluster.agents.len() {
            cluster.history.note(Fact::Agent { agent, up: false });
        }
        pause(2_000).await;
        for process in all() {
            lock(process).start()?;
        }
        for agent in 0..cluster.agents.len() {
            cluster.history.note(Fact::Agent { agent, up: true });
        }
        Ok(())
    }

    async fn clock_jump(&mut self, leader: usize) -> anyhow::Result<()> {
        // More than a year, so that the year is another one on each day.
        let by = if self.dice.below(2) == 0 { "+400d" } else { "-400d" };
        self.begins(Kind::ClockJump, &format!("{} {by}", name(leader)));
        {
            let mut master = lock(&self.cluster.masters[leader]);
            master.kill_9();
            master.under = ["faketime", "-f", by].map(str::to_owned).into();
            // Only the clock on the wall: that is the one that is ever set.
            master.variables = vec![("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into())];
            master.variables.push(("DONT_FAKE_MONOTONIC".into(), "1".into()));
            master.start()?;
        }
        pause(5_000).await;
        let year = |date: &str| date.split(' ').nth(3).map(str::to_owned);
        let its = http::date(&master_address(leader)).await;
        let others = http::date(&agent_address(0)).await;
        let years = its.as_deref().and_then(year).zip(others.as_deref().and_then(year));
        let is_off = years.is_some_and(|(its, others)| its != others);
        self.expect("a master whose clock is a year off answers, in another year", is_off);
        let mut master = lock(&self.cluster.masters[leader]);
        master.kill_9();
        master.under.clear();
        master.variables.clear();
        master.start()
    }
}

fn name(master: usize) -> String {
    format!("m{}", master + 1)
}

fn heal_all() -> anyhow::Result<()> {
    MASTERS.iter().try_for_each(|host| host.heal())
}
