//! The read endpoints that clients of Mesos use: names of fields, filters, pages, methods.

use crate::client::{Answer, Events, Http, JSON, request, within};
use crate::cluster::{Agent, Running, config, subscribe};
use grpc::{ClientOptions, OperatorClient};
use proto::agent_link::{AgentCall, AgentEvent, AgentTask};
use proto::operator::{Call, Response};
use proto::{
    Encoding, FrameworkId, FrameworkInfo, Limits, Resources, Role, TaskId, TaskState, Wire,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A master with one agent, a framework with three tasks, and an offer that is not answered.
pub(crate) struct Cluster {
    pub(crate) master: Running,
    pub(crate) agent: Agent,
    events: Events,
    pub(crate) framework: FrameworkId,
}

impl Cluster {
    pub(crate) async fn start(dir: &Path) -> Self {
        let mut config = config(dir);
        config.options.publish_interval = Some(Duration::ZERO);
        let master = Running::start(config).await;
        let mut agent = Agent::register(&master.address, 1).await;
        let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
        let subscribed = events.wait("SUBSCRIBED").await;
        let id = subscribed["subscribed"]["framework_id"]["value"].as_str().unwrap();
        let framework = FrameworkId::new(id).unwrap();
        let offers = events.wait("OFFERS").await;
        let offer = &offers["offers"]["offers"][0];
        let task = |n: u32| {
            let mut task = json!({"name": format!("task-{n}"), "task_id": {"value": format!("t{n}")},
                "agent_id": offer["agent_id"], "command": {"value": "sleep 100"}, "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 64}}]});
            if n == 1 {
                task["labels"] = json!({"labels": [{"key": "tier", "value": "web"}]});
                task["discovery"] = json!({"visibility": "CLUSTER", "name": "site"});
            }
            task
        };
        let accept = json!({"framework_id": {"value": id}, "type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0},
            "operations": [{"type": "LAUNCH", "launch": {
                "task_infos": [task(1), task(2), task(3)]}}]}});
        let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
        let path = "/api/v1/scheduler";
        let answer = request(&master.address, "POST", path, &headers, &accept.to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        for task in agent.run().await {
            agent.update(&framework, &task.task_id, TaskState::Running, 1).await;
            events.wait("UPDATE").await;
        }
        Self { master, agent, events, framework }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = request(&self.master.address, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        assert!(answer.body.is_ascii() && !answer.body.contains('\n'), "{path}");
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}: {answer:?}"))
    }

    /// What `path` answers once it fits: offers are told at a pace.
    pub(crate) async fn get_when(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let poll = async {
            loop {
                let value = self.get(path).await;
                if fits(&value) {
                    return value;
                }
            }
        };
        within("what is waited for", poll).await
    }
}

pub(crate) fn names(list: &Value, member: &str) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|one| one[member].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn has(value: &Value, members: &[&str]) {
    for member in members {
        assert!(value.get(member).is_some(), "'{member}' is missing: {value:#}");
    }
}

#[tokio::test]
async fn agents_are_as_mesos_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let used = |value: &Value| value["slaves"][0]["offered_resources"]["cpus"] == json!(5.0);
    let value = cluster.get_when("/master/slaves", used).await;
    let agent = &value["slaves"][0];
    has(agent, &["attributes", "capabilities", "version", "registered_time", "deactivated"]);
    assert_eq!(agent["id"], cluster.agent.id.as_str());
    assert_eq!(agent["pid"], "slave(1)@127.0.0.1:5051");
    assert_eq!((&agent["hostname"], &agent["port"]), (&json!("127.0.0.1"), &json!(5051)));
    assert_eq!(agent["active"], true);
    let amounts = |cpus: f64, mem: f64| json!({"cpus": cpus, "disk": 0.0, "gpus": 0.0, "mem": mem});
    assert_eq!(agent["resources"], amounts(8.0, 16384.0));
    assert_eq!(agent["used_resources"], amounts(3.0, 192.0));
    assert_eq!(agent["unreserved_resources_full"][0]["scalar"]["value"], 8.0);
    assert_eq!(value["recovered_slaves"], json!([]));
    assert_eq!(cluster.get("/slaves?slave_id=nobody").await["slaves"], json!([]));
    let path = format!("/slaves?slave_id={}&fields=id,active", cluster.agent.id);
    let value = cluster.get(&path).await;
    assert_eq!(value["slaves"], json!([{"id": cluster.agent.id.as_str(), "active": true}]));
    cluster.master.stop().await;
}

#[tokio::test]
async fn frameworks_are_as_mesos_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let offered = |value: &Value| value["frameworks"][0]["offers"][0].is_object();
    let value = cluster.get_when("/frameworks", offered).await;
    let framework = &value["frameworks"][0];
    has(framework, &["capabilities", "hostname", "webui_url", "checkpoint", "registered_time"]);
    assert_eq!(framework["id"], cluster.framework.as_str());
    assert_eq!((&framework["name"], &framework["user"]), (&json!("f"), &json!("nobody")));
    assert_eq!(framework["roles"], json!(["dev"]));
    assert_eq!(framework["failover_timeout"], 3600.0);
    assert_eq!(names(&framework["tasks"], "id"), ["t1", "t2", "t3"]);
    assert_eq!(framework["tasks"][0]["state"], "TASK_RUNNING");
    assert_eq!(framework["used_resources"]["cpus"], 3.0);
    assert_eq!(framework["offers"][0]["slave_id"], cluster.agent.id.as_str());
    assert_eq!(framework["offers"][0]["allocation_info"]["role"], "dev");
    assert_eq!(framework["offers"][0]["resources"]["cpus"], 5.0);
    assert_eq!(value["completed_frameworks"], json!([]));
    assert_eq!(cluster.get("/frameworks?framework_id=x").await["frameworks"], json!([]));
    // As the user interface of a living fork of Mesos asks.
    let value = cluster.get("/frameworks?order=dsc&limit=-1").await;
    assert_eq!(names(&value["frameworks"], "name"), ["f"]);
    cluster.master.stop().await;
}

#[tokio::test]
async fn tasks_are_filtered_ordered_and_paged() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let value = cluster.get("/tasks").await;
    let task = &value["tasks"][0];
    has(task, &["name", "executor_id", "resources", "role"]);
    assert_eq!(task["framework_id"], cluster.framework.as_str());
    assert_eq!(task["slave_id"], cluster.agent.id.as_str());
    assert_eq!(names(&task["statuses"], "state"), ["TASK_STAGING", "TASK_RUNNING"]);
    assert!(task["statuses"][0]["timestamp"].as_f64().unwrap() > 1e9, "{task}");
    for (path, ids) in [
        ("/tasks?order=asc", &["t1", "t2", "t3"][..]),
        ("/tasks?limit=2&order=asc", &["t1", "t2"]),
        ("/tasks?offset=2&order=asc", &["t3"]),
        ("/tasks?offset=3", &[]),
        ("/tasks?limit=0", &[]),
        ("/tasks?task_id=t2", &["t2"]),
        ("/tasks?framework_id=nobody", &[]),
        ("/tasks?framework_id=a%2Fb", &[]),
        ("/tasks?slave_id=nobody", &[]),
    ] {
        let value = cluster.get(path).await;
        assert_eq!(names(&value["tasks"], "id"), ids, "{path}");
    }
    let path = format!("/tasks?framework_id={}&task_id=t3&fields=id,state", cluster.framework);
    let value = cluster.get(&path).await;
    assert_eq!(value["tasks"], json!([{"id": "t3", "state": "TASK_RUNNING"}]));
    cluster.master.stop().await;
}

#[tokio::test]
async fn tasks_that_ended_and_frameworks_that_are_over_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path()).await;
    let task = proto::TaskId::new("t1").unwrap();
    cluster.agent.update(&cluster.framework, &task, TaskState::Finished, 2).await;
    let update = cluster.events.wait("UPDATE").await;
    let status = &update["update"]["status"];
    let headers = [JSON, ("Mesos-Stream-Id", &*cluster.events.stream_id.clone())];
    let call = json!({"framework_id": {"value": cluster.framework.as_str()},
        "type": "ACKNOWLEDGE", "acknowledge": {"agent_id": status["agent_id"],
        "task_id": status["task_id"], "uuid": status["uuid"]}});
    let (address, path) = (cluster.master.address.clone(), "/api/v1/scheduler");
    let answer = request(&address, "POST", path, &headers, &call.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    // What was answered is seen by the next read.
    let value = cluster.get("/frameworks").await;
    let framework = &value["frameworks"][0];
    assert_eq!(names(&framework["tasks"], "id"), ["t2", "t3"]);
    assert_eq!(framework["completed_tasks"][0]["state"], "TASK_FINISHED");
    assert_eq!(framework["completed_tasks"][0]["resources"]["cpus"], 1.0);
    let body = format!("frameworkId={}", cluster.framework);
    let answer = request(&address, "POST", "/master/teardown", &[], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let value = cluster.get("/state").await;
    assert_eq!(value["frameworks"], json!([]));
    let over = &value["completed_frameworks"][0];
    assert_eq!(over["id"], cluster.framework.as_str());
    assert!(over["unregistered_time"].as_f64().unwrap() > 1e9, "{over}");
    let mut ids = names(&over["completed_tasks"], "id");
    ids.sort();
    assert_eq!(ids, ["t1", "t2", "t3"]);
    for (body, status) in [("", 400), ("frameworkId=nobody", 400), ("frameworkId=", 400)] {
        let answer = request(&address, "POST", "/teardown", &[], body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    assert_eq!(request(&address, "GET", "/teardown", &[], "").await.status, 405);
    cluster.master.stop().await;
}

#[tokio::test]
async fn the_whole_state_has_what_clients_look_for() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let state = cluster.get("/master/state").await;
    has(&state, &["version", "start_time", "elected_time", "flags", "leader", "leader_info"]);
    assert_eq!(state["pid"], format!("master@{}", cluster.master.address));
    assert_eq!(state["leader"], state["pid"]);
    assert_eq!(state["activated_slaves"], 1.0);
    assert_eq!(state["unreachable_slaves"], 0.0);
    assert_eq!(state["slaves"][0]["id"], cluster.agent.id.as_str());
    assert_eq!(names(&state["frameworks"][0]["tasks"], "id"), ["t1", "t2", "t3"]);
    assert_eq!(
        (&state["orphan_tasks"], &state["unregistered_frameworks"]),
        (&json!([]), &json!([]))
    );
    let summary = cluster.get("/state-summary").await;
    assert_eq!(summary["slaves"][0]["TASK_RUNNING"], 3);
    assert_eq!(summary["slaves"][0]["framework_ids"], json!([cluster.framework.as_str()]));
    assert_eq!(summary["frameworks"][0]["TASK_FINISHED"], 0);
    assert_eq!(summary["frameworks"][0]["slave_ids"], json!([cluster.agent.id.as_str()]));
    let roles = cluster.get("/roles").await;
    assert_eq!(names(&roles["roles"], "name"), ["dev"]);
    assert_eq!(roles["roles"][0]["weight"], 1.0);
    assert_eq!(roles["roles"][0]["frameworks"], json!([cluster.framework.as_str()]));
    assert_eq!(roles["roles"][0]["allocated"]["cpus"], 3.0);
    assert_eq!(cluster.get("/weights").await, json!([]));
    assert!(cluster.get("/flags").await["flags"]["work_dir"].is_string());
    let metrics = cluster.get("/metrics/snapshot?timeout=10secs").await;
    for (name, value) in [
        ("master/elected", 1.0),
        ("master/slaves_active", 1.0),
        ("master/frameworks_connected", 1.0),
        ("master/tasks_running", 3.0),
        ("master/cpus_total", 8.0),
        ("master/cpus_used", 3.0),
        ("master/cpus_percent", 0.375),
    ] {
        assert_eq!(metrics[name], value, "{name}");
    }
    assert!(metrics["master/uptime_secs"].as_f64().unwrap() > 0.0);
    cluster.master.stop().await;
}

#[tokio::test]
async fn reads_are_asked_for_as_old_clients_do() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    for path in [
        "/slaves",
        "/slaves/",
        "/slaves/S1",
        "/master/slaves",
        "/master/slaves/",
        "/frameworks",
        "/master/frameworks/",
        "/tasks",
        "/tasks/",
        "/master/tasks",
        "/state",
        "/master/state/",
        "/state-summary",
        "/roles",
        "/flags",
        "/metrics/snapshot",
    ] {
        for method in ["GET", "POST"] {
            let answer = request(&cluster.master.address, method, path, &[], "").await;
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            assert!(serde_json::from_str::<Value>(&answer.body).is_ok(), "{method} {path}");
        }
        let answer = request(&cluster.master.address, "DELETE", path, &[], "").await;
        assert_eq!(answer.status, 405, "{path}: {answer:?}");
    }
    let get = async |path: &str| request(&cluster.master.address, "GET", path, &[], "").await;
    let answer = get("/roles?jsonp=call.back").await;
    assert_eq!(answer.headers["content-type"], "text/javascript");
    assert!(answer.body.starts_with("call.back({\"roles\":["), "{answer:?}");
    assert!(answer.body.ends_with("});"), "{answer:?}");
    for (path, status) in [
        ("/roles?jsonp=a(b)", 400),
        ("/files/debug", 200),
        ("/files/read", 400),
        ("/files/read?path=/master/log", 404),
        ("/files/browse?path=/", 404),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    cluster.master.stop().await;
}

/// What an agent with so many tasks of a framework says when it comes back.
pub(crate) fn many_tasks(agent: &Agent, count: u32) -> AgentCall {
    let framework_id = FrameworkId::new("f-1").unwrap();
    let task = |n| AgentTask {
        framework_id: framework_id.clone(),
        task_id: TaskId::new(format!("t{n}")).unwrap(),
        name: Arc::from("sleep"),
        resources: Resources::cpus_mem(0, 100),
        role: Role::any(),
        state: TaskState::Running,
        status: None,
        executor_id: None,
        shown: None,
    };
    let mut info = FrameworkInfo::new("nobody", "f");
    info.id = Some(framework_id.clone());
    AgentCall::Reregister {
        info: agent.info.clone(),
        version: Arc::from("1"),
        tasks: (0..count).map(task).collect(),
        frameworks: vec![info],
        executors: Vec::new(),
    }
}

/// Tasks enough that an answer is many pieces.
#[tokio::test]
async fn long_answers_come_in_pieces_and_slow_readers_are_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.reader_stall = Duration::from_secs(2);
    config.options.completed_tasks = 100_000;
    // The agent answers no pings meanwhile.
    config.options.agent_timeout = Duration::from_secs(3600);
    let master = Running::start(config).await;
    let mut agent = Agent::register(&master.address, 1).await;
    let call = many_tasks(&agent, 20_000);
    agent.link.sender.send(call).await.unwrap();
    assert!(matches!(agent.next().await, AgentEvent::Reregistered { .. }));
    let path = "/frameworks?fields=used_resources";
    let all = json!({"cpus": 0.0, "disk": 0.0, "gpus": 0.0, "mem": 2000.0});
    let used = async || {
        request(&master.address, "GET", path, &[], "").await.json()["frameworks"][0]
            ["used_resources"]
            .clone()
    };
    within("the tasks", async { while used().await != all {} }).await;
    let whole: Answer = request(&master.address, "GET", "/tasks?limit=-1", &[], "").await;
    assert_eq!(whole.headers["transfer-encoding"], "chunked");
    let value: Value = serde_json::from_str(&whole.body).unwrap();
    assert_eq!(value["tasks"].as_array().unwrap().len(), 20_000);
    for answer in three_ways(&master.address, &Call::GetTasks).await {
        let Response::Tasks(tasks) = answer else { panic!("no tasks") };
        assert_eq!(tasks.tasks.len(), 20_000);
    }
    // One that does not read gets no end, and nobody waits for it.
    let mut slow = Http::connect_narrow(&master.address).await;
    slow.send("GET", "/tasks?limit=-1", &[], b"").await;
    assert_eq!(slow.head().await.status, 200);
    let cut_off = "tepui_master_reads_total{outcome=\"cut off\"} 1\n";
    within("the cutting off", async {
        while !request(&master.address, "GET", "/metrics", &[], "").await.body.contains(cut_off) {}
    })
    .await;
    let mut read = 0;
    while let Some(chunk) = slow.chunk().await {
        read += chunk.len();
    }
    assert!(read < whole.body.len(), "{read} of {} bytes", whole.body.len());
    master.stop().await;
}

/// The answer of the operator API in JSON, in protobuf and over gRPC.
pub(crate) async fn three_ways(address: &str, call: &Call) -> [Response; 3] {
    let limits = Limits { body_bytes: 64 << 20, ..Limits::DEFAULT };
    let mut all = Vec::new();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut http = Http::connect(address).await;
        let media_type = encoding.media_type();
        let headers = [("Content-Type", media_type), ("Accept", media_type)];
        http.send("POST", "/api/v1", &headers, &call.encode(encoding)).await;
        let (head, body) = http.answer_bytes().await;
        assert_eq!((head.status, &*head.headers["content-type"]), (200, media_type), "{call:?}");
        all.push(Response::decode(&body, encoding, &limits).unwrap());
    }
    let client = OperatorClient::connect(address, &ClientOptions::default()).await.unwrap();
    all.push(client.call(call.clone()).await.unwrap());
    all.try_into().unwrap()
}

/// In JSON: what travels unread has its members in the order in which they came.
#[track_caller]
pub(crate) fn are_the_same(answers: &[Response; 3]) {
    let [json, protobuf, grpc] = answers
        .each_ref()
        .map(|answer| serde_json::from_slice::<Value>(&answer.encode(Encoding::Json)).unwrap());
    assert_eq!(json, protobuf);
    assert_eq!(json, grpc);
}

#[tokio::test]
async fn the_operator_api_answers_the_same_in_each_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let offered = |value: &Value| value["frameworks"][0]["offers"][0].is_object();
    cluster.get_when("/frameworks", offered).await;
    let calls = [
        Call::GetState,
        Call::GetAgents,
        Call::GetFrameworks,
        Call::GetTasks,
        Call::GetRoles,
        Call::GetOperations,
    ];
    for call in &calls {
        let all = three_ways(&cluster.master.address, call).await;
        are_the_same(&all);
        let [Response::State(state), ..] = all else { continue };
        assert_eq!((state.agents.len(), state.frameworks.len()), (1, 1));
        assert_eq!(state.frameworks[0].offers[0].agent_id, cluster.agent.id);
        assert_eq!(state.frameworks[0].offered.cpus(), 5_000);
        assert_eq!(state.agents[0].allocated.cpus(), 3_000);
        assert_eq!(state.tasks.tasks.len(), 3);
    }
    let empty = tempfile::tempdir().unwrap();
    let master = Running::at(empty.path()).await;
    for call in &calls {
        let [json, protobuf, grpc] = three_ways(&master.address, call).await;
        assert_eq!((&json, &json), (&protobuf, &grpc), "{call:?}");
    }
    master.stop().await;
    cluster.master.stop().await;
}
