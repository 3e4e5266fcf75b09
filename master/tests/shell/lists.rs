//! Which part of a list is wanted: by page, by what its elements belong to, and by their fields;
//! for each list, by the query of the old endpoints, by that of the v1 API, and by `select`.

use crate::client::{JSON, request};
use crate::reads::{Cluster, names};
use grpc::{ClientOptions, OperatorClient};
use proto::operator::{Call, Response, Selection};
use proto::{AgentId, FrameworkId, Role, TaskId};
use serde_json::{Value, json};
use std::sync::Arc;

/// What `POST /api/v1` answers to a call with this query.
async fn v1(cluster: &Cluster, call: &str, query: &str) -> Value {
    let path = format!("/api/v1?{query}");
    let body = json!({ "type": call }).to_string();
    let answer = request(&cluster.master.address, "POST", &path, &[JSON], &body).await;
    assert_eq!(answer.status, 200, "{call} {query}: {answer:?}");
    answer.json()[call.to_ascii_lowercase()].clone()
}

#[tokio::test]
async fn old_lists_are_paged_filtered_and_projected() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let offered = |value: &Value| value["offers"][0].is_object();
    cluster.get_when("/offers", offered).await;
    let (agent, framework) = (cluster.agent.id.clone(), cluster.framework.clone());
    // The list, its member, a field, what fits, and what does not.
    let of_agent = format!("slave_id={agent}");
    let of_framework = format!("framework_id={framework}");
    let table = [
        ("/slaves", "slaves", "id", &of_agent, "slave_id=other"),
        ("/frameworks", "frameworks", "id", &of_framework, "framework_id=other"),
        ("/frameworks", "frameworks", "name", &"role=dev".to_owned(), "role=other"),
        ("/tasks", "tasks", "id", &of_agent, "slave_id=other"),
        ("/tasks", "tasks", "state", &"task_id=t2".to_owned(), "task_id=t9"),
        ("/tasks", "tasks", "name", &of_framework, "role=other"),
        ("/roles", "roles", "name", &"role=dev".to_owned(), "role=other"),
        ("/offers", "offers", "id", &of_agent, "slave_id=other"),
        ("/offers", "offers", "slave_id", &of_framework, "framework_id=other"),
        ("/state", "slaves", "id", &of_agent, "slave_id=other"),
        ("/state", "frameworks", "name", &of_framework, "framework_id=other"),
        ("/state-summary", "slaves", "id", &of_agent, "slave_id=other"),
        ("/state-summary", "frameworks", "name", &of_framework, "framework_id=other"),
    ];
    for (path, member, field, fits, other) in table {
        let list = async |query: &str| {
            let value = cluster.get(&format!("{path}?{query}")).await;
            value[member].as_array().unwrap_or_else(|| panic!("{path}?{query}: {value}")).clone()
        };
        assert!(!list(fits).await.is_empty(), "{path}?{fits}");
        assert_eq!(list(other).await.len(), 0, "{path}?{other}");
        assert_eq!(list("limit=1").await.len(), 1, "{path}");
        assert_eq!(list("limit=0").await.len(), 0, "{path}");
        assert_eq!(list("offset=1000").await.len(), 0, "{path}");
        let fields = list(&format!("fields={field}&{fits}")).await;
        let members: Vec<_> = fields[0].as_object().unwrap().keys().collect();
        assert_eq!(members, [field], "{path}");
    }
    // Pages follow one another.
    let ids = async |query: &str| names(&cluster.get(query).await["tasks"], "id");
    assert_eq!(ids("/tasks?order=asc&limit=2").await, ["t1", "t2"]);
    assert_eq!(ids("/tasks?order=asc&limit=2&offset=2").await, ["t3"]);
    // Tasks of a framework in the state are filtered as well.
    let state = cluster.get("/state?task_id=t2").await;
    assert_eq!(names(&state["frameworks"][0]["tasks"], "id"), ["t2"]);
    cluster.master.stop().await;
}

#[tokio::test]
async fn lists_of_the_v1_api_are_paged_filtered_and_projected() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let of_agent = format!("agent_id={}", cluster.agent.id);
    let of_framework = format!("framework_id={}", cluster.framework);
    let table = [
        ("GET_AGENTS", "agents", "active", &of_agent, "agent_id=other"),
        ("GET_FRAMEWORKS", "frameworks", "active", &of_framework, "framework_id=other"),
        ("GET_TASKS", "tasks", "state", &of_agent, "agent_id=other"),
        ("GET_TASKS", "tasks", "name", &"task_id=t1".to_owned(), "task_id=t9"),
        ("GET_ROLES", "roles", "weight", &"role=dev".to_owned(), "role=other"),
    ];
    for (call, member, field, fits, other) in table {
        let list = async |query: &str| match &v1(&cluster, call, query).await[member] {
            Value::Null => Vec::new(),
            list => list.as_array().unwrap().clone(),
        };
        assert!(!list(fits).await.is_empty(), "{call} {fits}");
        assert_eq!(list(other).await.len(), 0, "{call} {other}");
        assert_eq!(list("limit=1").await.len(), 1, "{call}");
        assert_eq!(list("limit=0").await.len(), 0, "{call}");
        assert_eq!(list("offset=1000").await.len(), 0, "{call}");
        let fields = list(&format!("fields={field}&{fits}")).await;
        assert_eq!(fields[0].as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{call}");
    }
    let state = v1(&cluster, "GET_STATE", "task_id=t3&fields=name").await;
    assert_eq!(state["get_tasks"]["tasks"], json!([{"name": "task-3"}]));
    assert_eq!(state["get_agents"]["agents"], json!([{}]));
    assert_eq!(v1(&cluster, "GET_OPERATIONS", "limit=1").await, json!({}));
    cluster.master.stop().await;
}

#[tokio::test]
async fn a_selection_is_the_same_in_each_encoding_and_over_grpc() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let address = &cluster.master.address;
    let task = |id: &str| Some(TaskId::new(id).unwrap());
    let with = |call: Call| Selection::all(call);
    let wrong = Some(Role::new("other").unwrap());
    for (selection, tasks) in [
        (Selection { task_id: task("t2"), ..with(Call::GetTasks) }, 1),
        (Selection { limit: Some(2), ..with(Call::GetTasks) }, 2),
        (Selection { offset: 2, ..with(Call::GetTasks) }, 1),
        (Selection { role: wrong, ..with(Call::GetTasks) }, 0),
        (Selection { agent_id: Some(cluster.agent.id.clone()), ..with(Call::GetTasks) }, 3),
        (Selection { agent_id: AgentId::new("x").ok(), ..with(Call::GetTasks) }, 0),
        (Selection { framework_id: FrameworkId::new("x").ok(), ..with(Call::GetTasks) }, 0),
    ] {
        let call = Call::Select(Box::new(selection));
        let all = crate::reads::three_ways(address, &call).await;
        for answer in &all {
            let Response::Tasks(view) = answer else { panic!("{answer:?}") };
            assert_eq!(view.tasks.len(), tasks, "{call:?}");
        }
        crate::reads::are_the_same(&all);
    }
    // Only what is JSON has fields that can be left out.
    let fields = vec![Arc::from("name")];
    let call = Call::Select(Box::new(Selection { fields, ..with(Call::GetTasks) }));
    let client = OperatorClient::connect(address, &ClientOptions::default()).await.unwrap();
    let status = client.call(call).await.unwrap_err();
    assert!(status.message().contains("JSON"), "{status:?}");
    let body = r#"{"type":"GET_HEALTH","select":{"limit":1}}"#;
    let answer = request(address, "POST", "/api/v1", &[JSON], body).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    cluster.master.stop().await;
}

#[tokio::test]
async fn tasks_show_their_labels_discovery_and_container() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let expected = json!([{"key": "tier", "value": "web"}]);
    let tasks = cluster.get("/tasks?task_id=t1").await;
    let task = &tasks["tasks"][0];
    assert_eq!(task["labels"], expected, "{task}");
    assert_eq!(task["discovery"]["name"], "site", "{task}");
    let state = cluster.get("/state").await;
    assert_eq!(state["frameworks"][0]["tasks"][0]["labels"], expected);
    assert!(state["frameworks"][0]["tasks"][1].get("labels").is_none());
    let only = cluster.get("/tasks?task_id=t1&fields=labels").await;
    assert_eq!(only["tasks"], json!([{"labels": expected}]));
    let v1 = v1(&cluster, "GET_TASKS", "task_id=t1").await;
    assert_eq!(v1["tasks"][0]["labels"]["labels"], expected, "{v1}");
    assert_eq!(v1["tasks"][0]["discovery"]["visibility"], "CLUSTER", "{v1}");
    cluster.master.stop().await;
}

#[tokio::test]
async fn tasks_are_listed_with_their_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let networks = json!([{"ip_addresses": [{"protocol": "IPv4", "ip_address": "10.198.0.1"}]}]);
    let running = |task: &Value| task["statuses"][1]["container_status"]["network_infos"].clone();
    let state = cluster.get("/state?task_id=t2").await;
    assert_eq!(running(&state["frameworks"][0]["tasks"][0]), networks, "{state}");
    let tasks = cluster.get("/tasks?task_id=t2").await;
    assert_eq!(running(&tasks["tasks"][0]), networks, "{tasks}");
    let told = v1(&cluster, "GET_TASKS", "task_id=t2").await;
    assert_eq!(running(&told["tasks"][0]), networks, "{told}");
    cluster.master.stop().await;
}
