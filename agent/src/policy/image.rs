//! Images by name: a root file system that the operator has put into the image store, and what its
//! configuration says of how to run it.
//!
//! A name is a path below the store and nothing else: it cannot leave it. Nothing is fetched, and
//! nothing in the store is ever changed.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Longest configuration that is read.
const CONFIG_BYTES: u64 = 4 << 20;
/// Longest name of an image.
const NAME_BYTES: usize = 512;

/// How an image wants to be run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) entry_point: Vec<String>,
    pub(crate) command: Vec<String>,
    /// Variables and their values, in order.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) user: Option<String>,
}

/// The part of OCI's image configuration that matters here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    config: Option<Execution>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    // Told to people by other tools; ignored here.
    #[serde(flatten)]
    _rest: BTreeMap<String, serde_json::Value>,
}

/// The root file system and the settings of an image.
///
/// # Errors
/// Why there is none, as a clause.
pub(super) fn find(store: Option<&Path>, name: &str) -> Result<(PathBuf, Settings), String> {
    let store = store.ok_or("this agent has no images (--image-store)")?;
    let plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(format!("{name:?} is no name of an image"));
    }
    let dir = store.join(name);
    let root = dir.join("rootfs");
    let found = std::fs::symlink_metadata(&root).is_ok_and(|found| found.is_dir());
    if !found {
        return Err(format!("there is no image {name:?} in {}", store.display()));
    }
    let settings = settings(&dir.join("config.json"))
        .map_err(|problem| format!("the image {name:?} has a config.json that {problem}"))?;
    Ok((root, settings))
}

fn settings(path: &Path) -> Result<Settings, String> {
    let mut text = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            let read = file.take(CONFIG_BYTES + 1).read_to_end(&mut text);
            read.map_err(|error| format!("cannot be read: {error}"))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Settings::default());
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    }
    if text.len() as u64 > CONFIG_BYTES {
        return Err(format!("is larger than {} MB", CONFIG_BYTES >> 20));
    }
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| format!("is not understood: {error}"))?;
    let execution = config.config.unwrap_or_default();
    let variable = |text: &String| {
        let (name, value) = text.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let directory = execution.working_dir.filter(|path| !path.is_empty());
    let directory = match directory.map(PathBuf::from) {
        Some(path) if path.is_absolute() => Some(path).filter(|path| path != Path::new("/")),
        Some(path) => return Err(format!("has a relative working directory {}", path.display())),
        None => None,
    };
    Ok(Settings {
        entry_point: execution.entrypoint.unwrap_or_default(),
        command: execution.cmd.unwrap_or_default(),
        environment: execution.env.iter().flatten().filter_map(variable).collect(),
        directory,
        user: execution.user.filter(|user| !user.is_empty()),
    })
}
