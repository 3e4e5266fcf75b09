//! What operators ask and order, by every way in: the v1 API over HTTP in both encodings, gRPC, and
//! the old endpoints.

use crate::client::{Answer, Events, Http, request, within};
use crate::cluster::{Agent, Running, config, subscribe};
use grpc::{ClientOptions, OperatorClient};
use master::{Config, LogControl};
use proto::operator::{Call, Response, Selection};
use proto::{AgentId, Encoding, FrameworkId, Limits, Quantities, ResourceName, Role, Wire};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How a call was answered: with this, or refused with this status.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Answer(Box<Response>),
    Refused(u16, String),
}

async fn over_http(address: &str, call: &Call, encoding: Encoding) -> Said {
    let media_type = encoding.media_type();
    let headers = [("Content-Type", media_type), ("Accept", media_type)];
    let mut http = Http::connect(address).await;
    http.send("POST", "/api/v1", &headers, &call.encode(encoding)).await;
    let (head, body) = http.answer_bytes().await;
    match head.status {
        200 | 202 if body.is_empty() => Said::Answer(Box::new(Response::Ok)),
        200 => {
            let limits = Limits { body_bytes: 64 << 20, ..Limits::DEFAULT };
            Said::Answer(Box::new(Response::decode(&body, encoding, &limits).unwrap()))
        }
        status => Said::Refused(status, String::from_utf8(body).unwrap()),
    }
}

async fn over_grpc(address: &str, call: &Call) -> Said {
    let client = OperatorClient::connect(address, &ClientOptions::default()).await.unwrap();
    match client.call(call.clone()).await {
        Ok(response) => Said::Answer(Box::new(response)),
        Err(status) => {
            let code = match status.code() {
                grpc::Code::InvalidArgument => 400,
                grpc::Code::PermissionDenied => 403,
                grpc::Code::NotFound => 404,
                grpc::Code::FailedPrecondition => 409,
                grpc::Code::Unimplemented => 501,
                grpc::Code::Unavailable => 503,
                other => panic!("{other:?}: {status:?}"),
            };
            Said::Refused(code, status.message().to_owned())
        }
    }
}

/// Each call of the API, with members that mean something here where it has some.
fn all_calls(agent: &AgentId, framework: &FrameworkId) -> Vec<Call> {
    let role = || Role::new("dev").unwrap();
    let select =
        |call: Call| Call::Select(Box::new(Selection { limit: Some(1), ..Selection::all(call) }));
    let nobody = || AgentId::new("nobody").unwrap();
    vec![
        Call::GetHealth,
        Call::GetFlags,
        Call::GetVersion,
        Call::GetLoggingLevel,
        Call::SetLoggingLevel { level: 1, duration: Duration::from_secs(3600) },
        Call::ListFiles { path: Arc::from("/") },
        Call::ReadFile { path: Arc::from("/master/log"), offset: 0, length: None },
        Call::GetMaster,
        Call::GetState,
        Call::GetAgents,
        Call::GetFrameworks,
        Call::GetExecutors,
        Call::GetOperations,
        Call::GetTasks,
        Call::GetRoles,
        Call::GetWeights,
        select(Call::GetState),
        select(Call::GetTasks),
        select(Call::GetOperations),
        Call::UpdateWeights(vec![proto::Weight { role: role(), weight_milli: 2000 }]),
        Call::GetMaintenanceStatus,
        Call::GetMaintenanceSchedule,
        Call::UpdateMaintenanceSchedule(proto::Schedule { windows: Vec::new() }),
        Call::StartMaintenance(Vec::new()),
        Call::StopMaintenance(Vec::new()),
        Call::GetQuota,
        Call::UpdateQuota { force: false, configs: Vec::new() },
        Call::RemoveQuota(role()),
        Call::Explain(framework.clone()),
        Call::Explain(FrameworkId::new("nobody").unwrap()),
        Call::ExplainRole(role()),
        Call::DeactivateAgent(agent.clone()),
        Call::ReactivateAgent(agent.clone()),
        Call::DeactivateAgent(nobody()),
        Call::ReactivateAgent(nobody()),
        Call::DrainAgent { agent_id: nobody(), max_grace: None, mark_gone: false },
        Call::MarkAgentGone(nobody()),
        Call::GetGoneAgents,
        Call::ForgetAgent(nobody()),
        Call::ForgetAgent(agent.clone()),
        Call::Teardown(FrameworkId::new("nobody").unwrap()),
        Call::NotBuilt(Arc::from("UNKNOWN")),
    ]
}

#[tokio::test]
async fn each_call_is_answered_the_same_by_each_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.options.publish_interval = Some(Duration::ZERO);
    config.options.agent_timeout = Duration::from_secs(3600);
    config.log = Some(LogControl::new(|_| {}));
    let master = Running::start(config).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let id = events.wait("SUBSCRIBED").await["subscribed"]["framework_id"]["value"].clone();
    let framework = FrameworkId::new(id.as_str().unwrap()).unwrap();
    let agent = Agent::register(&master.address, 1).await;
    events.wait("OFFERS").await;
    let offered = Call::GetFrameworks;
    within("the offer, which is told at a pace", async {
        while !matches!(over_grpc(&master.address, &offered).await,
            Said::Answer(answer) if matches!(&*answer,
                Response::Frameworks(all, _) if !all[0].offers.is_empty()))
        {}
    })
    .await;
    let mut names: Vec<String> = Vec::new();
    for call in all_calls(&agent.id, &framework) {
        let json = over_http(&master.address, &call, Encoding::Json).await;
        let protobuf = over_http(&master.address, &call, Encoding::Protobuf).await;
        let grpc = over_grpc(&master.address, &call).await;
        assert_eq!(json, protobuf, "{call:?}");
        assert_eq!(json, grpc, "{call:?}");
        names.push(call.name().to_owned());
    }
    // Metrics hold what the asking itself changes, and have the same names.
    let mut all = Vec::new();
    let call = Call::GetMetrics { timeout: None };
    let json = over_http(&master.address, &call, Encoding::Json).await;
    for said in [json, over_grpc(&master.address, &call).await] {
        let Said::Answer(answer) = said else { panic!("{said:?}") };
        let Response::Metrics(metrics) = *answer else { panic!("{answer:?}") };
        all.push(metrics.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    assert!(all[0] == all[1] && all[0].iter().any(|name| &**name == "master/slaves_active"));
    for name in NAMES {
        assert!(names.iter().any(|asked| asked == name), "{name} was not asked");
    }
    master.stop().await;
}

/// All calls of Mesos and ours, but for SUBSCRIBE, which is a stream, GET_METRICS, which is above,
/// and those that change what is reserved or guaranteed, which are below.
const NAMES: [&str; 32] = [
    "GET_HEALTH",
    "GET_FLAGS",
    "GET_VERSION",
    "GET_LOGGING_LEVEL",
    "SET_LOGGING_LEVEL",
    "LIST_FILES",
    "READ_FILE",
    "GET_STATE",
    "GET_AGENTS",
    "GET_FRAMEWORKS",
    "GET_EXECUTORS",
    "GET_TASKS",
    "GET_ROLES",
    "GET_WEIGHTS",
    "UPDATE_WEIGHTS",
    "GET_MASTER",
    "GET_MAINTENANCE_STATUS",
    "GET_MAINTENANCE_SCHEDULE",
    "UPDATE_MAINTENANCE_SCHEDULE",
    "START_MAINTENANCE",
    "STOP_MAINTENANCE",
    "GET_QUOTA",
    "UPDATE_QUOTA",
    "TEARDOWN",
    "MARK_AGENT_GONE",
    "GET_GONE_AGENTS",
    "FORGET_AGENT",
    "GET_OPERATIONS",
    "DRAIN_AGENT",
    "DEACTIVATE_AGENT",
    "REACTIVATE_AGENT",
    "EXPLAIN",
];

/// So many cpus, as the old endpoints and the v1 API have them; reserved to `dev` or not.
fn cpus(amount: u32, reserved: bool) -> Value {
    let mut cpus = json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": amount}});
    if reserved {
        cpus["reservations"] = json!([{"type": "DYNAMIC", "role": "dev"}]);
    }
    cpus
}

async fn post_form(address: &str, path: &str, list: &str, agent: &AgentId, what: &Value) -> Answer {
    let body = format!("slaveId={agent}&{list}={}", json!([what]));
    request(address, "POST", path, &[], &body).await
}

#[tokio::test]
async fn reservations_come_and_go_by_each_way_and_reads_show_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.options.agent_timeout = Duration::from_secs(3600);
    let master = Running::start(config).await;
    let address = &*master.address;
    let agent = Agent::register(address, 1).await;
    let reserved = async || {
        let state = request(address, "GET", "/slaves", &[], "").await.json();
        state["slaves"][0]["reserved_resources"]["dev"]["cpus"].clone()
    };
    assert_eq!(reserved().await, Value::Null);
    let answer = post_form(address, "/reserve", "resources", &agent.id, &cpus(2, true)).await;
    assert_eq!((answer.status, &*answer.body), (202, ""), "{answer:?}");
    assert_eq!(reserved().await, 2.0);
    let call = |kind: &str, amount| {
        let member = json!({"agent_id": {"value": agent.id.as_str()},
            "resources": [cpus(amount, true)]});
        let call = json!({"type": kind, kind.to_ascii_lowercase(): member}).to_string();
        Call::decode(call.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap()
    };
    let ok = Said::Answer(Box::new(Response::Ok));
    let reserve = |amount| call("RESERVE_RESOURCES", amount);
    assert_eq!(over_http(address, &reserve(1), Encoding::Protobuf).await, ok);
    assert_eq!(over_grpc(address, &reserve(1)).await, ok);
    assert_eq!(reserved().await, 4.0);
    let slaves = request(address, "GET", "/slaves", &[], "").await.json();
    let slave = &slaves["slaves"][0];
    assert_eq!(slave["unreserved_resources"]["cpus"], 4.0);
    assert_eq!(slave["resources"]["cpus"], 8.0);
    let full = &slave["reserved_resources_full"]["dev"][0];
    assert_eq!(full["reservations"][0]["type"], "DYNAMIC", "{full}");
    assert_eq!(slave["unreserved_resources_full"].as_array().unwrap().len(), 2);
    let roles = request(address, "GET", "/roles?role=dev", &[], "").await.json();
    assert_eq!(roles["roles"][0]["quota"]["consumed"]["cpus"], 4.0, "{roles}");
    // More than there is, by each way.
    let said = over_grpc(address, &reserve(5)).await;
    assert_eq!(said, over_http(address, &reserve(5), Encoding::Json).await);
    let answer = post_form(address, "/reserve", "resources", &agent.id, &cpus(5, true)).await;
    assert_eq!(said, Said::Refused(answer.status, answer.body));
    assert_eq!(answer.status, 409);
    let answer = post_form(address, "/unreserve", "resources", &agent.id, &cpus(3, true)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(over_grpc(address, &call("UNRESERVE_RESOURCES", 1)).await, ok);
    assert_eq!(reserved().await, Value::Null);
    master.stop().await;
}

#[tokio::test]
async fn volumes_come_and_go_by_the_old_endpoints() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.options.agent_timeout = Duration::from_secs(3600);
    let master = Running::start(config).await;
    let address = &*master.address;
    let mut agent = Agent::register(address, 1).await;
    let mem = |volume: bool| {
        let mut disk = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 64},
            "reservations": [{"type": "DYNAMIC", "role": "dev"}]});
        if volume {
            disk["disk"] = json!({"persistence": {"id": "data"},
                "volume": {"container_path": "data", "mode": "RW"}});
        }
        disk
    };
    // The agent has no disk: that much can be told of what is not there.
    let answer = post_form(address, "/reserve", "resources", &agent.id, &mem(false)).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let mut info = agent.info.clone();
    info.resources.add(&proto::Resources::scalars([("disk", 1_000_000)]));
    drop(agent);
    agent = Agent::reregister(address, info).await;
    let answer = post_form(address, "/reserve", "resources", &agent.id, &mem(false)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let answer = post_form(address, "/create-volumes", "volumes", &agent.id, &mem(true)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    match agent.next().await {
        proto::agent_link::AgentEvent::Volumes { volumes, .. } => assert_eq!(volumes.len(), 1),
        other => panic!("{other:?}"),
    }
    let slaves = request(address, "GET", "/slaves", &[], "").await.json();
    let full = &slaves["slaves"][0]["reserved_resources_full"]["dev"][0];
    assert_eq!(full["disk"]["persistence"]["id"], "data", "{full}");
    let operations = request(address, "GET", "/operations", &[], "").await.json();
    let one = &operations["operations"][0];
    assert_eq!(one["info"]["type"], "CREATE", "{operations}");
    let path = format!("/operations?agent_id={}&fields=agent_id", agent.id);
    let only = request(address, "GET", &path, &[], "").await.json();
    assert_eq!(only["operations"], json!([{"agent_id": {"value": agent.id.as_str()}}]));
    let none = request(address, "GET", "/operations?agent_id=other", &[], "").await.json();
    assert_eq!(none, json!({"operations": []}));
    let answer = post_form(address, "/destroy-volumes", "volumes", &agent.id, &mem(true)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    match agent.next().await {
        proto::agent_link::AgentEvent::Volumes { volumes, destroyed, .. } => {
            assert_eq!((volumes.len(), destroyed.len()), (0, 1));
        }
        other => panic!("{other:?}"),
    }
    master.stop().await;
}

#[tokio::test]
async fn quota_is_set_shown_and_removed_by_each_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.options.agent_timeout = Duration::from_secs(3600);
    let master = Running::start(config).await;
    let address = &*master.address;
    let _agent = Agent::register(address, 1).await;
    let body = json!({"role": "eng", "guarantee": [cpus(2, false)]}).to_string();
    let answer = request(address, "POST", "/quota", &[], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = request(address, "POST", "/master/quota", &[], &body).await;
    assert_eq!(answer.status, 400, "it is set already: {answer:?}");
    let quota = request(address, "GET", "/quota", &[], "").await.json();
    assert_eq!(quota["infos"][0]["role"], "eng");
    assert_eq!(quota["infos"][0]["guarantee"][0]["scalar"]["value"], 2.0, "{quota}");
    assert_eq!(quota["configs"][0]["limits"]["cpus"]["value"], 2.0, "{quota}");
    let guarantee = || {
        let mut amounts = Quantities::default();
        amounts.add(&ResourceName::new("cpus"), 1000);
        amounts
    };
    let role = |name: &str| Role::new(name).unwrap();
    let set = |name| Call::SetQuota { force: false, role: role(name), guarantee: guarantee() };
    let ok = Said::Answer(Box::new(Response::Ok));
    assert_eq!(over_grpc(address, &set("a")).await, ok);
    assert_eq!(over_http(address, &set("b"), Encoding::Protobuf).await, ok);
    let said = over_grpc(address, &Call::GetQuota).await;
    let Said::Answer(answer) = said else { panic!("{said:?}") };
    let Response::Quota(all) = *answer else { panic!("{answer:?}") };
    assert_eq!(all.iter().map(|one| one.role.as_str()).collect::<Vec<_>>(), ["a", "b", "eng"]);
    let said = over_grpc(address, &Call::GetRoles).await;
    let Said::Answer(answer) = said else { panic!("{said:?}") };
    let Response::Roles(roles) = *answer else { panic!("{answer:?}") };
    let of_eng = roles.iter().find(|one| one.role.as_str() == "eng").unwrap();
    assert_eq!(of_eng.quota.as_ref(), all.iter().find(|one| one.role.as_str() == "eng"));
    // More than the cluster has.
    let body = json!({"role": "big", "guarantee": [cpus(200, false)]}).to_string();
    let refused = request(address, "POST", "/quota", &[], &body).await;
    assert!(matches!(refused.status, 400 | 409), "{refused:?}");
    for (path, status) in [("/quota/eng", 200), ("/quota/eng", 400), ("/quota/", 400)] {
        assert_eq!(request(address, "DELETE", path, &[], "").await.status, status, "{path}");
    }
    assert_eq!(over_grpc(address, &Call::RemoveQuota(role("a"))).await, ok);
    assert_eq!(request(address, "DELETE", "/quota/b", &[], "").await.status, 200);
    let quota = request(address, "GET", "/quota", &[], "").await.json();
    assert_eq!(quota, json!({"infos": [], "configs": []}));
    master.stop().await;
}

#[tokio::test]
async fn the_level_of_the_log_is_set_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, mut levels) = tokio::sync::mpsc::unbounded_channel();
    let log = Some(LogControl::new(move |level| tell.send(level).unwrap()));
    let master = Running::start(Config { log, ..config(dir.path()) }).await;
    let address = &*master.address;
    let level = async || over_grpc(address, &Call::GetLoggingLevel).await;
    let is = |level| Said::Answer(Box::new(Response::LoggingLevel(level)));
    assert_eq!(level().await, is(0));
    let toggle = "/logging/toggle";
    let answer =
        request(address, "POST", &format!("{toggle}?level=2&duration=1hrs"), &[], "").await;
    assert_eq!((answer.status, level().await), (200, is(2)), "{answer:?}");
    assert_eq!(request(address, "GET", toggle, &[], "").await.body, "2\n");
    for wrong in ["level=2", "duration=1secs", "level=-1&duration=1secs", "level=1&duration=1"] {
        let path = format!("{toggle}?{wrong}");
        assert_eq!(request(address, "GET", &path, &[], "").await.status, 400, "{wrong}");
    }
    let call = Call::SetLoggingLevel { level: 1, duration: Duration::from_millis(1) };
    let said = over_http(address, &call, Encoding::Json).await;
    assert_eq!(said, Said::Answer(Box::new(Response::Ok)));
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(within("a level", levels.recv()).await);
    }
    assert_eq!((told, level().await), (vec![2, 1, 0], is(0)));
    master.stop().await;
    // Without the means it says so.
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let said = over_grpc(&master.address, &call).await;
    assert!(matches!(said, Said::Refused(501, _)), "{said:?}");
    master.stop().await;
}
