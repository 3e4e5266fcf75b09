//! The engine's API, as far as it is used: each call has a time limit and says in its error what
//! was asked.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as ApiError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerUpdateBody, ImageInspect, SystemInfo,
};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, InspectContainerOptions, KillContainerOptions,
    ListContainersOptions, LogsOptions, RemoveContainerOptions, StartContainerOptions,
    StopContainerOptions, WaitContainerOptions,
};
use futures_util::{Stream, StreamExt};
use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the engine may take for what it does within itself.
const SHORT: Duration = Duration::from_secs(10);
/// How long it may take to make or start a container, or to remove its files: it works on the disk
/// then, and on a busy machine that is slow.
const LONG: Duration = Duration::from_secs(120);
/// How long the head of an answer may take that then goes on for as long as a container runs.
const STREAM_SECONDS: u64 = 24 * 3600;

/// Why the engine did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// Nobody answers, or not in time.
    #[error("the Docker engine at {socket} does not answer ({what}: {reason})")]
    Away { socket: String, what: &'static str, reason: String },
    /// It answered that it will not.
    #[error("the Docker engine refuses ({what}): {message}")]
    Refused { what: &'static str, status: u16, message: String },
}

impl EngineError {
    /// Whether what was asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the engine may do it when asked again.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// An engine on this machine.
#[derive(Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
    /// Speaks a version of the API that the engine has; made anew when it was away.
    client: Mutex<Option<Docker>>,
}

impl Engine {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, client: Mutex::default() }
    }

    fn away(&self, what: &'static str, reason: impl ToString) -> EngineError {
        let socket = self.socket.display().to_string();
        EngineError::Away { socket, what, reason: reason.to_string() }
    }

    async fn client(&self) -> Result<Docker, ApiError> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let socket = self.socket.to_string_lossy();
        let version = bollard::API_DEFAULT_VERSION;
        let client = Docker::connect_with_unix(&socket, STREAM_SECONDS, version)?;
        let client = client.negotiate_version().await?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }

    async fn ask<T, F>(
        &self,
        what: &'static str,
        limit: Duration,
        call: impl FnOnce(Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let asked = async { call(self.client().await?).await };
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.error(what, error)),
            Err(_) => Err(self.away(what, format!("no answer in {} s", limit.as_secs()))),
        }
    }

    /// Whoever answers next may be another engine, of another version.
    fn error(&self, what: &'static str, error: ApiError) -> EngineError {
        match error {
            ApiError::DockerResponseServerError { status_code, message } => {
                EngineError::Refused { what, status: status_code, message }
            }
            ApiError::DockerStreamError { error } => {
                EngineError::Refused { what, status: 500, message: error }
            }
            other => {
                *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.away(what, other)
            }
        }
    }

    pub(crate) async fn info(&self) -> Result<SystemInfo, EngineError> {
        self.ask("info", SHORT, |api| async move { api.info().await }).await
    }

    pub(crate) async fn image(&self, name: &str) -> Result<ImageInspect, EngineError> {
        self.ask("inspect image", SHORT, |api| async move { api.inspect_image(name).await }).await
    }

    /// Pulls an image; `told` hears what the engine says meanwhile.
    pub(crate) async fn pull(
        &self,
        image: &str,
        limit: Duration,
        mut told: impl FnMut(&str),
    ) -> Result<(), EngineError> {
        let options = CreateImageOptions {
            from_image: Some(image.to_owned()),
            // Without a tag the engine would pull all that there are.
            tag: (!names_version(image)).then(|| "latest".to_owned()),
            ..CreateImageOptions::default()
        };
        let pull = |api: Docker| async move {
            let stream = api.create_image(Some(options), None, None);
            tokio::pin!(stream);
            while let Some(progress) = stream.next().await {
                let progress = progress?;
                if let Some(error) = progress.error_detail.and_then(|detail| detail.message) {
                    return Err(ApiError::DockerStreamError { error });
                }
                told(progress.status.as_deref().unwrap_or_default());
            }
            Ok(())
        };
        self.ask("pull image", limit, pull).await
    }

    /// Makes a container; its id.
    pub(crate) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, EngineError> {
        let options =
            CreateContainerOptions { name: Some(name.to_owned()), platform: String::new() };
        let create = |api: Docker| async move {
            api.create_container(Some(options), body).await.map(|made| made.id)
        };
        self.ask("create container", LONG, create).await
    }

    pub(crate) async fn start(&self, name: &str) -> Result<(), EngineError> {
        let start = |api: Docker| async move {
            api.start_container(name, None::<StartContainerOptions>).await
        };
        self.ask("start container", LONG, start).await
    }

    pub(crate) async fn inspect(
        &self,
        name: &str,
    ) -> Result<ContainerInspectResponse, EngineError> {
        let inspect = |api: Docker| async move {
            api.inspect_container(name, None::<InspectContainerOptions>).await
        };
        self.ask("inspect container", SHORT, inspect).await
    }

    /// Returns when the container does not run any more, or when that cannot be known.
    pub(crate) async fn wait(&self, name: &str) {
        let Ok(api) = self.client().await else { return };
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let stream = api.wait_container(name, Some(options));
        tokio::pin!(stream);
        // A failure is looked into by the inspection that follows.
        let _ = stream.next().await;
    }

    /// What the container has written since this second, and goes on to write.
    pub(crate) async fn logs(
        &self,
        name: &str,
        since: i32,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<LogOutput, ApiError>> + use<>, EngineError> {
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            since,
            timestamps: true,
            ..LogsOptions::default()
        };
        let what = "logs";
        self.ask(what, SHORT, |api| async move { Ok(api.logs(name, Some(options))) }).await
    }

    pub(crate) async fn kill(&self, name: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        self.ask("kill container", SHORT, |api| async move {
            api.kill_container(name, Some(options)).await
        })
        .await
    }

    /// The engine's own way: its signal, and KILL after `seconds`, also when nobody waits for the
    /// answer any more.
    pub(crate) async fn stop(&self, name: &str, seconds: i32) -> Result<(), EngineError> {
        let limit = SHORT + Duration::from_secs(seconds.unsigned_abs().into());
        let options = StopContainerOptions { signal: None, t: Some(seconds) };
        self.ask("stop container", limit, |api| async move {
            api.stop_container(name, Some(options)).await
        })
        .await
    }

    pub(crate) async fn update(
        &self,
        name: &str,
        body: ContainerUpdateBody,
    ) -> Result<(), EngineError> {
        self.ask(
            "update container",
            SHORT,
            |api| async move { api.update_container(name, body).await },
        )
        .await
    }

    /// Removes a container and the volumes that have no name; one that is not there is removed.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = self
            .ask("remove container", LONG, |api| async move {
                api.remove_container(name, Some(options)).await
            })
            .await;
        match removed {
            Err(error) if error.is_missing() => Ok(()),
            // It is being removed already, or cannot be at this moment: what counts is what is there.
            Err(error @ EngineError::Refused { status: 409, .. }) => {
                match self.inspect(name).await {
                    Err(gone) if gone.is_missing() => Ok(()),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    /// Names and labels of all containers with this label.
    pub(crate) async fn labelled(
        &self,
        label: &str,
    ) -> Result<Vec<(String, HashMap<String, String>)>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let list = |api: Docker| async move { api.list_containers(Some(options)).await };
        let found = self.ask("list containers", SHORT, list).await?;
        let named = found
            .into_iter()
            .filter_map(|container| Some((container.id?, container.labels.unwrap_or_default())));
        Ok(named.collect())
    }
}

/// Whether an image's name has a tag or a digest.
fn names_version(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.contains([':', '@']) || image.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert!(!names_version("busybox"));
        assert!(!names_version("registry:5000/app"));
        assert!(names_version("registry:5000/app:1"));
        assert!(names_version("app@sha256:00"));
    }

    #[tokio::test]
    async fn an_engine_that_is_away_is_named_with_what_was_asked() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::new(dir.path().join("no.sock"));
        let error = engine.inspect("c").await.unwrap_err();
        assert!(error.is_away() && !error.is_missing());
        let said = error.to_string();
        assert!(said.contains("no.sock") && said.contains("inspect container"), "{said}");
    }
}
