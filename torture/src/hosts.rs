//! The machines of the cluster: network namespaces on one bridge, made and removed by name.
//!
//! It never touches a namespace that is not on its own list, and no packet leaves the bridge: there
//! is no route out of it.

use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// The namespace of the bridge.
const BRIDGE: &str = "tepui-net";
/// Where the tool's own clients stand.
pub(crate) const TOOL: Host = Host { name: "tepui-tool", last: 2 };
/// Where the jobs framework stands.
pub(crate) const JOBS: Host = Host { name: "tepui-jobs", last: 31 };
pub(crate) const MASTERS: [Host; 3] = [
    Host { name: "tepui-m1", last: 11 },
    Host { name: "tepui-m2", last: 12 },
    Host { name: "tepui-m3", last: 13 },
];
pub(crate) const AGENTS: [Host; 5] = [
    Host { name: "tepui-a1", last: 21 },
    Host { name: "tepui-a2", last: 22 },
    Host { name: "tepui-a3", last: 23 },
    Host { name: "tepui-a4", last: 24 },
    Host { name: "tepui-a5", last: 25 },
];

/// One machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: &'static str,
    last: u8,
}

/// How two machines are kept from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What is sent is gone.
    Drop,
    /// What is sent is answered with a reset.
    Reset,
    /// There is no way to the other.
    NoRoute,
}

impl Host {
    pub(crate) fn ip(self) -> String {
        format!("10.77.0.{}", self.last)
    }

    /// The words before a program that run it on this machine.
    pub(crate) fn enter(self) -> [String; 3] {
        ["nsenter".to_owned(), format!("--net=/run/netns/{}", self.name), "--".to_owned()]
    }

    /// Keeps this machine and another from each other, on both sides.
    pub(crate) fn cut(self, other: Self, how: Cut) -> anyhow::Result<()> {
        for (here, there) in [(self, other), (other, self)] {
            let ip = there.ip();
            let rules: [&[&str]; 2] = match how {
                Cut::Drop => [
                    &["-A", "INPUT", "-s", &ip, "-j", "DROP"],
                    &["-A", "OUTPUT", "-d", &ip, "-j", "DROP"],
                ],
                Cut::Reset => [
                    &[
                        "-A",
                        "INPUT",
                        "-p",
                        "tcp",
                        "-s",
                        &ip,
                        "-j",
                        "REJECT",
                        "--reject-with",
                        "tcp-reset",
                    ],
                    &[
                        "-A",
                        "OUTPUT",
                        "-p",
                        "tcp",
                        "-d",
                        &ip,
                        "-j",
                        "REJECT",
                        "--reject-with",
                        "tcp-reset",
                    ],
                ],
                Cut::NoRoute => {
                    run(&["ip", "-n", here.name, "route", "add", "unreachable", &ip])?;
                    continue;
                }
            };
            for rule in rules {
                here.iptables(rule)?;
            }
        }
        Ok(())
    }

    /// This machine does not hear the other any more; the other hears this one.
    pub(crate) fn deafen(self, to: Self) -> anyhow::Result<()> {
        self.iptables(&["-A", "INPUT", "-s", &to.ip(), "-j", "DROP"])
    }

    /// Pulls the cable, or puts it in.
    pub(crate) fn link(self, up: bool) -> anyhow::Result<()> {
        // At the bridge's side: addresses and routes of the machine stay.
        run(&["ip", "-n", BRIDGE, "link", "set", self.name, if up { "up" } else { "down" }])
    }

    /// Takes all cuts of this machine away.
    pub(crate) fn heal(self) -> anyhow::Result<()> {
        self.iptables(&["-F"])?;
        self.link(true)?;
        for other in MASTERS {
            // Fails where there is no such route, as a rule.
            let ip = other.ip();
            let words = ["-n", self.name, "route", "del", "unreachable", &ip];
            let _ = Command::new("ip").args(words).stderr(Stdio::null()).status();
        }
        Ok(())
    }

    fn iptables(self, words: &[&str]) -> anyhow::Result<()> {
        let mut all = vec!["ip", "netns", "exec", self.name, "iptables", "-w"];
        all.extend(words);
        run(&all)
    }
}

fn all() -> impl Iterator<Item = Host> {
    [TOOL, JOBS].into_iter().chain(MASTERS).chain(AGENTS)
}

/// All machines and their network; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Network(());

impl Network {
    /// Makes them. What an earlier run left is removed first.
    pub(crate) fn make() -> anyhow::Result<Self> {
        remove();
        let network = Self(());
        run(&["ip", "netns", "add", BRIDGE])?;
        run(&["ip", "-n", BRIDGE, "link", "add", "br0", "type", "bridge"])?;
        run(&["ip", "-n", BRIDGE, "link", "set", "br0", "up"])?;
        for host in all() {
            let name = host.name;
            run(&["ip", "netns", "add", name])?;
            run(&[
                "ip", "-n", BRIDGE, "link", "add", "name", name, "type", "veth", "peer", "name",
                "eth0", "netns", name,
            ])?;
            run(&["ip", "-n", BRIDGE, "link", "set", name, "master", "br0", "up"])?;
            run(&["ip", "-n", name, "addr", "add", &format!("{}/24", host.ip()), "dev", "eth0"])?;
            run(&["ip", "-n", name, "link", "set", "eth0", "up"])?;
            run(&["ip", "-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove();
    }
}

/// Removes the namespaces that are there, after the processes in them.
fn remove() {
    for name in all().map(|host| host.name).chain([BRIDGE]) {
        if !Path::new("/run/netns").join(name).exists() {
            continue;
        }
        // A process may start another one before its turn comes.
        for _ in 0..10 {
            let pids = pids(name);
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                // Fails if it has just ended.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if let Err(error) = run(&["ip", "netns", "del", name]) {
            eprintln!("torture: {error:#}");
        }
    }
}

fn pids(namespace: &str) -> Vec<rustix::process::Pid> {
    let output = Command::new("ip").args(["netns", "pids", namespace]).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| rustix::process::Pid::from_raw(line.trim().parse().ok()?))
        .collect()
}

/// Runs a command to its end.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("a command has a first word")?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}`: {}", words.join(" "), said.trim());
    }
    Ok(())
}
