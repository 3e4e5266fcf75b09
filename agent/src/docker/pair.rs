//! The agent's containerizers as one: each container goes to the one that has it.

use super::Docker;
use crate::config::{Config, Layout};
use crate::containerizer::{
    Allocation, ContainerId, Containerizer, Launch, Limitation, Native, Recovered, Stdio,
};
use crate::supervisor::task::Closed;
use std::time::Duration;

/// Native containers, and those of a Docker engine where the operator has one.
pub(crate) struct Pair {
    pub(crate) native: Native,
    pub(crate) docker: Option<Docker>,
}

impl Pair {
    /// With the engine that the operator gave to the agent, if any.
    pub(crate) async fn start(
        native: Native,
        config: &Config,
        layout: &Layout,
        boot_id: &str,
    ) -> Self {
        let docker = super::start(config, layout, boot_id, native.events()).await;
        Self { native, docker }
    }

    pub(crate) fn isolation(&self) -> &str {
        self.native.isolation()
    }

    /// Has tasks' networks not lead there; the engine has its own.
    pub(crate) fn close(&mut self, closed: Closed) {
        self.native.close(closed);
    }

    /// Ends the supervisor; containers of the engine have none.
    pub(crate) fn shutdown(&mut self) {
        self.native.shutdown();
    }

    /// Another supervisor took the place of one that was lost.
    pub(crate) fn replace_native(&mut self, mut native: Native) {
        native.close(self.native.closed().clone());
        if let Some(docker) = &mut self.docker {
            docker.renew(native.events());
        }
        self.native = native;
    }

    /// What the engine has, or had: the supervisor reports its own.
    pub(crate) fn report_docker(&self) -> Vec<Recovered> {
        self.docker.as_ref().map(Docker::report).unwrap_or_default()
    }

    fn of(&mut self, id: &ContainerId) -> &mut dyn Containerizer {
        match &mut self.docker {
            Some(docker) if docker.owns(id) => docker,
            _ => &mut self.native,
        }
    }
}

impl Containerizer for Pair {
    fn launch(&mut self, launch: Launch) {
        match &mut self.docker {
            Some(docker) if launch.docker.is_some() => docker.launch(launch),
            _ => self.native.launch(launch),
        }
    }

    fn update(&mut self, id: &ContainerId, allocation: Allocation) {
        self.of(id).update(id, allocation);
    }

    fn look(&mut self, launch: Launch, number: u64, timeout: Duration) {
        let id = launch.id.clone();
        self.of(&id).look(launch, number, timeout);
    }

    fn enter(&mut self, launch: Launch, number: u64, stdio: Stdio) {
        let id = launch.id.clone();
        self.of(&id).enter(launch, number, stdio);
    }

    fn signal_session(&mut self, number: u64, signal: i32) {
        // The engine's containers have none.
        self.native.signal_session(number, signal);
    }

    fn signal(&mut self, id: &ContainerId, signal: i32) {
        self.of(id).signal(id, signal);
    }

    fn kill(&mut self, id: &ContainerId, grace: Duration) {
        self.of(id).kill(id, grace);
    }

    fn destroy(&mut self, id: &ContainerId) {
        self.of(id).destroy(id);
    }

    fn usage(&mut self, id: &ContainerId) {
        self.of(id).usage(id);
    }

    fn sample(&mut self, all: bool) {
        self.native.sample(all);
        if let Some(docker) = &mut self.docker {
            docker.sample(all);
        }
    }

    fn exceeded(&mut self, id: &ContainerId, limitation: Limitation) {
        self.of(id).exceeded(id, limitation);
    }

    fn forget(&mut self, id: &ContainerId) {
        self.of(id).forget(id);
    }

    fn flush(&mut self) {
        self.native.flush();
    }
}
