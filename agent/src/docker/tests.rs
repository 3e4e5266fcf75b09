//! Containers of an engine that does what a test says and when: what a real one would have to be
//! caught at.

mod sandbox;

use super::*;
use crate::containerizer::{DockerTask, Enclosure, Ended, Program, Root, WaitStatus};
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;
use std::path::Path;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

/// Nothing here takes a fraction of this, even on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// How far the one container of the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Absent,
    Created,
    Running,
    Exited,
}

/// An engine with one container. It makes, starts and removes it when the test lets it.
struct Fake {
    stage: tokio::sync::watch::Sender<Stage>,
    /// What was asked for: the last part of the path.
    asked: tokio::sync::watch::Sender<Vec<String>>,
    create: Semaphore,
    start: Semaphore,
    /// Removals that are refused, since another one is under way.
    busy: Mutex<u32>,
    /// Inspections of the end before it knows the reason.
    doubts: Mutex<Option<u32>>,
    /// Questions about the container, once it was started, on which it hangs up.
    away: Mutex<u32>,
}

impl Fake {
    fn inspected(&self) -> serde_json::Value {
        let stage = *self.stage.borrow();
        let times = match stage {
            Stage::Absent | Stage::Created => ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            Stage::Running => ("2026-11-22T18:00:00Z", "0001-01-01T00:00:00Z"),
            Stage::Exited => ("2026-11-22T18:00:00Z", "2026-11-22T18:00:01Z"),
        };
        let status = match stage {
            Stage::Absent | Stage::Created => "created",
            Stage::Running => "running",
            Stage::Exited => "exited",
        };
        let mut doubts = self.doubts.lock().unwrap();
        let out_of_memory = stage == Stage::Exited && *doubts == Some(0);
        if let Some(left) = doubts.as_mut().filter(|_| stage == Stage::Exited) {
            *left = left.saturating_sub(1);
        }
        json!({"Id": "x", "State": {
            "Status": status, "Running": stage == Stage::Running, "Pid": 0,
            "ExitCode": if stage == Stage::Exited { 137 } else { 0 },
            "OOMKilled": out_of_memory, "StartedAt": times.0, "FinishedAt": times.1,
        }})
    }

    async fn has(&self, stage: Stage) {
        let mut seen = self.stage.subscribe();
        seen.wait_for(|now| *now >= stage).await.unwrap();
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

/// Ends the connection without an answer, as an engine does that ends.
fn hang_up() {
    std::panic::resume_unwind(Box::new("the engine ends"));
}

async fn serve(Shared(fake): Shared<Arc<Fake>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    let call = match *request.method() {
        Method::DELETE => "remove".to_owned(),
        _ => format!("{last}?{}", request.uri().query().unwrap_or_default()),
    };
    let word = call.split('?').next().unwrap_or_default().to_owned();
    fake.asked.send_modify(|asked| asked.push(call));
    if *fake.stage.borrow() >= Stage::Running {
        let mut away = fake.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            drop(away);
            hang_up();
        }
    }
    let absent = *fake.stage.borrow() == Stage::Absent;
    match word.as_str() {
        "version" => Json(json!({"ApiVersion": "1.41"})).into_response(),
        "json" if path.contains("/images/") => {
            Json(json!({"Config": {"User": ""}})).into_response()
        }
        "json" if path.ends_with("/containers/json") => Json(json!([])).into_response(),
        "create" => {
            fake.create.acquire().await.unwrap().forget();
            fake.stage.send_replace(Stage::Created);
            (StatusCode::CREATED, Json(json!({"Id": "x", "Warnings": []}))).into_response()
        }
        _ if absent => refuse(StatusCode::NOT_FOUND, "no such container"),
        "json" => Json(fake.inspected()).into_response(),
        "start" => {
            fake.start.acquire().await.unwrap().forget();
            fake.stage.send_replace(Stage::Running);
            if *fake.away.lock().unwrap() > 0 {
                hang_up();
            }
            StatusCode::NO_CONTENT.into_response()
        }
        "kill" => {
            fake.stage.send_replace(Stage::Exited);
            StatusCode::NO_CONTENT.into_response()
        }
        "wait" => {
            fake.has(Stage::Exited).await;
            Json(json!({"StatusCode": 137})).into_response()
        }
        "remove" => {
            let mut busy = fake.busy.lock().unwrap();
            if *busy > 0 {
                *busy -= 1;
                return refuse(StatusCode::CONFLICT, "removal is already in progress");
            }
            fake.stage.send_replace(Stage::Absent);
            StatusCode::NO_CONTENT.into_response()
        }
        "logs" => StatusCode::OK.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

/// An agent's part of it, with the engine.
struct World {
    dir: tempfile::TempDir,
    fake: Arc<Fake>,
    docker: Docker,
    events: UnboundedReceiver<ContainerEvent>,
}

fn id() -> ContainerId {
    ContainerId::new("c1").unwrap()
}

fn launch() -> Launch {
    Launch {
        id: id(),
        program: Program::Shell("true".into()),
        environment: Vec::new(),
        user: None,
        rlimits: Vec::new(),
        sandbox: SandboxChoice::Pooled,
        allocation: Allocation {
            cpus_milli: 500,
            memory_bytes: None,
            cpu_limit_milli: None,
            memory_soft_bytes: None,
            pids: None,
            disk_bytes: None,
        },
        volumes: Vec::new(),
        enclosure: Some(Box::new(Enclosure {
            root: Root::Host,
            read_only: false,
            hostname: "h".into(),
            directory: "/".into(),
            mounts: Vec::new(),
            capabilities: 0,
            shm_bytes: 1 << 20,
            root_allowed: true,
            pod: None,
            devices: Vec::new(),
        })),
        network: None,
        identity: None,
        docker: Some(Box::new(DockerTask {
            gpus: Vec::new(),
            image: "i:1".into(),
            force_pull: false,
            network: "none".into(),
            ports: Vec::new(),
            labels: Vec::new(),
            directory: None,
            stop_signal: None,
            init: None,
            users: None,
        })),
        record: b"launch".to_vec(),
        shared: None,
    }
}

async fn docker(dir: &Path, events: UnboundedSender<ContainerEvent>) -> Docker {
    docker_that_waits(dir, events, BOUND).await
}

async fn docker_that_waits(
    dir: &Path,
    events: UnboundedSender<ContainerEvent>,
    engine_wait: Duration,
) -> Docker {
    let settings = Settings {
        agent: "agent-1".into(),
        boot_id: "b".into(),
        sandboxes: dir.join("sandboxes"),
        defaults: NativeDefaults::default(),
        engine_wait,
        pull_timeout: BOUND,
    };
    let engine = Engine::new(dir.join("sock"));
    let records = Records::new(dir.join("docker"));
    let common = Arc::new(Common { engine, records, settings, events: Mutex::new(events) });
    Docker::resume_all(common).await
}

impl World {
    /// The engine makes and starts nothing before it is let.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fake = Arc::new(Fake {
            stage: tokio::sync::watch::Sender::new(Stage::Absent),
            asked: tokio::sync::watch::Sender::new(Vec::new()),
            create: Semaphore::new(0),
            start: Semaphore::new(0),
            busy: Mutex::new(0),
            doubts: Mutex::new(None),
            away: Mutex::new(0),
        });
        let listener = tokio::net::UnixListener::bind(dir.path().join("sock")).unwrap();
        let router = axum::Router::new().fallback(serve).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (sender, events) = unbounded_channel();
        let docker = docker(dir.path(), sender).await;
        Self { dir, fake, docker, events }
    }

    async fn asked(&self, word: &str) {
        let mut seen = self.fake.asked.subscribe();
        let what = seen.wait_for(|asked| asked.iter().any(|call| call.starts_with(word)));
        tokio::time::timeout(BOUND, what).await.expect("it is asked for").unwrap();
    }

    fn was_asked(&self, word: &str) -> usize {
        self.fake.asked.borrow().iter().filter(|call| call.starts_with(word)).count()
    }

    async fn event(&mut self) -> ContainerEvent {
        tokio::time::timeout(BOUND, self.events.recv()).await.expect("an event").expect("open")
    }

    async fn ended(&mut self) -> Ended {
        loop {
            if let ContainerEvent::Ended { ended, .. } = self.event().await {
                return ended;
            }
        }
    }

    /// Nothing is left of the container, neither there nor on record.
    async fn gone(&self) {
        let gone = async {
            while *self.fake.stage.borrow() != Stage::Absent
                || self.docker.common.records.knows("c1")
            {
                // waits: for files and an engine, of which nobody reports
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(BOUND, gone).await.expect("it is removed");
    }
}

#[tokio::test]
async fn what_is_killed_while_the_engine_makes_it_is_never_started() {
    let mut world = World::start().await;
    world.docker.launch(launch());
    world.asked("create").await;
    world.docker.kill(&id(), Duration::from_secs(5));
    world.fake.create.add_permits(1);
    let event = world.event().await;
    let said = matches!(&event, ContainerEvent::LaunchFailed { error, .. }
        if error.to_string().contains("killed before it ran"));
    assert!(said, "{event:?}");
    world.gone().await;
    assert_eq!(world.was_asked("start"), 0);
}

#[tokio::test]
async fn what_is_killed_while_it_starts_has_its_grace() {
    let mut world = World::start().await;
    world.fake.create.add_permits(1);
    world.docker.launch(launch());
    world.asked("start").await;
    world.docker.kill(&id(), Duration::from_secs(3600));
    world.fake.start.add_permits(1);
    assert!(matches!(world.event().await, ContainerEvent::Launched { .. }));
    world.asked("stop?t=3600").await;
    assert_eq!(world.was_asked("kill"), 0, "it has its grace");
    world.docker.destroy(&id());
    let ended = world.ended().await;
    assert!(ended.kill_requested && ended.status == WaitStatus::Signaled(9), "{ended:?}");
    world.docker.forget(&id());
    world.gone().await;
}

#[tokio::test]
async fn a_launch_in_flight_ends_with_the_supervisor_whatever_it_waits_for() {
    for waits_for in ["create", "start"] {
        let mut world = World::start().await;
        if waits_for == "start" {
            world.fake.create.add_permits(1);
        }
        world.docker.launch(launch());
        world.asked(waits_for).await;
        let (sender, events) = unbounded_channel();
        world.docker.renew(sender);
        world.events = events;
        assert!(world.docker.report().is_empty(), "{waits_for}: it is lost, and said to be");
        world.fake.create.add_permits(1);
        world.fake.start.add_permits(1);
        world.gone().await;
        let heard = std::iter::from_fn(|| world.events.try_recv().ok());
        assert_eq!(heard.count(), 0, "{waits_for}: nobody waits for it");
    }
}

#[tokio::test]
async fn what_was_answered_is_kept_when_the_supervisor_is_replaced() {
    let mut world = World::start().await;
    world.fake.create.add_permits(1);
    world.fake.start.add_permits(1);
    world.docker.launch(launch());
    assert!(matches!(world.event().await, ContainerEvent::Launched { .. }));
    let (sender, events) = unbounded_channel();
    world.docker.renew(sender);
    world.events = events;
    let report = world.docker.report();
    assert_eq!(report.iter().map(|known| known.id.clone()).collect::<Vec<_>>(), [id()]);
    world.docker.destroy(&id());
    assert!(world.ended().await.kill_requested);
}

#[tokio::test]
async fn what_takes_too_much_of_the_disk_ends_for_that_also_after_a_restart() {
    let mut world = World::start().await;
    world.fake.create.add_permits(1);
    world.fake.start.add_permits(1);
    world.docker.launch(launch());
    assert!(matches!(world.event().await, ContainerEvent::Launched { .. }));
    let limitation = Limitation::Disk { usage_bytes: 2 << 20, limit_bytes: 1 << 20 };
    world.docker.exceeded(&id(), limitation.clone());
    let ended = world.ended().await;
    assert_eq!((ended.limitation, ended.kill_requested), (Some(limitation.clone()), false));
    let (sender, _events) = unbounded_channel();
    let next = docker(world.dir.path(), sender).await;
    let report = next.report();
    assert_eq!(report[0].ended.as_ref().unwrap().limitation, Some(limitation));
}

#[tokio::test]
async fn a_removal_that_is_under_way_is_waited_for() {
    let mut world = World::start().await;
    world.fake.create.add_permits(1);
    world.fake.start.add_permits(1);
    world.docker.launch(launch());
    assert!(matches!(world.event().await, ContainerEvent::Launched { .. }));
    world.docker.destroy(&id());
    world.ended().await;
    *world.fake.busy.lock().unwrap() = 2;
    world.docker.forget(&id());
    world.gone().await;
    assert_eq!(world.was_asked("remove"), 3, "it stays on record until it is gone");
}

#[tokio::test]
async fn what_was_killed_before_the_engine_heard_of_it_is_not_started_by_the_next_agent() {
    let mut world = World::start().await;
    world.docker.common.engine.inspect("nobody").await.unwrap_err();
    let state = world.docker.prepare(&launch()).unwrap();
    let state = State { phase: Phase::Starting, kill_by_unix_ns: Some(1), ..state };
    world.docker.common.records.put(&id(), &state).unwrap();
    world.fake.stage.send_replace(Stage::Created);
    world.docker.resume(world.docker.common.records.get(&id()).unwrap());
    let ended = world.ended().await;
    assert!(ended.kill_requested && ended.status == WaitStatus::Unknown, "{ended:?}");
    assert_eq!(world.was_asked("start"), 0);
}

#[tokio::test]
async fn an_engine_that_hears_late_of_the_reason_is_asked_again() {
    let mut world = World::start().await;
    world.fake.create.add_permits(1);
    world.fake.start.add_permits(1);
    let mut limited = launch();
    limited.allocation.memory_bytes = Some(16 << 20);
    world.docker.launch(limited);
    assert!(matches!(world.event().await, ContainerEvent::Launched { .. }));
    *world.fake.doubts.lock().unwrap() = Some(2);
    world.fake.stage.send_replace(Stage::Exited);
    let ended = world.ended().await;
    assert!(matches!(ended.limitation, Some(Limitation::Memory { .. })), "{ended:?}");
}

#[tokio::test]
async fn an_engine_that_goes_away_while_it_starts_a_container_is_waited_for() {
    for removed in [false, true] {
        let mut world = World::start().await;
        let (sender, events) = unbounded_channel();
        world.docker = docker_that_waits(world.dir.path(), sender, Duration::ZERO).await;
        world.events = events;
        *world.fake.away.lock().unwrap() = 4;
        world.fake.create.add_permits(1);
        world.docker.launch(launch());
        world.asked("start").await;
        world.docker.kill(&id(), Duration::from_secs(3600));
        world.fake.start.add_permits(1);
        if removed {
            world.fake.has(Stage::Running).await;
            world.fake.stage.send_replace(Stage::Absent);
            let event = world.event().await;
            assert!(matches!(event, ContainerEvent::LaunchFailed { .. }), "{event:?}");
            world.gone().await;
            continue;
        }
        let event = world.event().await;
        assert!(matches!(event, ContainerEvent::Launched { .. }), "{event:?}");
        assert_eq!(*world.fake.away.lock().unwrap(), 0, "it was away");
        world.asked("stop?t=3600").await;
        assert_eq!(world.was_asked("remove"), 0, "it runs");
    }
}
