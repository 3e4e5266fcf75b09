//! Launches on their way to the containerizer: first what they need, then the container.

use super::Performer;
use crate::containerizer::{self, Containerizer};
use crate::containers::{self, OfImage};
use crate::executors;
use crate::fetching::Fetched;
use crate::preparing::{Preparation, Prepared};
use crate::sandboxes::Place;
use agent_core::{Input, Launch};
use fail::fail_point;
use proto::{Exit, FetchUri, TaskBody};

impl Performer {
    pub(super) fn launch(&mut self, launch: &Launch) {
        fail_point!("launch-taken");
        let task = (launch.framework_id.clone(), launch.task.task_id.clone());
        let place = Place { path: None, running: true };
        self.sandboxes.insert(&launch.container_id, task, place);
        match launch.task.payload.open() {
            Ok(body) => {
                let image = body.container.as_ref().and_then(|asked| asked.image.as_ref());
                let preparation = self.preparing.begin(launch, image);
                self.go_on(launch, &body, preparation);
            }
            Err(error) => self.refuse(launch, error.to_string()),
        }
    }

    /// What launches waited for is there, or is not to be had.
    pub(crate) fn prepared(&mut self, prepared: Prepared) {
        let image = match prepared {
            Prepared::Image(image) => image,
            Prepared::Files(files) => return self.fetched(files),
            Prepared::Look(beside) => return self.look_beside(*beside),
            Prepared::Session(session) => return self.enter_made(*session),
            // The disk is measured by the server.
            Prepared::Room { .. } => return,
        };
        for (launch, preparation) in self.preparing.finish(image) {
            match launch.task.payload.open() {
                Ok(body) => self.go_on(&launch, &body, preparation),
                Err(error) => self.refuse(&launch, error.to_string()),
            }
        }
    }

    fn go_on(&mut self, launch: &Launch, body: &TaskBody, preparation: Preparation) {
        let image = match preparation {
            Preparation::Waiting => return,
            Preparation::Refused(input) => return self.answers.push(input),
            Preparation::Ready(image) => image,
        };
        let (disk, policy) = (&self.volumes, &self.policy);
        if let Some(group) = agent_core::group_executor(&launch.task) {
            if let Err(error) = disk.make_group(&launch.framework_id, &group.executor_id) {
                self.preparing.release(&launch.container_id, false);
                let message = format!("the group's directory cannot be made: {error}");
                return self.refuse(launch, message);
            }
            fail_point!("group-made");
        }
        let image = image.as_deref().map(OfImage::of);
        let (image, frameworks) = (image.as_ref(), &mut self.frameworks);
        match containers::container(launch, body, image, frameworks, disk, policy) {
            Ok(mut container) => {
                if policy.check_ports
                    && let Err(message) = containers::ports::are_free(&launch.task)
                {
                    self.preparing.release(&launch.container_id, false);
                    // It may well run elsewhere.
                    return self.fail(launch, message, None);
                }
                executors::variables(&self.employer, launch, &mut container.environment);
                let uris = body.command.as_ref().map_or(&[][..], |command| &command.uris);
                if !uris.is_empty() {
                    return self.fetch(launch, container, uris);
                }
                self.order(container);
            }
            Err(message) => {
                self.preparing.release(&launch.container_id, false);
                self.refuse(launch, message);
            }
        }
    }

    fn order(&mut self, container: containerizer::Launch) {
        self.images.launch(&container);
        self.native.launch(container);
        fail_point!("launch-ordered");
    }

    fn fetch(&mut self, launch: &Launch, made: containerizer::Launch, uris: &[FetchUri]) {
        if let Some(end) = self.preparing.fetch(launch, made, uris) {
            self.preparing.release(&launch.container_id, false);
            self.answers.push(end);
        }
    }

    fn fetched(&mut self, fetched: Fetched) {
        match self.preparing.fetched(fetched) {
            None => {}
            Some(Ok(container)) => self.order(container),
            Some(Err(end)) => self.answers.push(end),
        }
    }

    fn refuse(&mut self, launch: &Launch, message: String) {
        self.fail(launch, message, Some(containers::CANNOT_EXECUTE));
    }

    fn fail(&mut self, launch: &Launch, message: String, exit: Option<Exit>) {
        let (container_id, message) = (launch.container_id.clone(), message.into());
        self.answers.push(Input::LaunchFailed { container_id, message, exit });
    }
}
