//! A run, from among the machines: the cluster is started, put under load and tormented, left in
//! peace, looked at for a last time, ended, and judged.

use crate::cluster::{Cluster, lock, master_address, pause};
use crate::faults::FIRST;
use crate::history::{self, Entry, Fact, Recorder};
use crate::hosts::MASTERS;
use crate::keeper;
use crate::nemesis::Nemesis;
use crate::operator::Operator;
use crate::page::{self, Head};
use crate::registers::{CLIENTS, read};
use crate::{check, instance, jobs, registers, watch};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long the last tasks and jobs have to end once nothing new is begun.
const PEACE: Duration = Duration::from_secs(60);
/// From so many minutes on, masters are stopped and away for up to a minute.
const LONG: u64 = 10;
/// From so many minutes on, all that is to be shown must have been.
const WHOLE: u64 = 5;
/// What start, peace and the judgement take of a run's minutes.
const ASIDE: Duration = Duration::from_secs(15);

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tepui: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> anyhow::Result<Self> {
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            words.get(at + 1).cloned()
        };
        let number = |name: &str, default: u64| {
            value(name).map_or(Ok(default), |value| {
                value.parse().with_context(|| format!("{name} wants a whole number, got `{value}`"))
            })
        };
        let path = |name: &str| {
            let path = value(name).with_context(|| format!("{name} is missing"))?;
            Ok::<_, anyhow::Error>(std::path::absolute(path)?)
        };
        Ok(Self {
            tepui: path("--tepui")?,
            out: path("--out")?,
            minutes: number("--minutes", 5)?,
            seed: number("--seed", 1)?,
        })
    }
}

/// Everything of one run.
pub(crate) async fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    let options = Options::parse(words)?;
    crate::end_with_parent();
    if options.out.exists() {
        std::fs::remove_dir_all(&options.out)?;
    }
    let begin = Instant::now();
    let cluster = Arc::new(Cluster::plan(&options.tepui, &options.out)?);
    println!("3 masters, 5 agents, 3 frameworks; seed {}", options.seed);
    cluster.start().await?;
    let watching = Arc::new(AtomicBool::new(false));
    let mut watchers = watch_all(&cluster, &watching);
    let loading = Arc::new(AtomicBool::new(false));
    let mut clients = load(&cluster, &loading);
    let end = begin + Duration::from_secs(options.minutes * 60).saturating_sub(ASIDE);
    let is_long = options.minutes >= LONG;
    if options.minutes >= WHOLE {
        let faults = FIRST.iter().map(|kind| kind.full_name()).collect();
        cluster.history.note(Fact::Asked { faults });
    }
    Nemesis::new(Arc::clone(&cluster), options.seed, is_long).torment(end).await?;
    println!("     peace");
    loading.store(true, Ordering::Relaxed);
    std::fs::write(cluster.tasks().join("calm"), "")?;
    cluster.history.note(Fact::Calm);
    while let Some(ended) = clients.join_next().await {
        ended.context("a client")??;
    }
    last_reads(&cluster).await;
    wait_for_ends(&cluster).await?;
    watching.store(true, Ordering::Relaxed);
    while let Some(ended) = watchers.join_next().await {
        ended.context("a watcher")?;
    }
    cluster.history.note(Fact::Over);
    for process in cluster.frameworks.iter().chain(&cluster.agents).chain(&cluster.masters) {
        lock(process).kill_9();
    }
    let history = whole_history(&options.out)?;
    judge(&options, &history, begin)
}

fn watch_all(cluster: &Arc<Cluster>, stop: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for at in 0..cluster.masters.len() {
        all.spawn(watch::master(Arc::clone(cluster), at, Arc::clone(stop)));
    }
    for at in 0..cluster.agents.len() {
        all.spawn(watch::agent(Arc::clone(cluster), at, Arc::clone(stop)));
    }
    all.spawn(watch::books(Arc::clone(cluster), Arc::clone(stop)));
    all
}

fn load(cluster: &Arc<Cluster>, stop: &Arc<AtomicBool>) -> JoinSet<anyhow::Result<()>> {
    let mut all = JoinSet::new();
    let value = Arc::new(AtomicU64::new(1));
    for client in 0..CLIENTS {
        let (cluster, value, stop) = (Arc::clone(cluster), Arc::clone(&value), Arc::clone(stop));
        all.spawn(async move {
            registers::client(cluster, client, value, stop).await;
            Ok(())
        });
    }
    all.spawn(jobs::feed(Arc::clone(cluster), Arc::clone(stop)));
    all
}

/// Each master is asked for what there is now.
async fn last_reads(cluster: &Cluster) {
    for at in 0..cluster.masters.len() {
        let mut operator = Operator::new(vec![master_address(at)]);
        for _ in 0..20 {
            if read(cluster, &mut operator, CLIENTS + at, true).await {
                break;
            }
            // waits: it may not know yet who leads
            pause(200).await;
        }
    }
}

/// Waits until each launch has its end, and each framework's state was read for a last time; or
/// until it is clear that some will never have that: which ones, the checks tell.
async fn wait_for_ends(cluster: &Cluster) -> anyhow::Result<()> {
    let begin = Instant::now();
    let is_last = |entry: &&Entry| matches!(entry.fact, Fact::Held { last: true, .. });
    while begin.elapsed() < PEACE {
        let history = whole_history(&cluster.dir)?;
        let verdicts = check::all(&history);
        let ended =
            verdicts.iter().all(|verdict| verdict.id != "I2" || verdict.violations.is_empty());
        if ended && history.iter().filter(is_last).count() >= keeper::LAST_READS {
            return Ok(());
        }
        pause(1_000).await;
    }
    Ok(())
}

fn whole_history(dir: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut history = history::read(&paths)?;
    let end = history.last().map_or(0, |entry| entry.at);
    history.extend(instance::collect(&dir.join("tasks"))?.into_iter().map(|fact| {
        // At its begin, as far as the picture goes.
        let at = if let Fact::Instance { began, .. } = fact { began } else { end };
        Entry { at, fact }
    }));
    let begin = history.first().map_or(0, |entry| entry.at);
    for master in 0..MASTERS.len() {
        let log = dir.join(format!("logs/master-{}.log", master + 1));
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        // The log has another clock: it tells that, not when.
        let leads = log.lines().filter_map(|line| leads(master, line));
        history.extend(leads.map(|fact| Entry { at: begin, fact }));
    }
    history.sort_by_key(|entry| entry.at);
    Ok(history)
}

/// That a master began to lead, as it says itself once that is durable.
fn leads(master: usize, line: &str) -> Option<Fact> {
    let (_, words) = line.split_once("registry open ")?;
    let value = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name));
    let leader = value("master_id=")?.to_owned();
    Some(Fact::Lead { master, epoch: value("epoch=")?.parse().ok()?, leader })
}

fn judge(options: &Options, history: &[Entry], begin: Instant) -> anyhow::Result<ExitCode> {
    let verdicts = check::all(history);
    let program = options.tepui.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let head = Head { seed: options.seed, program };
    // What tasks and masters wrote elsewhere goes with their data.
    let recorder = Recorder::open(&options.out.join("history-found.jsonl"))?;
    let is_found = |entry: &&Entry| matches!(entry.fact, Fact::Instance { .. } | Fact::Lead { .. });
    for entry in history.iter().filter(is_found) {
        recorder.note_at(entry.at, entry.fact.clone());
    }
    let path = options.out.join("torture.html");
    std::fs::write(&path, page::page(&head, history, &verdicts))?;
    println!();
    for verdict in &verdicts {
        println!("{:4} {:10} {}", verdict.id, verdict.word(), verdict.counted);
        for violation in verdict.violations.iter().take(10) {
            println!("       {violation}");
        }
    }
    let count = |word: &str| verdicts.iter().filter(|verdict| verdict.word() == word).count();
    let (held, failed, untested) = (count("ok"), count("violated"), count("not tested"));
    println!(
        "\n{held} held, {failed} violated, {untested} not tested, in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    println!("{}", path.display());
    // In less time not everything can come.
    let is_proof = failed == 0 && (untested == 0 || options.minutes < WHOLE);
    Ok(if is_proof { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_log_tells_who_led_in_which_epoch() {
        let line =
            "2026 INFO master::registrar: registry open cluster=c master_id=m-1 epoch=7 facts=3";
        let leader = "m-1".to_owned();
        assert_eq!(leads(1, line), Some(Fact::Lead { master: 1, epoch: 7, leader }));
        assert_eq!(leads(1, "2026 INFO master::terms: this master leads term=2"), None);
    }
}
