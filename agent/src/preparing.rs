//! Launches that need something first: an image that is not unpacked yet, files that are fetched.
//!
//! Unpacking takes as long as it takes, on a thread of its own, and everything else goes on. All
//! launches of one image wait for the same work; when none of them is left, it is given up.

use crate::Error;
use crate::config::{Config, Layout};
use crate::containerizer;
use crate::containers::CANNOT_EXECUTE;
use crate::fetching::{Fetched, Fetching, Places, discard};
use crate::headroom::Headroom;
use crate::perform::{Beside, MadeSession};
use crate::policy::Policy;
use agent_core::{Input, Launch};
use images::{Collected, Image, ImageError, Store};
use proto::{ContainerId, FetchUri};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

/// What came of preparing.
pub(crate) enum Prepared {
    /// An image, for all launches that wait for it.
    Image(PreparedImage),
    /// The files of one launch.
    Files(Fetched),
    /// A look at a task.
    Look(Box<Beside>),
    /// A session in a task's container.
    Session(Box<MadeSession>),
    /// Room on the disk, as far as what can be had again took it.
    Room {
        /// Whether it was made because the disk was found short.
        for_want: bool,
    },
}

/// What came of preparing an image.
pub(crate) struct PreparedImage {
    name: Arc<str>,
    image: Result<Image, ImageError>,
}

/// What can be done with a launch now.
#[derive(Debug)]
pub(crate) enum Preparation {
    /// All that it needs is there; with its image, if it has one.
    Ready(Option<Arc<Image>>),
    /// It will come back.
    Waiting,
    /// It cannot be run.
    Refused(Input),
}

/// The launches that wait, and the images that must stay until they run.
pub(crate) struct Preparing {
    store: Option<Arc<Store>>,
    cache_bytes: u64,
    done: UnboundedSender<Prepared>,
    waiting: BTreeMap<Arc<str>, Waiting>,
    /// Until the supervisor holds them itself.
    held: BTreeMap<ContainerId, Arc<Image>>,
    /// Whether what can be had again is being removed.
    making_room: Arc<AtomicBool>,
    /// Absent means that nothing is fetched.
    fetching: Option<Arc<Fetching>>,
    fetches: BTreeMap<ContainerId, Fetch>,
}

/// A launch whose files are being fetched, or were.
enum Fetch {
    UnderWay {
        made: Box<containerizer::Launch>,
        _work: Work,
    },
    /// Its sandbox, until the supervisor has taken it.
    Whole(PathBuf),
}

/// Ends when nobody waits for it any more.
struct Work(AbortHandle);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Waiting {
    launches: Vec<Launch>,
    wanted: Arc<AtomicBool>,
}

impl Preparing {
    /// What the launches of an agent need first: its images and the files of tasks.
    ///
    /// # Errors
    /// Which directory cannot be used.
    pub(crate) fn open(
        config: &Config,
        policy: &Policy,
        layout: &Layout,
        done: UnboundedSender<Prepared>,
    ) -> Result<Self, Error> {
        let preparing = Self::new(images(policy, layout)?, policy.image_cache_bytes, done);
        let opened = Fetching::open(config.fetch.clone(), Places::of(layout));
        let failed = |source| Error::WorkDir { dir: layout.root.clone(), source };
        opened.map(|fetching| preparing.fetching(fetching)).map_err(failed)
    }

    pub(crate) fn new(
        store: Option<Store>,
        cache_bytes: u64,
        done: UnboundedSender<Prepared>,
    ) -> Self {
        Self {
            store: store.map(Arc::new),
            cache_bytes,
            done,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            making_room: Arc::default(),
            fetching: None,
            fetches: BTreeMap::new(),
        }
    }

    /// The same, which also fetches files.
    pub(crate) fn fetching(self, fetching: Arc<Fetching>) -> Self {
        Self { fetching: Some(fetching), ..self }
    }

    /// Begins to fetch files for a container that is made up, and keeps it until they are there; the
    /// launch's end if they cannot be fetched.
    pub(crate) fn fetch(
        &mut self,
        launch: &Launch,
        made: containerizer::Launch,
        uris: &[FetchUri],
    ) -> Option<Input> {
        let id = &launch.container_id;
        let begun = match &self.fetching {
            Some(fetching) => fetching.begin(id, &made, uris, self.done.clone()),
            None => Err("this agent fetches no files".to_owned()),
        };
        let fetch = match begun {
            Ok(task) => Fetch::UnderWay { made: Box::new(made), _work: Work(task) },
            Err(problem) => return Some(unfetched(id, problem)),
        };
        self.fetches.insert(id.clone(), fetch);
        None
    }

    /// The container whose files are there now, or why there is none; nothing if nobody wants it
    /// any more.
    pub(crate) fn fetched(
        &mut self,
        fetched: Fetched,
    ) -> Option<Result<containerizer::Launch, Input>> {
        let Fetched { container_id, sandbox } = fetched;
        let wanted = match self.fetches.remove(&container_id) {
            Some(Fetch::UnderWay { made, .. }) => Some(*made),
            Some(Fetch::Whole(_)) | None => None,
        };
        match (wanted, sandbox) {
            (Some(made), Ok(sandbox)) => {
                let at = containerizer::SandboxChoice::At(sandbox.clone());
                self.fetches.insert(container_id, Fetch::Whole(sandbox));
                Some(Ok(containerizer::Launch { sandbox: at, ..made }))
            }
            (Some(_), Err(problem)) => Some(Err(unfetched(&container_id, problem))),
            (None, Ok(sandbox)) => {
                discard(sandbox);
                None
            }
            (None, Err(_)) => None,
        }
    }

    /// Takes a launch that asks for this image, or for none.
    pub(crate) fn begin(&mut self, launch: &Launch, image: Option<&Arc<str>>) -> Preparation {
        let Some(name) = image else { return Preparation::Ready(None) };
        let Some(store) = &self.store else {
            let message = "this agent has no images (--image-store)";
            return Preparation::Refused(failed(launch, message.to_owned(), false));
        };
        if let Some(waiting) = self.waiting.get_mut(name)
            && waiting.wanted.load(Ordering::Relaxed)
        {
            waiting.launches.push(launch.clone());
            return Preparation::Waiting;
        }
        match store.ready(name) {
            Err(error) => Preparation::Refused(refused(launch, &error)),
            Ok(Some(image)) => self.ready(launch, Arc::new(image)),
            Ok(None) => {
                tracing::info!(image = %name, "unpacking");
                let wanted = Arc::new(AtomicBool::new(true));
                let waiting =
                    Waiting { launches: vec![launch.clone()], wanted: Arc::clone(&wanted) };
                // One that was given up may still be ending; its answer is then for these.
                self.waiting.insert(Arc::clone(name), waiting);
                self.unpack(Arc::clone(name), wanted);
                Preparation::Waiting
            }
        }
    }

    fn unpack(&self, name: Arc<str>, wanted: Arc<AtomicBool>) {
        let (store, done) = (self.store.clone(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let Some(store) = store else { return };
            let image = store.provide(&name, &|| wanted.load(Ordering::Relaxed));
            // The agent may have ended; the next one unpacks it anew, or finds it.
            let _ = done.send(Prepared::Image(PreparedImage { name, image }));
        });
    }

    fn ready(&mut self, launch: &Launch, image: Arc<Image>) -> Preparation {
        self.held.insert(launch.container_id.clone(), Arc::clone(&image));
        fail::fail_point!("image-held");
        Preparation::Ready(Some(image))
    }

    /// Prepares something that reads the disk, beside everything else.
    pub(crate) fn aside(&self, work: impl FnOnce() -> Prepared + Send + 'static) {
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            // The agent may have ended; the next one looks anew.
            let _ = done.send(work());
        });
    }

    /// The launches that waited for this, each with what can be done now.
    pub(crate) fn finish(&mut self, prepared: PreparedImage) -> Vec<(Launch, Preparation)> {
        let PreparedImage { name, image } = prepared;
        let Some(waiting) = self.waiting.remove(&name) else { return Vec::new() };
        match image {
            Ok(image) => {
                let image = Arc::new(image);
                tracing::info!(image = %name, "unpacked");
                let mut ready = |launch: Launch| {
                    let preparation = self.ready(&launch, Arc::clone(&image));
                    (launch, preparation)
                };
                waiting.launches.into_iter().map(&mut ready).collect()
            }
            // It was for others, who were killed; these came in the meantime.
            Err(ImageError::GivenUp { .. }) if !waiting.launches.is_empty() => {
                let wanted = Arc::new(AtomicBool::new(true));
                let again = Waiting { wanted: Arc::clone(&wanted), ..waiting };
                self.waiting.insert(Arc::clone(&name), again);
                self.unpack(name, wanted);
                Vec::new()
            }
            Err(error) => {
                tracing::warn!(image = %name, %error, "no image");
                let refuse = |launch: Launch| {
                    let refusal = Preparation::Refused(refused(&launch, &error));
                    (launch, refusal)
                };
                waiting.launches.into_iter().map(refuse).collect()
            }
        }
    }

    /// A launch that waits is not wanted any more: its end, or none if it does not wait.
    pub(crate) fn cancel(&mut self, container_id: &ContainerId) -> Option<Input> {
        if let Some(Fetch::UnderWay { .. }) = self.fetches.get(container_id) {
            // What fetches for it ends with it.
            self.fetches.remove(container_id);
            self.held.remove(container_id);
            return Some(unfetched(container_id, "it was killed before".to_owned()));
        }
        for waiting in self.waiting.values_mut() {
            let at = waiting.launches.iter().position(|l| l.container_id == *container_id);
            let Some(at) = at else { continue };
            let launch = waiting.launches.remove(at);
            if waiting.launches.is_empty() {
                waiting.wanted.store(false, Ordering::Relaxed);
            }
            return Some(failed(&launch, "it was killed before".to_owned(), true));
        }
        None
    }

    /// The supervisor answered: it holds the image now and the sandbox is the task's, or nobody
    /// needs them.
    pub(crate) fn release(&mut self, container_id: &ContainerId, launched: bool) {
        self.held.remove(container_id);
        if let Some(Fetch::Whole(sandbox)) = self.fetches.remove(container_id)
            && !launched
        {
            discard(sandbox);
        }
    }

    /// All that waits, or was on its way, is lost, but for the containers that are known: they run,
    /// or did, and their sandboxes are theirs.
    pub(crate) fn clear(&mut self, known: &BTreeSet<ContainerId>) {
        self.held.clear();
        for (id, fetch) in std::mem::take(&mut self.fetches) {
            if let Fetch::Whole(sandbox) = fetch
                && !known.contains(&id)
            {
                discard(sandbox);
            }
        }
        for waiting in self.waiting.values_mut() {
            waiting.launches.clear();
            waiting.wanted.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn waits(&self, container_id: &ContainerId) -> bool {
        if let Some(Fetch::UnderWay { .. }) = self.fetches.get(container_id) {
            return true;
        }
        let mut all = self.waiting.values().flat_map(|waiting| &waiting.launches);
        all.any(|launch| launch.container_id == *container_id)
    }

    /// Removes images that nobody runs beyond the cache's size; and as long as the disk is short,
    /// what is kept of servers' files and all such images, the longest unused first. Says when that
    /// is done.
    pub(crate) fn make_room(&self, disk: Headroom, for_want: bool) {
        if self.making_room.swap(true, Ordering::AcqRel) {
            return;
        }
        let (busy, done) = (Arc::clone(&self.making_room), self.done.clone());
        let making = Making { busy, done, for_want };
        let (fetching, images) = (self.fetching.clone(), self.store.clone());
        let keep = self.cache_bytes;
        tokio::task::spawn_blocking(move || {
            let _making = making;
            if let Some(fetching) = fetching {
                fetching.make_room(|| disk.is_short());
            }
            match images.map(|images| images.collect_while(keep, || disk.is_short())) {
                None | Some(Ok(Collected { images: 0, .. })) => {}
                Some(Ok(Collected { images, bytes, kept })) => {
                    tracing::info!(images, bytes, kept, "unpacked images removed");
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "an unpacked image could not be removed");
                }
            }
        });
    }
}

/// That room is being made, until it is dropped.
struct Making {
    busy: Arc<AtomicBool>,
    done: UnboundedSender<Prepared>,
    for_want: bool,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Release);
        // The agent may have ended meanwhile.
        let _ = self.done.send(Prepared::Room { for_want: self.for_want });
    }
}

/// Where images come from, if the operator has any.
fn images(policy: &Policy, layout: &Layout) -> Result<Option<Store>, Error> {
    let Some(sources) = policy.image_store.clone() else { return Ok(None) };
    let limits = images::Limits { bytes: policy.image_cache_bytes, ..images::Limits::default() };
    let store = Store::open(sources, layout.images.clone(), limits);
    store.map(Some).map_err(|source| Error::WorkDir { dir: layout.images.clone(), source })
}

/// Nothing of it is the command's fault: as with Mesos, the container could not be launched.
fn unfetched(container_id: &ContainerId, problem: String) -> Input {
    let container_id = container_id.clone();
    Input::LaunchFailed { container_id, message: problem.into(), exit: None }
}

fn refused(launch: &Launch, error: &ImageError) -> Input {
    failed(launch, error.to_string(), error.is_passing())
}

/// Whose fault it was decides what a framework makes of it: what passes may work elsewhere.
fn failed(launch: &Launch, message: String, passing: bool) -> Input {
    Input::LaunchFailed {
        container_id: launch.container_id.clone(),
        message: message.into(),
        exit: (!passing).then_some(CANNOT_EXECUTE),
    }
}

#[cfg(test)]
mod tests;
