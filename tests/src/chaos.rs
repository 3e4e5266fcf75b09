//! Faults as they happen to the world, and their end.

mod masters;

use crate::faults::Fault;
use crate::network::{Direction, Peer};
use crate::node::FrameworkNode;
use crate::world::{Event, Node, World};
use proto::Time;
use std::time::Duration;

impl World {
    /// A fault happens, and the next of its kind is drawn.
    pub(crate) fn fault(&mut self, fault: Fault, mean: Duration) {
        if self.faults.healed() {
            return;
        }
        let wait = self.random.wait(mean);
        self.schedule_in(wait, Event::Fault { fault, mean });
        self.trace.happened(self.now, "!", &format_args!("{fault:?}"));
        match fault {
            Fault::MasterCrash => {
                let host = self.some_master();
                self.crash_master(host);
                self.start_master_after(host, 100, 20_000);
            }
            Fault::MasterOutage => {
                for host in 0..self.masters.len() {
                    self.crash_master(host);
                    self.start_master_after(host, 60_000, 180_000);
                }
            }
            Fault::MasterCrashMidStep => {
                let host = self.some_master();
                self.masters[host].crash_in = Some(self.some_steps());
            }
            Fault::AgentCrash => {
                let i = self.some_agent();
                self.crash_agent(i);
                let down = self.random.millis(20, 15_000);
                self.schedule_in(down, Event::StartAgent(i));
            }
            Fault::AgentCrashMidStep => {
                let i = self.some_agent();
                self.agents[i].crash_in = Some(self.some_steps());
            }
            Fault::HostReboot => {
                let i = self.some_agent();
                self.crash_host(i);
                let down = self.random.millis(2_000, 60_000);
                self.schedule_in(down, Event::StartAgent(i));
            }
            Fault::SupervisorCrash => {
                let i = self.some_agent();
                self.crash_supervisor(i);
            }
            Fault::SchedulerCrash => {
                let i = self.random.index(self.frameworks.len());
                self.crash_driver(i);
                if let FrameworkNode::Driver(_) = self.frameworks[i] {
                    let down = self.random.millis(20, 60_000);
                    self.schedule_in(down, Event::StartDriver(i));
                }
            }
            Fault::SchedulerCrashMidStep => {
                let i = self.random.index(self.frameworks.len());
                let steps = self.some_steps();
                if let Some(driver) = self.frameworks[i].driver_mut() {
                    driver.crash_in = Some(steps);
                }
            }
            Fault::CrashAtStart | Fault::CorruptRecords | Fault::ClockJump => {
                self.fault_of_start(fault);
            }
            fault if fault.is_of_masters() => self.fault_of_masters(fault),
            _ => self.fault_of_network(fault),
        }
    }

    /// What shows when a process is started again.
    fn fault_of_start(&mut self, fault: Fault) {
        let node = match self.random.index(3) {
            _ if fault == Fault::CorruptRecords => Node::Agent(self.some_agent()),
            0 => Node::Master(self.some_master()),
            1 => Node::Agent(self.some_agent()),
            _ => Node::Framework(self.random.index(self.frameworks.len())),
        };
        if fault == Fault::ClockJump {
            let jump = self.clocks.jump(&mut self.random, node);
            self.trace.happened(self.now, "!", &jump);
        }
        let doomed =
            if fault == Fault::CrashAtStart { self.random.between(1, 4) as u32 } else { 0 };
        let up = self.random.millis(20, 5_000);
        match node {
            Node::Master(host) => {
                self.crash_master(host);
                self.masters[host].doomed = doomed;
                self.schedule_in(up, Event::StartMaster(host));
            }
            Node::Agent(i) => {
                self.crash_agent(i);
                self.agents[i].doomed = doomed;
                if fault == Fault::CorruptRecords {
                    self.damage_records(i);
                }
                self.schedule_in(up, Event::StartAgent(i));
            }
            Node::Framework(i) => {
                self.crash_driver(i);
                if let Some(driver) = self.frameworks[i].driver_mut() {
                    driver.doomed = doomed;
                    self.schedule_in(up, Event::StartDriver(i));
                }
            }
        }
    }

    fn fault_of_network(&mut self, fault: Fault) {
        match fault {
            Fault::Reset | Fault::HalfOpen => {
                let open = self.network.open_connections();
                let Some(conn) = open.get(self.random.index(open.len())).copied() else { return };
                if fault == Fault::Reset {
                    for (at, conn, way) in self.network.reset(self.now, conn) {
                        self.schedule(at, Event::Arrive { conn, way });
                    }
                } else {
                    self.half_open(conn);
                }
            }
            Fault::Partition => {
                let lasts = self.random.millis(500, 90_000);
                let peer = self.some_peer();
                self.block(peer, &Direction::BOTH, lasts);
            }
            Fault::OneWay => {
                let lasts = self.random.millis(500, 60_000);
                let way = Direction::BOTH[self.random.index(2)];
                let peer = self.some_peer();
                self.block(peer, &[way], lasts);
            }
            Fault::Clog => {
                let lasts = self.random.millis(10, 5_000);
                let way = Direction::BOTH[self.random.index(2)];
                let peer = self.some_peer();
                self.block(peer, &[way], lasts);
            }
            Fault::Swizzle => {
                for peer in self.network.peers() {
                    let lasts = self.random.millis(1_000, 20_000);
                    self.block(peer, &Direction::BOTH, lasts);
                }
            }
            Fault::SlowDisk => {
                let until = self.now + self.random.millis(1_000, 30_000);
                let node = match self.random.index(3) {
                    0 => Node::Master(self.some_master()),
                    1 => Node::Agent(self.some_agent()),
                    _ => Node::Framework(self.random.index(self.frameworks.len())),
                };
                if let (Node::Master(host), Some(group)) = (node, &mut self.group) {
                    group.ground.hosts[host].slow = until;
                }
                self.slow.insert(node, until);
            }
            _ => {}
        }
    }

    /// The dialling end forgets a stream without a word.
    fn half_open(&mut self, conn: crate::network::Conn) {
        let Some(peer) = self.network.peer(conn) else { return };
        self.network.vanish(conn, Direction::Up);
        match peer {
            Peer::Agent(i) => self.agent_hears(i, conn, None),
            Peer::Framework(i) => match self.frameworks[i] {
                FrameworkNode::Driver(_) => self.driver_hears(i, conn, None),
                FrameworkNode::Raw(_) => self.raw_hears(i, conn, None),
            },
        }
    }

    fn some_steps(&mut self) -> u32 {
        self.random.between(1, 30) as u32
    }

    fn some_agent(&mut self) -> usize {
        self.random.index(self.agents.len())
    }

    fn some_peer(&mut self) -> Peer {
        let peers = self.network.peers();
        peers[self.random.index(peers.len())]
    }

    fn block(&mut self, peer: Peer, ways: &[Direction], lasts: Duration) {
        let until = self.now + lasts;
        let masters = self.masters.len();
        // All ways of the node, or one of several.
        let one = (masters > 1 && self.random.percent(50)).then(|| self.random.index(masters));
        for host in (0..masters).filter(|host| one.is_none_or(|one| one == *host)) {
            ways.iter().for_each(|way| self.network.block((peer, host), *way, until));
        }
        self.schedule(until, Event::Freed { peer });
    }

    /// The end of all faults: ways are free, disks are fast, and what is down comes up.
    pub(crate) fn heal(&mut self) {
        self.trace.happened(self.now, "!", &"heal");
        self.faults.heal();
        self.network.heal();
        for peer in self.network.peers() {
            self.schedule(self.now, Event::Freed { peer });
        }
        for until in self.slow.values_mut() {
            *until = Time::ZERO;
        }
        self.heal_masters();
        for i in 0..self.agents.len() {
            self.agents[i].crash_in = None;
            self.agents[i].doomed = 0;
            let up = self.random.millis(0, 2_000);
            self.schedule_in(up, Event::StartAgent(i));
        }
        for i in 0..self.frameworks.len() {
            if let Some(driver) = self.frameworks[i].driver_mut() {
                driver.crash_in = None;
                driver.doomed = 0;
                let up = self.random.millis(0, 2_000);
                self.schedule_in(up, Event::StartDriver(i));
            }
        }
        self.schedule(self.now, Event::OperatorActs);
        self.begin_rest(self.now);
    }
}
