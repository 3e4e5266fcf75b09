//! GPUs as a stand-in for NVIDIA's library tells of them, with the interface of the true one.

use super::{Gpu, devices_in, find, tell};
use crate::supervisor::task::Device;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The stand-in; its first call answers so. `None` where there is no compiler of C.
fn library(dir: &Path, init: i32) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand_in/nvml.c");
    let library = dir.join(format!("nvml-{init}.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(format!("-DINIT={init}"));
    let Ok(status) = compiler.arg(source).status() else {
        println!("not run: there is no cc");
        return None;
    };
    assert!(status.success());
    Some(library)
}

fn gpu(n: u32) -> Gpu {
    Gpu { uuid: format!("GPU-{n}").into(), minor: n + 3, model: "Stand-in".to_owned() }
}

#[tokio::test]
async fn what_the_library_lists_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = library(dir.path(), 0) else { return };
    assert_eq!(find(Some(library)).await.unwrap(), [gpu(1), gpu(2)]);
}

#[tokio::test]
async fn a_library_that_was_named_must_answer() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.so");
    let error = find(Some(missing)).await.unwrap_err().to_string();
    assert!(error.starts_with("--nvml-library '") && error.contains("--no-gpus"), "{error}");
    // NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_GPU_IS_LOST, in the words of the wrapper
    for (code, text) in [(9, "driver is not loaded"), (15, "fell off the bus")] {
        let Some(library) = library(dir.path(), code) else { return };
        let error = find(Some(library)).await.unwrap_err().to_string();
        assert!(error.to_lowercase().contains(text), "{error}");
    }
}

#[test]
fn a_task_is_told_its_own_whatever_it_says() {
    let own: [Arc<str>; 2] = ["GPU-1".into(), "GPU-2".into()];
    let said = |known: &[Gpu], own: &[Arc<str>]| {
        let named = ["A", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"];
        let mut variables = named.map(|name| (name.to_owned(), "all".to_owned())).to_vec();
        tell(known, own, &mut variables);
        variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let (visible, cuda) = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES");
    let known = [gpu(1), gpu(2)];
    let both = [format!("{visible}=GPU-1,GPU-2"), format!("{cuda}=GPU-1,GPU-2")];
    assert_eq!(said(&known, &own), ["A=all", &both[0], &both[1]]);
    assert_eq!(
        said(&known, &[]),
        ["A=all", "NVIDIA_VISIBLE_DEVICES=void", "CUDA_VISIBLE_DEVICES="]
    );
    assert_eq!(said(&[], &[]).len(), 3, "who knows none has nothing to say");
}

#[test]
fn a_container_gets_the_devices_of_its_own_and_what_all_need() {
    let dir = tempfile::tempdir().unwrap();
    let node = |name: &str, minor| {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let (kind, device) =
            (rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(195, minor));
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join(name), kind, mode, device)
    };
    if node("nvidia4", 4).is_err() {
        println!("not run: only root can make devices");
        return;
    }
    node("nvidia5", 5).unwrap();
    node("nvidiactl", 255).unwrap();
    // No device: nobody is given what is none.
    std::fs::write(dir.path().join("nvidia-uvm"), "").unwrap();
    let known = [gpu(1), gpu(2)];
    let device = |name: &str, minor| Device { name: name.to_owned(), major: 195, minor };
    let own: [Arc<str>; 1] = ["GPU-2".into()];
    let found = devices_in(dir.path(), &known, &own);
    assert_eq!(found, [device("nvidia5", 5), device("nvidiactl", 255)]);
    assert!(devices_in(dir.path(), &known, &[]).is_empty());
}
