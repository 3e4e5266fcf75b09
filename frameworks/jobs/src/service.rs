//! The framework's verbs: submit, list, show, wait, kill, scale, and why.
//!
//! All state is the engine's; what is kept here is only what can be lost: events, and names of
//! submits under way. It never polls: who waits is woken.

use crate::admission;
use crate::api::{self, Problem};
use crate::cluster::Cluster;
use crate::events::{SharedLog, Until};
use crate::refusal::Refusal;
use crate::retention::Retention;
use crate::show::{self, Seen};
use crate::spec::{self, Format, Spec};
use driver::core::{
    Attempt, GroupId, GroupSpec, GroupView, Refusal as EngineRefusal, Scheduler, UnitState,
};
use driver::{AskError, Engine};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Units looked at in one go, so that looking never holds up the work.
const RANGE: u32 = 64 * 1024;

/// How long a request waits for masters to take the record of it: longer than they need to choose
/// another leader.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// A submit as it came.
#[derive(Debug)]
pub(crate) struct Submit<'a> {
    pub(crate) text: &'a str,
    pub(crate) format: Format,
    pub(crate) token: Option<String>,
    pub(crate) dry_run: bool,
}

/// The framework.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) engine: Engine,
    pub(crate) cluster: Cluster,
    pub(crate) log: SharedLog,
    pub(crate) role: String,
    pub(crate) counters: Counters,
    /// Becomes true when the process is to end.
    pub(crate) ending: watch::Receiver<bool>,
    /// Whether the records are at the masters.
    replicated: bool,
    /// Names of submits under way, with their tokens.
    names: Names,
}

impl Service {
    pub(crate) fn new(
        engine: Engine,
        cluster: Cluster,
        log: SharedLog,
        role: String,
        ending: watch::Receiver<bool>,
        replicated: bool,
    ) -> Self {
        let (names, counters) = (Names::default(), Counters::default());
        Self { engine, cluster, log, role, counters, ending, replicated, names }
    }

    /// Takes a job on. It is durable when this returns.
    pub(crate) async fn submit(&self, submit: Submit<'_>) -> Result<api::Submitted, Refusal> {
        let result = self.try_submit(submit).await;
        let counter = match &result {
            Ok(_) => &self.counters.submitted,
            Err(_) => &self.counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    async fn try_submit(&self, submit: Submit<'_>) -> Result<api::Submitted, Refusal> {
        let Submit { text, format, token, dry_run } = submit;
        let Spec { role, mut group } =
            spec::parse(text, format).map_err(|problems| Refusal::all(400, problems))?;
        group.token = token;
        let name = group.name.clone();
        let _reserved = self.names.reserve(&name, group.token.as_deref())?;
        let (key, mark) = (name.clone(), group.token.clone());
        let (already, living) = self
            .engine
            .read(move |scheduler, _| {
                let repeated = |known: &GroupView| mark.is_some() && known.spec.token == mark;
                let already = scheduler.named(&key).any(|known| repeated(&known));
                let living = scheduler.named(&key).find(|known| known.ended.is_none());
                (already, living.map(|known| known.id))
            })
            .await?;
        let mut warnings = Vec::new();
        if !already {
            let mut problems = self.role_problems(role.as_deref());
            problems.extend(self.impossible(&group.template).await);
            if !problems.is_empty() {
                return Err(Refusal::all(400, problems));
            }
            if let Some(living) = living {
                let problem = format!(
                    "'{name}' is the name of a living job ({living}): kill that, wait for its end, \
                     or take another name"
                );
                return Err(Refusal::new(409, "name", problem));
            }
            warnings = self.warnings(&group.template);
        }
        let units = group.count;
        let id = if dry_run { String::new() } else { self.take_on(group).await?.to_string() };
        Ok(api::Submitted { id, name, units, dry_run, already, warnings, job: None })
    }

    /// Takes a group on. Where there is little room, ended jobs make way, the oldest first.
    async fn take_on(&self, group: GroupSpec) -> Result<GroupId, Refusal> {
        let taken = async {
            loop {
                let taken = self.engine.submit(group.clone()).await;
                // Nothing is forgotten for what would not fit even if all that lives took no more.
                let makes_sense = matches!(
                    &taken,
                    Err(AskError::Refused(EngineRefusal::NoRoom { needs, promised, capacity, .. }))
                        if needs.saturating_add(*promised) <= *capacity
                );
                if !makes_sense || !Retention::make_room(&self.engine).await {
                    return Ok(taken);
                }
            }
        };
        Ok(self.recorded(taken).await??)
    }

    /// What `done` gives, which waits for a record. Masters that take too long are an answer too.
    async fn recorded<T>(
        &self,
        done: impl Future<Output = Result<T, AskError>>,
    ) -> Result<T, Refusal> {
        if !self.replicated {
            return Ok(done.await?);
        }
        match tokio::time::timeout(PATIENCE, done).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Refusal::no_master()),
        }
    }

    fn role_problems(&self, role: Option<&str>) -> Vec<Problem> {
        let Some(role) = role.filter(|role| *role != self.role) else { return Vec::new() };
        let ours = &self.role;
        let problem =
            format!("there is no role '{role}' here: this framework has the role '{ours}'");
        vec![Problem { path: "role".to_owned(), problem }]
    }

    /// What no agent could give. What fitted an agent that was seen lately is not asked for again.
    async fn impossible(&self, template: &driver::core::Template) -> Vec<Problem> {
        if let Some(agents) = self.cluster.agents_seen()
            && !agents.is_empty()
            && admission::impossible(template, &agents).is_empty()
        {
            return Vec::new();
        }
        match self.cluster.agents().await {
            Some(agents) => admission::impossible(template, &agents),
            None => Vec::new(),
        }
    }

    fn warnings(&self, template: &driver::core::Template) -> Vec<String> {
        match self.cluster.agents_seen() {
            Some(agents) => admission::warnings(template, &agents),
            None => vec![format!(
                "no master answers at {}: it is not known whether any agent fits",
                self.cluster.masters()
            )],
        }
    }

    /// All jobs, oldest first.
    pub(crate) async fn list(
        &self,
        name: Option<String>,
        ended: Option<bool>,
    ) -> Result<api::JobList, Refusal> {
        let seen = self
            .engine
            .read(move |scheduler, now| {
                let wanted = |group: &GroupView| {
                    name.as_ref().is_none_or(|name| group.spec.name == *name)
                        && ended.is_none_or(|ended| group.ended.is_some() == ended)
                };
                let groups = scheduler.groups().filter(wanted);
                groups.map(|group| Seen::brief(group, now)).collect::<Vec<_>>()
            })
            .await?;
        Ok(api::JobList { jobs: seen.iter().map(|seen| seen.job(&self.role)).collect() })
    }

    /// A job by its name or id.
    pub(crate) async fn seen(&self, job: &str) -> Result<Seen, Refusal> {
        let key = job.to_owned();
        let seen = self
            .engine
            .read(move |scheduler, now| {
                resolve(scheduler, &key).map(|group| Seen::whole(scheduler, group, now))
            })
            .await?;
        seen.ok_or_else(|| Refusal::no_job(job))
    }

    /// A job by its name or id, as the API shows it.
    pub(crate) async fn job(&self, job: &str) -> Result<api::Job, Refusal> {
        let seen = self.seen(job).await?;
        self.shown(&seen).await
    }

    /// A job as the API shows it; what only the records tell of its units is looked up.
    pub(crate) async fn shown(&self, seen: &Seen) -> Result<api::Job, Refusal> {
        let mut job = seen.job(&self.role);
        for unit in job.failures.iter_mut().chain(&mut job.units_shown) {
            if show::lacks_history(unit) {
                let attempts = self.attempts(&seen.group, unit.index).await?;
                show::complete(unit, attempts.last());
            }
        }
        Ok(job)
    }

    /// Some units of a job.
    pub(crate) async fn units(
        &self,
        job: &str,
        wanted: impl Fn(UnitState) -> bool + Clone + Send + 'static,
        offset: u32,
        limit: usize,
    ) -> Result<api::UnitList, Refusal> {
        let group = self.seen(job).await?.group;
        let (mut units, mut next) = (Vec::new(), Some(offset));
        while let Some(from) = next
            && units.len() < limit
        {
            let (id, wanted, most) = (group.id.clone(), wanted.clone(), limit - units.len());
            let (found, framework, on) = self
                .engine
                .read(move |scheduler, _| {
                    let (found, next) = scheduler.find_units(&id, from, RANGE, most, wanted);
                    (found, scheduler.framework_id().cloned(), next)
                })
                .await?;
            units.extend(found.iter().map(|unit| show::unit(&group, unit, framework.as_ref())));
            next = on;
        }
        Ok(api::UnitList { units, next })
    }

    /// A unit with its history.
    pub(crate) async fn unit(&self, job: &str, index: u32) -> Result<api::UnitDetail, Refusal> {
        let group = self.seen(job).await?.group;
        let id = group.id.clone();
        let (unit, framework) = self
            .engine
            .read(move |scheduler, _| {
                (scheduler.unit(&id, index), scheduler.framework_id().cloned())
            })
            .await?;
        let Some(unit) = unit else {
            let (id, count) = (&group.id, group.counts.total());
            let problem = format!("{id} has no unit {index}: it has {count}, from 0");
            return Err(Refusal::new(404, "", problem));
        };
        let attempts = self.attempts(&group, index).await?;
        let framework = framework.as_ref();
        let mut unit = show::unit(&group, &unit, framework);
        show::complete(&mut unit, attempts.last());
        let attempts =
            attempts.iter().map(|attempt| show::attempt(&group, index, attempt, framework));
        Ok(api::UnitDetail { unit, attempts: attempts.collect() })
    }

    /// The ended attempts of a unit, oldest first, from the records.
    async fn attempts(&self, group: &GroupView, index: u32) -> Result<Vec<Attempt>, Refusal> {
        let (engine, number) = (self.engine.clone(), group.number);
        match tokio::task::spawn_blocking(move || engine.attempts(number, index)).await {
            Ok(Ok(attempts)) => Ok(attempts),
            Ok(Err(error)) => Err(Refusal::new(500, "", error.to_string())),
            Err(_) => Err(Refusal::ending()),
        }
    }

    /// Ends a job; one that has ended stays as it is.
    pub(crate) async fn kill(&self, job: &str) -> Result<api::Job, Refusal> {
        let group = self.seen(job).await?.group;
        if group.ended.is_none() {
            self.recorded(self.engine.kill(group.id.clone(), None)).await?;
        }
        self.job(group.id.as_str()).await
    }

    /// Ends a unit; a replica is replaced.
    pub(crate) async fn kill_unit(&self, job: &str, index: u32) -> Result<api::Unit, Refusal> {
        let group = self.seen(job).await?.group;
        self.recorded(self.engine.kill(group.id.clone(), Some(index))).await?;
        Ok(self.unit(group.id.as_str(), index).await?.unit)
    }

    /// Sets how many replicas a service keeps.
    pub(crate) async fn scale(&self, job: &str, replicas: u32) -> Result<api::Job, Refusal> {
        let group = self.seen(job).await?.group;
        self.recorded(self.engine.scale(group.id.clone(), replicas)).await?;
        self.job(group.id.as_str()).await
    }

    /// The job as soon as it has got so far, or when the time is over.
    pub(crate) async fn wait(
        &self,
        job: &str,
        until: Until,
        timeout: Duration,
    ) -> Result<api::Job, Refusal> {
        let id = self.seen(job).await?.group.id;
        let mut ending = self.ending.clone();
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        loop {
            let sign = self.log.wait_for(&id, until);
            let seen = self.seen(id.as_str()).await?;
            let reached = match until {
                Until::Started => seen.group.tally.attempts > 0 || seen.group.ended.is_some(),
                Until::Ended => seen.group.ended.is_some(),
            };
            if reached {
                drop(sign);
                self.log.tidy(&id);
                return self.shown(&seen).await;
            }
            let over = tokio::select! {
                _ = sign => false,
                () = &mut deadline => true,
                _ = ending.wait_for(|ending| *ending) => return Err(Refusal::ending()),
            };
            if over {
                self.log.tidy(&id);
                return self.job(id.as_str()).await;
            }
        }
    }
}

/// The living job of this name, else the newest of it, else the job of this id.
pub(crate) fn resolve(scheduler: &Scheduler, key: &str) -> Option<GroupView> {
    let mut named: Vec<GroupView> = scheduler.named(key).collect();
    let living = named.iter().position(|group| group.ended.is_none());
    match living {
        Some(at) => Some(named.swap_remove(at)),
        None => named.pop().or_else(|| scheduler.view(&GroupId::new(key))),
    }
}

/// By name: the token, and how many submits have it.
type UnderWay = BTreeMap<String, (Option<String>, usize)>;

/// Names of submits under way: two at once under one name must not both be taken on.
#[derive(Debug, Default)]
struct Names(Arc<Mutex<UnderWay>>);

/// A name that is reserved until this is dropped.
#[derive(Debug)]
struct Reserved {
    names: Arc<Mutex<UnderWay>>,
    name: String,
}

impl Names {
    /// Reserves the name. A submit with the same token may go on beside the first: the engine
    /// takes only one of them on.
    fn reserve(&self, name: &str, token: Option<&str>) -> Result<Reserved, Refusal> {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get_mut(name) {
            None => {
                names.insert(name.to_owned(), (token.map(str::to_owned), 1));
            }
            Some((other, count)) if token.is_some() && other.as_deref() == token => *count += 1,
            Some(_) => {
                let problem = format!("'{name}' is just being submitted by somebody else");
                return Err(Refusal::new(409, "name", problem));
            }
        }
        Ok(Reserved { names: Arc::clone(&self.0), name: name.to_owned() })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = names.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                names.remove(&self.name);
            }
        }
    }
}
