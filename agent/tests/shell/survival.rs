//! Agents and supervisors that are killed in the middle of whatever they do, at each place that has
//! a name: the next agent starts, tells the truth about every task, and nothing is left.

use crate::rig::left::{Marks, is_over};
use crate::rig::{Agent, Connection, Master, command, config, framework_id, shell, soon};
use agent::Stop;
use agent::crash::{AGENT, SUPERVISOR, VARIABLE};
use futures_util::StreamExt;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    CommandInfo, ContainerInfo, Exit, FrameworkId, Role, StatusUuid, TaskBody, TaskId, TaskInfo,
    TaskPayload, TaskState, TaskStatus,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};

/// Cases at one time: most of their time is waiting.
const AT_ONCE: usize = 4;

/// What the agents have that are killed.
fn resources(case: Case) -> Option<String> {
    let bandwidth = if case.networks() { ";network:1000" } else { "" };
    Some(format!("cpus:4000;mem:1000000;disk:1000{bandwidth}"))
}

/// Waits for what no one reports: changes of files and of the table of processes.
pub(crate) async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            // waits: between two looks at what changes without an event
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// One kill: the place, which arrival there, what is to be had here, and whether it is in the story
/// of many kinds of tasks instead of plain ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) place: &'static str,
    pub(crate) arrival: u32,
    pub(crate) cgroups: bool,
    pub(crate) kinds: bool,
}

impl Case {
    fn networks(self) -> bool {
        self.cgroups && !self.kinds
    }
}

/// A work directory. Whatever fails, no process of it stays.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    fn work(&self) -> PathBuf {
        self.0.path().join("agent")
    }

    pub(crate) fn marker(&self) -> PathBuf {
        self.0.path().join("killed")
    }

    /// Whether the process that came to the place is gone: it has left its number.
    fn has_died(&self) -> bool {
        let number = std::fs::read_to_string(self.marker()).ok();
        number.and_then(|number| number.parse().ok()).is_some_and(is_over)
    }

    /// The store of images, in the story that has any.
    pub(crate) fn images(&self) -> PathBuf {
        self.0.path().join("images")
    }

    fn marks(&self) -> Marks {
        Marks::of_agent(&self.work())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for (pid, _) in self.marks().processes() {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap_or(0));
            let _ =
                pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

/// What frameworks heard: of each task the last state, and how it ended. What was acknowledged
/// comes again when the agent was killed before it had noted that, under the same number.
#[derive(Default)]
pub(crate) struct Told(pub(crate) BTreeMap<String, Option<TaskStatus>>, BTreeSet<StatusUuid>);

impl Told {
    fn take(&mut self, status: TaskStatus) {
        if !self.1.insert(status.uuid.unwrap()) {
            return;
        }
        let last = self.0.entry(status.task_id.to_string()).or_default();
        if let Some(last) = last.as_ref().filter(|last| last.state.is_terminal()) {
            assert_eq!(status.state, last.state, "{} came to life again", status.task_id);
        }
        *last = Some(status);
    }

    pub(crate) fn state(&self, task: &str) -> Option<TaskState> {
        self.0.get(task)?.as_ref().map(|status| status.state)
    }

    fn exit(&self, task: &str) -> Option<Exit> {
        self.0.get(task)?.as_ref()?.outcome.as_ref()?.exit
    }

    fn has_ended(&self, task: &str) -> bool {
        self.state(task).is_some_and(|state| state.is_terminal())
    }

    pub(crate) fn living(&self) -> Vec<(FrameworkId, TaskId)> {
        let ids = self.0.keys().filter(|id| !self.has_ended(id));
        ids.map(|id| (framework_id(), TaskId::new(id.as_str()).unwrap())).collect()
    }

    /// Takes updates until it is so; false when the agent is gone before.
    pub(crate) async fn hear(
        &mut self,
        link: &mut Connection,
        enough: impl Fn(&Self) -> bool,
    ) -> bool {
        while !enough(self) {
            match link.next_or_end().await {
                Some(AgentCall::Update { status, .. }) => {
                    link.acknowledge(&status);
                    self.take(*status);
                }
                Some(_) => {}
                None => return false,
            }
        }
        true
    }
}

/// Three tasks: one that ends and leaves a process, one that has to be killed hard, and one with
/// walls around it.
fn tasks(case: Case, place: &Place) -> Vec<TaskInfo> {
    let token = |mut body: CommandInfo| {
        let path = place.0.path().to_string_lossy().into_owned();
        body.environment.push(("PLACE".into(), path.into()));
        body
    };
    let line = |id: &str, line: &str| {
        let value = Some(line.into());
        let mut task =
            command(id, token(CommandInfo { shell: true, value, ..CommandInfo::default() }));
        task.kill_grace = Some(Duration::from_millis(50));
        task
    };
    let mut walled = line("walled", "exec sleep 1000");
    if case.cgroups {
        let body = walled.payload.open().unwrap();
        let hostname = Some("walled".into());
        let container = Some(ContainerInfo { hostname, ..ContainerInfo::default() });
        walled.payload = TaskPayload::new(&TaskBody { container, ..TaskBody::clone(&body) });
        // And a network of its own.
        walled = crate::network::holding(walled, 31_000);
    }
    let stubborn = line("stubborn", "trap '' TERM; while :; do sleep 1000; done");
    vec![line("quick", "echo begun; sleep 1000 & exit 3"), stubborn, walled]
}

/// What is done with the agent that is to be killed. Ends early when it is.
async fn story(case: Case, place: &Place, master: &mut Master, told: &mut Told) {
    let mut link = master.admit_knowing(None, Vec::new()).await;
    let tasks = tasks(case, place);
    told.0.extend(tasks.iter().map(|task| (task.task_id.to_string(), None)));
    let framework = Arc::new(crate::rig::framework());
    link.tell(AgentEvent::Run { framework, role: Role::any(), tasks });
    let begun = |told: &Told| ["stubborn", "walled"].iter().all(|id| told.state(id).is_some());
    if !told.hear(&mut link, |told| begun(told) && told.has_ended("quick")).await {
        return;
    }
    if case.place == "supervisor-replaced" {
        kill_supervisor(&place.work());
    } else {
        for id in ["stubborn", "walled"] {
            let (framework_id, task_id) = (framework_id(), TaskId::new(id).unwrap());
            link.tell(AgentEvent::Kill { framework_id, task_id, grace: None, draining: false });
        }
    }
    if !told.hear(&mut link, |told| told.living().is_empty()).await {
        return;
    }
    // What is done after the last update: records and sandboxes go.
    until(|| place.marker().exists() || case.place == "socket-removed").await;
}

/// Kills the supervisor of a work directory; its number.
pub(crate) fn kill_supervisor(work: &Path) -> i32 {
    let lock = std::fs::read_to_string(work.join("supervisor/supervisor.lock")).unwrap();
    let number = lock.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(number).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    number
}

fn spawn(case: Case, place: &Place, master: &Master) -> Child {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_agent"));
    agent.args([master.address.as_ref(), place.work().as_os_str()]);
    if case.cgroups {
        agent.arg("--cgroups");
    }
    let (name, arrival) = (case.place, case.arrival);
    agent.arg("--collect");
    if case.networks() {
        // Several are in one network: each has a subnet of its own.
        static SUBNET: AtomicU8 = AtomicU8::new(0);
        let number = SUBNET.fetch_add(1, Ordering::Relaxed);
        agent.args(["--network", &format!("10.198.{number}.0")]);
    }
    if place.images().exists() {
        agent.arg("--images").arg(place.images());
    }
    agent
        .arg(env!("CARGO_BIN_EXE_supervise"))
        .env(VARIABLE, format!("{name}:{arrival}:{}", place.marker().display()))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The name of the supervisor's cgroup, which runs.
fn group_name(place: &Place) -> String {
    let lines = place.marks().processes();
    let words = lines.iter().flat_map(|(_, line)| line.split(' '));
    words.skip_while(|word| *word != "--name").nth(1).unwrap().to_owned()
}

/// The agent that comes after: it answers for every task, runs another, and ends. Returns the name
/// of its supervisor's cgroup.
async fn aftermath(case: Case, place: &Place, master: &mut Master, told: &mut Told) -> String {
    let mut config = config(master, &place.work());
    config.cgroups = case.cgroups;
    config.resources = resources(case);
    // It has another address than the one that was killed: no executor will find it, neither one
    // that had been there nor one that had only been started.
    config.executor_reregistration_timeout = Duration::from_millis(300);
    config.executor_registration_timeout = Duration::from_millis(300);
    let agent = Agent::start(config).await;
    let mut link = master.admit_knowing(Some(agent.address.port()), told.living()).await;
    let kept: Vec<_> = link.tasks.iter().map(|task| task.task_id.to_string()).collect();
    told.0.retain(|id, last| {
        // A new agent knows nothing of what was never told to have begun.
        last.is_some() || kept.contains(id)
    });
    for (_, task_id) in told.living() {
        let framework_id = framework_id();
        link.tell(AgentEvent::Kill { framework_id, task_id, grace: None, draining: false });
    }
    if !told.hear(&mut link, |told| told.living().is_empty()).await {
        panic!("{case:?}: the agent that came after ended: {}", agent.error().await);
    }
    let group = group_name(place);
    let (framework, tasks) = (Arc::new(crate::rig::framework()), vec![shell("probe", "exit 7")]);
    link.tell(AgentEvent::Run { framework, role: Role::any(), tasks });
    if !told.hear(&mut link, |told| told.has_ended("probe")).await {
        panic!("{case:?}: the agent that came after ended: {}", agent.error().await);
    }
    assert_eq!(told.exit("probe"), Some(Exit::Code(7)));
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
    group
}

/// An agent that collects at once, on what is there: nothing stays.
async fn leaves_nothing(case: Case, place: &Place, master: &mut Master) {
    let mut config = config(master, &place.work());
    config.cgroups = case.cgroups;
    config.gc_delay = Duration::ZERO;
    config.resources = resources(case);
    let agent = Agent::start(config).await;
    let _link = master.admit_knowing(Some(agent.address.port()), Vec::new()).await;
    let sandboxes = place.work().join("sandboxes");
    until(|| std::fs::read_dir(&sandboxes).unwrap().next().is_none()).await;
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
    let is_empty = |name: &str| {
        let entries = std::fs::read_dir(place.work().join(name));
        entries.into_iter().flatten().next().is_none()
    };
    for name in ["supervisor/enclosures/trash", "fetching", "fetching.old", "volumes/.deleted"] {
        until(|| is_empty(name)).await;
    }
    // The connection to the supervisor closes before the process is gone.
    until(|| place.marks().left().is_empty()).await;
}

async fn survive(case: Case) {
    let place = Place(tempfile::tempdir().unwrap());
    let mut master = Master::start().await;
    master.shares_network = case.cgroups;
    let mut told = Told::default();
    if case.kinds && crate::containers::may_run() {
        crate::containers::image(&place.images());
    }
    let mut agent = spawn(case, &place, &master);
    let tell = async {
        match case.kinds {
            true => crate::kinds::story(&place, &mut master, &mut told).await,
            false => story(case, &place, &mut master, &mut told).await,
        }
    };
    tokio::select! {
        () = tell => {}
        _ = agent.wait() => {}
    }
    let at_the_end = case.place == "socket-removed";
    assert!(place.marker().exists() || at_the_end, "{case:?}: it never came there");
    if !at_the_end {
        // By itself: nobody has killed it yet.
        until(|| place.has_died()).await;
    }
    agent.kill().await.unwrap();
    let quick = told.state("quick");
    let group = aftermath(case, &place, &mut master, &mut told).await;
    until(|| place.has_died()).await;
    if AGENT.contains(&case.place) && quick == Some(TaskState::Running) {
        assert_eq!(told.exit("quick"), Some(Exit::Code(3)), "{case:?}: its supervisor lived");
    }
    leaves_nothing(case, &place, &mut master).await;
    // What is looked for is what the supervisor was told to make.
    assert_eq!(Marks::new(&place.work(), &group), place.marks(), "{case:?}");
}

/// Every place.
pub(crate) async fn survive_all(cgroups: bool) {
    if cgroups && !crate::network::leave_network() {
        return;
    }
    let first = AGENT.iter().chain(&SUPERVISOR).map(|place| (*place, 1));
    // Further ones where much else is under way by then.
    let later = ["launch-taken", "launch-heard", "update-sent", "end-heard", "task-started"];
    let later = later.into_iter().map(|place| (place, 2));
    let commits = (2..=5).flat_map(|n| [("commit-begins", n), ("commit-durable", n)]);
    let cases = first.chain(later).chain(commits).filter(|(place, _)| {
        // Without cgroups nothing is limited here, and there are no walls and networks.
        let walls =
            ["limits-set", "walls-raised", "network-linked", "ports-mapped", "ports-unmapped"];
        cgroups || !walls.contains(place)
    });
    let cases = cases.map(|(place, arrival)| Case { place, arrival, cgroups, kinds: false });
    survive_each(cases).await;
    // The kernel removes the link of a task whose supervisor is gone, and tells nobody.
    until(|| !cgroups || crate::network::links().is_empty()).await;
    if let Ok(said) = std::process::Command::new("nft").args(["list", "ruleset"]).output() {
        let tables = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(!cgroups || tables.is_empty(), "{tables}");
    }
}

/// Several of them at one time.
pub(crate) async fn survive_each(cases: impl Iterator<Item = Case>) {
    futures_util::stream::iter(cases)
        .for_each_concurrent(AT_ONCE, |case| async move {
            // It lives on while that is said: what it would say of its end is not the reason.
            let mut story = std::pin::pin!(survive(case));
            let in_time = tokio::time::timeout(crate::rig::BOUND, &mut story).await;
            assert!(in_time.is_ok(), "{case:?}: it took too long");
        })
        .await;
}

#[tokio::test]
async fn kills_at_every_named_place_leave_an_agent_that_starts_and_nothing_else() {
    survive_all(false).await;
}
