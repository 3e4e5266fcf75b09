//! What tasks use, as the agent tells it.

use crate::rig::{Agent, Master, config, framework_id, shell, soon};
use agent::Stop;
use serde_json::Value;

async fn containers(agent: &Agent, path: &str) -> Vec<Value> {
    let (status, text) = agent.get(path).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn each_task_is_told_in_mesos_form_and_the_sums_as_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    assert_eq!(containers(&agent, "/containers").await, Vec::<Value>::new());
    link.start(shell("busy", "while :; do :; done")).await;
    // Rates need two looks.
    let busy = soon(async {
        loop {
            let all = containers(&agent, "/monitor/statistics").await;
            let used = all.first().and_then(|one| one["tepui"]["cpus_used"].as_f64());
            if used.is_some_and(|used| used > 0.0) {
                assert_eq!(all.len(), 1);
                return all.into_iter().next().unwrap();
            }
        }
    })
    .await;
    assert_eq!(busy["framework_id"], framework_id().as_str());
    assert_eq!((&busy["executor_id"], &busy["source"]), (&"busy".into(), &"busy".into()));
    let statistics = &busy["statistics"];
    assert!(statistics["cpus_user_time_secs"].as_f64().unwrap() > 0.0, "{busy}");
    assert_eq!(statistics["cpus_limit"], 0.01);
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age = since_epoch.as_secs_f64() - statistics["timestamp"].as_f64().unwrap();
    assert!((-1.0..60.0).contains(&age), "{age}");
    assert_eq!(busy["tepui"]["first_process_only"], true);
    assert_eq!(containers(&agent, "/slave(1)/containers").await.len(), 1);
    let (_, metrics) = agent.get("/metrics").await;
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
    };
    assert_eq!(value("tepui_agent_usage_containers"), 1.0);
    assert!(value("tepui_agent_usage_cpu_seconds_total") > 0.0);
    assert!(value("tepui_agent_usage_memory_bytes") > 0.0);
    link.kill("busy");
    link.end().await;
    assert_eq!(containers(&agent, "/containers").await, Vec::<Value>::new());
    agent.stop(Stop::EndTasks).await;
}
