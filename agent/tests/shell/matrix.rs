//! Rows of the fault matrix that want a whole agent: its disk damaged, its host started anew.

use crate::rig::{Agent, Connection, Master, config, framework_id, shell, soon};
use crate::survival::kill_supervisor;
use agent::Stop;
use proto::agent_link::AgentCall;
use proto::{Reason, TaskId, TaskState};
use std::path::{Path, PathBuf};
use tokio::process::Command;

const TASKS: [&str; 3] = ["a", "b", "c"];

async fn start_tasks(link: &mut Connection) {
    for id in TASKS {
        link.start(shell(id, "exec sleep 1000")).await;
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

/// What may become of a file.
fn damages(file: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let whole = std::fs::read(file).unwrap();
    let mut damages = vec![("is missing".to_owned(), None), ("is empty".to_owned(), Some(vec![]))];
    if whole.is_empty() {
        return damages;
    }
    damages.push(("is cut".to_owned(), Some(whole[..whole.len() / 2].to_vec())));
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    for part in 0..8 {
        let Some(at) = used.get(used.len() * part / 8) else { continue };
        let mut flipped = whole.clone();
        flipped[*at] ^= 0x10;
        damages.push((format!("has another byte at {at}"), Some(flipped)));
    }
    damages
}

#[tokio::test]
async fn f21_a_file_of_the_checkpoint_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (work, kept) = (dir.path().join("work"), dir.path().join("kept"));
    let meta = work.join("meta");
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, &work)).await;
    let mut link = master.admit().await;
    start_tasks(&mut link).await;
    agent.stop(Stop::KeepTasks).await;
    copy(&meta, &kept);
    for file in files_below(&kept) {
        let name = file.strip_prefix(&kept).unwrap().to_owned();
        for (what, content) in damages(&file) {
            std::fs::remove_dir_all(&meta).unwrap();
            copy(&kept, &meta);
            match content {
                None => std::fs::remove_file(meta.join(&name)).unwrap(),
                Some(content) => std::fs::write(meta.join(&name), content).unwrap(),
            }
            let mut agent = Agent::start(config(&master, &work)).await;
            let link = agent.while_it_runs(master.admit()).await;
            let alive = link.tasks.iter().filter(|task| task.state == TaskState::Running).count();
            assert_eq!(alive, TASKS.len(), "{} {what}", name.display());
            agent.stop(Stop::KeepTasks).await;
        }
    }
    let agent = Agent::start(config(&master, &work)).await;
    let _link = master.admit().await;
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
}

/// A process that ends with the test, whatever comes of it.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that has this number, which is nobody's any more.
fn reuse(pid: i32) -> Stranger {
    let started = std::time::Instant::now();
    loop {
        // Others on this machine start processes too.
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut sleep = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        if sleep.id() == pid.cast_unsigned() {
            return Stranger(sleep);
        }
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        assert!(started.elapsed() < crate::rig::BOUND, "{pid} was not to be had");
    }
}

pub(crate) async fn f24_the_numbers_of_a_lost_supervisor_and_its_tasks_are_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    start_tasks(&mut link).await;
    agent.stop(Stop::KeepTasks).await;
    let lock = std::fs::read_to_string(dir.path().join("supervisor/supervisor.lock")).unwrap();
    let supervisor = lock.lines().next().unwrap();
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    let tasks = std::fs::read_to_string(children).unwrap();
    let tasks: Vec<i32> = tasks.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert!(tasks.len() >= TASKS.len(), "{tasks:?}");
    let pid = kill_supervisor(dir.path());
    // Its tasks end at the same time, of something else.
    for task in &tasks {
        let task = rustix::process::Pid::from_raw(*task).unwrap();
        let _ = rustix::process::kill_process(task, rustix::process::Signal::KILL);
    }
    let is_gone = |pid: &i32| !Path::new(&format!("/proc/{pid}")).exists();
    crate::survival::until(|| is_gone(&pid) && tasks.iter().all(is_gone)).await;
    let mut strangers: Vec<_> = tasks.iter().chain([&pid]).map(|pid| reuse(*pid)).collect();
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let mut lost = Vec::new();
    while lost.len() < TASKS.len() {
        let end = link.end().await;
        assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::SupervisorLost)));
        lost.push(end.task_id.to_string());
    }
    lost.sort();
    assert_eq!(lost, TASKS);
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
    for stranger in &mut strangers {
        assert!(stranger.0.try_wait().unwrap().is_none(), "a stranger was killed");
    }
}

pub(crate) async fn f20_the_host_is_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    let mut master = Master::start().await;
    let like_the_program = || {
        let resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
        agent::Config { resources, ..config(&master, &work) }
    };
    let config = like_the_program();
    let agent = Agent::start(config.clone()).await;
    let mut link = master.admit().await;
    start_tasks(&mut link).await;
    // All that a power cut ends: the agent, its supervisor, and the tasks with that.
    agent.abort().await;
    kill_supervisor(&work);
    let boot_id = dir.path().join("boot_id");
    std::fs::write(&boot_id, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let line = "mount --bind $0 /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let mut agent = Command::new("unshare")
        .args(["--mount", "sh", "-c", line])
        .arg(&boot_id)
        .arg(env!("CARGO_BIN_EXE_agent"))
        .args([master.address.as_ref(), work.as_os_str()])
        .arg(env!("CARGO_BIN_EXE_supervise"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let known = TASKS.map(|id| (framework_id(), TaskId::new(id).unwrap())).to_vec();
    let mut link = master.admit_knowing(None, known).await;
    let mut gone = Vec::new();
    while gone.len() < TASKS.len() {
        let AgentCall::Update { status, .. } = link.next().await else { continue };
        link.acknowledge(&status);
        if status.state == TaskState::Running {
            // The agent did not get to note that it was acknowledged.
            continue;
        }
        assert_eq!((status.state, status.reason), (TaskState::Gone, Some(Reason::AgentRebooted)));
        gone.push(status.task_id.to_string());
    }
    gone.sort();
    assert_eq!(gone, TASKS);
    agent.kill().await.unwrap();
    soon(agent.wait()).await.unwrap();
    // Another boot again, for what is left of the last.
    let agent = Agent::start(config).await;
    let _link = master.admit().await;
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
}
