//! Several masters: one leads, the others know where it is, and any of them may take over.

use crate::client::{BOUND, Http, within};
use crate::cluster::{Agent, Running, config};
use grpc::{AgentLinkClient, ClientOptions, OperatorClient, SchedulerClient};
use master::Config;
use proto::agent_link::Command;
use proto::operator::{Call, MasterView, Masters, Response};
use proto::{Quantities, QuotaConfig, ResourceName, Role};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Asks until the answer is as it is to be. Refusals are for a while: somebody is being elected.
async fn until(at: &str, call: Call, is_good: impl Fn(&Response) -> bool) -> Response {
    let begin = Instant::now();
    loop {
        let answer = ask(at, call.clone()).await;
        let last = match answer {
            Ok(answer) if is_good(&answer) => return answer,
            last => last,
        };
        assert!(begin.elapsed() < BOUND, "{} of {at}: {last:?}", call.name());
        // waits: nobody tells when masters agree; a question now and then shows it.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks a master, or the one that it names.
async fn ask(at: &str, call: Call) -> Result<Response, String> {
    let (mut at, options) = (at.to_owned(), ClientOptions::default());
    for _ in 0..3 {
        let client = OperatorClient::connect(&at, &options).await.map_err(|e| e.to_string())?;
        match client.call(call.clone()).await {
            Ok(response) => return Ok(response),
            Err(status) => match grpc::leader(&status) {
                Some(leader) => at = leader.to_owned(),
                None => return Err(status.message().to_owned()),
            },
        }
    }
    Err("sent from one to another".to_owned())
}

fn masters(response: Response) -> Masters {
    match response {
        Response::Masters(masters) => masters,
        other => panic!("{other:?}"),
    }
}

fn voting(answer: &Response, count: usize) -> bool {
    match answer {
        Response::Masters(all) => {
            all.masters.len() == count && all.masters.iter().all(|master| master.voting)
        }
        _ => false,
    }
}

fn leader(all: &Masters) -> &MasterView {
    all.masters.iter().find(|master| master.leading).unwrap()
}

fn joining(dir: &Path, seed: &str) -> Config {
    Config { join: vec![seed.to_owned()], ..config(dir) }
}

/// Three masters, the founder first, and their directories.
pub(crate) async fn three(dirs: &[tempfile::TempDir; 3]) -> [Running; 3] {
    let first = Running::at(dirs[0].path()).await;
    let second = Running::start(joining(dirs[1].path(), &first.address)).await;
    // One of them need not be the one that leads.
    until(&first.address, Call::GetMasters, |answer| voting(answer, 2)).await;
    let third = Running::start(joining(dirs[2].path(), &second.address)).await;
    until(&first.address, Call::GetMasters, |answer| voting(answer, 3)).await;
    [first, second, third]
}

pub(crate) fn dirs() -> [tempfile::TempDir; 3] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

fn quota(cpus: u64) -> Call {
    let config = QuotaConfig {
        role: Role::new("eng").unwrap(),
        guarantees: Quantities::default(),
        limits: [(ResourceName::new("cpus"), cpus)].into(),
    };
    Call::UpdateQuota { force: false, configs: vec![config] }
}

fn limits(answer: &Response) -> Option<u64> {
    match answer {
        Response::Quota(all) => all.first()?.limits.values().next().copied(),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_takes_over_with_all_facts_and_the_first_one_follows_when_it_returns() {
    let dirs = dirs();
    let [first, second, third] = three(&dirs).await;
    let agent = Agent::register(&first.address, 7).await;
    assert_eq!(ask(&second.address, quota(4_000)).await, Ok(Response::Ok));
    let address = first.address.clone();
    first.stop().await;
    // It has handed over before it ended: what was acknowledged is there at once.
    let answer = until(&second.address, Call::GetQuota, |answer| limits(answer).is_some()).await;
    assert_eq!(limits(&answer), Some(4_000));
    let all = masters(until(&third.address, Call::GetMasters, |answer| voting(answer, 3)).await);
    let led = leader(&all).address.to_string();
    assert!(led == second.address || led == third.address, "{all:?}");
    let (gone, stays) = if led == second.address { (second, third) } else { (third, second) };
    let again = Agent::reregister(&led, agent.info.clone()).await;
    assert_eq!(again.id, agent.id);
    drop(agent);

    // The first one comes back where it was, under the same id, and follows.
    let listener = TcpListener::bind(&address).await.unwrap();
    let first = Running::start_on(config(dirs[0].path()), listener);
    let back = |answer: &Response| match answer {
        Response::Masters(all) => all.masters.iter().all(|master| master.alive),
        _ => false,
    };
    let all = masters(until(&led, Call::GetMasters, back).await);
    assert_eq!(*leader(&all).address, *led);
    assert_eq!(limits(&ask(&address, Call::GetQuota).await.unwrap()), Some(4_000));

    // Without a word, and with one of three away for good, the other two go on.
    gone.abort().await;
    drop(again);
    let answer = until(&stays.address, quota(5_000), |answer| *answer == Response::Ok).await;
    assert_eq!(answer, Response::Ok);
    let answer = until(&address, Call::GetQuota, |answer| limits(answer).is_some()).await;
    assert_eq!(limits(&answer), Some(5_000));
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_say_where_the_leader_is_and_how_they_stand() {
    let dirs = dirs();
    let [first, second, third] = three(&dirs).await;
    let mut http = Http::connect(&second.address).await;
    let health = http.request("GET", "/health", &[], "").await;
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!((&health["role"], &health["masters"]), (&json!("follower"), &json!(3)));
    assert_eq!(health["leader"], json!(first.address));
    assert!(health["term"].as_u64().unwrap() > 0 && health["commit"].as_u64().unwrap() > 0);
    for (path, location) in [
        ("/state", format!("//{}/state", first.address)),
        ("/master/slaves?limit=1", format!("//{}/master/slaves?limit=1", first.address)),
        ("/api/v1", format!("//{}/api/v1", first.address)),
        ("/master/redirect", format!("//{}", first.address)),
    ] {
        let answer = http.request("POST", path, &[], "").await;
        assert_eq!((answer.status, &answer.headers["location"]), (307, &location), "{path}");
    }
    // What the registry says may be had from a follower too, by who does not mind that it is old.
    assert_eq!(ask(&first.address, quota(4_000)).await, Ok(Response::Ok));
    let begin = Instant::now();
    let told = loop {
        let answer = http.request("GET", "/quota?stale=true", &[], "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.headers["tepui-stale-index"].parse::<u64>().unwrap() > 0);
        if !answer.json()["configs"].as_array().unwrap().is_empty() {
            break answer;
        }
        assert!(begin.elapsed() < BOUND, "{answer:?}");
        // waits: the follower's copy is a second old at the most
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(told.json()["configs"][0]["role"], "eng");
    let agents = http.request("GET", "/slaves?stale=true", &[], "").await;
    assert_eq!(agents.status, 200, "{agents:?}");
    assert!(agents.json()["slaves"].is_array());
    let tasks = http.request("GET", "/tasks?stale=true", &[], "").await;
    assert_eq!(tasks.status, 307, "tasks are no facts of the registry");
    let metrics = http.request("GET", "/metrics", &[], "").await;
    assert_eq!(metrics.status, 200);
    for line in ["tepui_master_role{role=\"follower\"} 1", "tepui_master_members 3"] {
        assert!(metrics.body.contains(line), "{line} of {}", metrics.body);
    }
    assert_eq!(http.request("GET", "/version", &[], "").await.status, 200);
    // Agents and schedulers learn it from the refusal of their stream.
    let options = ClientOptions::default();
    let agent = AgentLinkClient::connect::<Command>(&third.address, &options).await.err().unwrap();
    assert_eq!(agent.leader(), Some(&*first.address), "{agent}");
    let framework = SchedulerClient::connect(&third.address, &options).await.err().unwrap();
    assert_eq!(framework.leader(), Some(&*first.address), "{framework}");
    // Without a majority nobody leads: who asks is told, and who is asked lives on.
    third.abort().await;
    first.abort().await;
    let begin = Instant::now();
    loop {
        let answer = http.request("GET", "/state", &[], "").await;
        if answer.status == 503 {
            assert!(answer.body.contains("no master leads"), "{}", answer.body);
            break;
        }
        assert!(answer.status == 307 && begin.elapsed() < BOUND, "{answer:?}");
    }
    let health = http.request("GET", "/health", &[], "").await;
    assert_eq!((health.status, &health.json()["leader"]), (200, &json!(null)));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_are_removed_and_the_lead_is_handed_on() {
    let dirs = dirs();
    let [first, second, third] = three(&dirs).await;
    let all = masters(ask(&first.address, Call::GetMasters).await.unwrap());
    let of = |address: &str| all.masters.iter().find(|m| *m.address == *address).unwrap().id;
    let (two, three) = (of(&second.address), of(&third.address));
    assert_eq!(leader(&all).address.to_string(), first.address);
    assert_eq!(ask(&first.address, Call::TransferLead(Some(two))).await, Ok(Response::Ok));
    let led = |answer: &Response| match answer {
        Response::Masters(all) => leader(all).id == two,
        _ => false,
    };
    until(&third.address, Call::GetMasters, led).await;
    let nobody = ask(&first.address, Call::RemoveMaster(99)).await.unwrap_err();
    assert!(nobody.contains("no master") && nobody.contains("99"), "{nobody}");
    let taken = Call::AddMaster { id: 98, address: third.address.clone().into() };
    let taken = ask(&first.address, taken).await.unwrap_err();
    assert!(taken.contains("already"), "{taken}");
    let wrong = Call::AddMaster { id: 98, address: "nowhere".into() };
    let wrong = ask(&first.address, wrong).await.unwrap_err();
    assert!(wrong.contains("'nowhere' is no address"), "{wrong}");
    assert_eq!(ask(&first.address, Call::RemoveMaster(three)).await, Ok(Response::Ok));
    until(&first.address, Call::GetMasters, |answer| voting(answer, 2)).await;
    // Who leads hands over first, and says so.
    let led = ask(&first.address, Call::RemoveMaster(two)).await.unwrap_err();
    assert!(led.contains("handed over"), "{led}");
    until(&first.address, Call::RemoveMaster(two), |answer| *answer == Response::Ok).await;
    let last = masters(until(&first.address, Call::GetMasters, |a| voting(a, 1)).await);
    let only = ask(&first.address, Call::RemoveMaster(last.masters[0].id)).await.unwrap_err();
    assert!(only.contains("the only one"), "{only}");
    assert_eq!(ask(&first.address, quota(1_000)).await, Ok(Response::Ok));
    // Who was taken out ends by itself.
    second.ended().await;
    third.ended().await;
    within("the end of the last master", first.stop()).await;
}
