//! How an image wants to be run: the part of OCI's image configuration that matters here.

use crate::Digest;
use crate::error::Fault;
use serde::Deserialize;
use std::path::{Component, PathBuf};

/// Longest configuration that is read.
pub(crate) const CONFIG_BYTES: u64 = 4 << 20;

/// How an image wants to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What runs, with its first arguments.
    pub entry_point: Vec<String>,
    /// What follows, unless the task says otherwise.
    pub command: Vec<String>,
    /// Variables and their values, in order.
    pub environment: Vec<(String, String)>,
    /// The working directory, an absolute path; absent for `/`.
    pub directory: Option<PathBuf>,
    /// The user, by name or number, with a group behind a colon if it has one.
    pub user: Option<String>,
}

/// A whole configuration, as far as it is looked at.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Config {
    architecture: Option<String>,
    os: Option<String>,
    config: Option<Execution>,
    rootfs: Layers,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Layers {
    diff_ids: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Execution {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
}

impl Config {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(text)
            .map_err(|error| Fault::Unfit(format!("its configuration is not understood: {error}")))
    }

    /// The digests of the layers once they are unpacked, lowest first.
    pub(crate) fn layers(&self) -> Result<Vec<Digest>, Fault> {
        self.rootfs.diff_ids.iter().map(|text| text.parse().map_err(Fault::Unfit)).collect()
    }

    /// Refuses what is made for other machines; an image that does not say is taken at its word.
    pub(crate) fn fits(&self) -> Result<(), Fault> {
        let os = self.os.as_deref().filter(|os| !os.is_empty()).unwrap_or("linux");
        let ours = architecture();
        let theirs = self.architecture.as_deref().filter(|a| !a.is_empty()).unwrap_or(ours);
        if os != "linux" || theirs != ours {
            return Err(Fault::Unfit(format!("it is for {os}/{theirs}, and this is linux/{ours}")));
        }
        Ok(())
    }

    pub(crate) fn settings(self) -> Result<Settings, Fault> {
        let execution = self.config.unwrap_or_default();
        let variable = |text: &String| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let directory = execution.working_dir.filter(|path| !path.is_empty());
        let directory = match directory.map(PathBuf::from) {
            Some(path) if path.components().any(|part| part == Component::ParentDir) => {
                let path = path.display();
                return Err(Fault::Unfit(format!("its working directory {path} has a \"..\"")));
            }
            Some(path) if path.is_absolute() => Some(path).filter(|path| path.as_os_str() != "/"),
            Some(path) => {
                let path = path.display();
                return Err(Fault::Unfit(format!("it has a relative working directory {path}")));
            }
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
}

/// This machine, in OCI's (that is, Go's) words.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
