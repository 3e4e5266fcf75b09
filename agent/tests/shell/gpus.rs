//! GPUs of a stand-in for NVIDIA's library, through the whole agent.

use crate::rig::{Agent, Connection, Master, config, shell};
use agent::{Config, Stop};
use proto::{Flavor, Piece, ResourceName, TaskInfo, TaskState, Value};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `None`, with the reason, where there is no compiler of C.
#[allow(clippy::print_stdout, reason = "what did not run is said")]
fn library(dir: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand_in/nvml.c");
    let library = dir.join("nvml.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-DINIT=0", "-o"]).arg(&library).arg(source);
    let Ok(status) = compiler.status() else {
        println!("not run: there is no cc");
        return None;
    };
    assert!(status.success());
    Some(library)
}

fn with_gpus(master: &Master, work_dir: &Path, library: &Path) -> Config {
    let mut config = config(master, work_dir);
    config.resources = Some("cpus:4;mem:4096;disk:1000".to_owned());
    config.nvml_library = Some(library.to_owned());
    config
}

fn using(mut task: TaskInfo, milli: u64) -> TaskInfo {
    let (name, flavor) = (ResourceName::new("gpus"), Flavor::default());
    task.resources.add_piece(Piece { name, flavor, value: Value::Scalar(milli) });
    task
}

/// Ends well if this is what it is told.
fn told(name: &str, visible: &str, cuda: &str) -> TaskInfo {
    let line =
        format!("test \"$NVIDIA_VISIBLE_DEVICES $CUDA_VISIBLE_DEVICES\" = '{visible} {cuda}'");
    shell(name, &line)
}

async fn finishes(link: &mut Connection, task: TaskInfo) {
    let end = link.run_to_end(task).await;
    assert_eq!(end.state, TaskState::Finished, "{end:?}");
}

#[tokio::test]
async fn tasks_are_told_their_gpus_and_an_agent_that_was_started_anew_gives_none_to_two() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = library(dir.path()) else { return };
    let work_dir = dir.path().join("w");
    let mut master = Master::start().await;
    let agent = Agent::start(with_gpus(&master, &work_dir, &library)).await;
    let mut link = master.admit().await;
    finishes(&mut link, using(told("both", "GPU-1,GPU-2", "GPU-1,GPU-2"), 2_000)).await;
    finishes(&mut link, told("none", "void", "")).await;
    link.start(using(shell("first", "sleep 1000"), 1_000)).await;
    finishes(&mut link, using(told("second", "GPU-2", "GPU-2"), 1_000)).await;
    agent.abort().await;
    let agent = Agent::start(with_gpus(&master, &work_dir, &library)).await;
    let mut link = master.admit().await;
    finishes(&mut link, using(told("third", "GPU-2", "GPU-2"), 1_000)).await;
    link.kill("first");
    assert_eq!(link.end().await.state, TaskState::Killed);
    finishes(&mut link, using(told("fourth", "GPU-1", "GPU-1"), 1_000)).await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_operator_offers_none_or_fewer_or_is_told_that_there_are_not_so_many() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = library(dir.path()) else { return };
    let master = Master::start().await;
    let mut config = with_gpus(&master, &dir.path().join("w"), &library);
    config.resources = Some("cpus:4;mem:4096;disk:1000;gpus:3".to_owned());
    let error = Agent::start(config.clone()).await.error().await.to_string();
    assert!(error.starts_with("--resources 'gpus:3': this machine has 2 GPUs"), "{error}");
    config.gpus = false;
    let agent = Agent::start(config).await;
    agent.stop(Stop::EndTasks).await;
}
