//! Launches that need something first: an image that is not unpacked yet.
//!
//! Unpacking takes as long as it takes, on a thread of its own, and everything else goes on. All
//! launches of one image wait for the same work; when none of them is left, it is given up.

use crate::containers::CANNOT_EXECUTE;
use agent_core::{Input, Launch};
use images::{Image, ImageError, Store};
use proto::ContainerId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedSender;

/// What came of preparing an image.
pub(crate) struct Prepared {
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
    /// Held while images are being removed.
    collecting: Arc<Mutex<()>>,
}

struct Waiting {
    launches: Vec<Launch>,
    wanted: Arc<AtomicBool>,
}

impl Preparing {
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
            collecting: Arc::default(),
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
            let _ = done.send(Prepared { name, image });
        });
    }

    fn ready(&mut self, launch: &Launch, image: Arc<Image>) -> Preparation {
        self.held.insert(launch.container_id.clone(), Arc::clone(&image));
        Preparation::Ready(Some(image))
    }

    /// An image that is unpacked: of a task that runs, it is.
    pub(crate) fn at_hand(&self, name: &str) -> Option<Image> {
        self.store.as_ref()?.ready(name).ok().flatten()
    }

    /// The launches that waited for this, each with what can be done now.
    pub(crate) fn finish(&mut self, prepared: Prepared) -> Vec<(Launch, Preparation)> {
        let Prepared { name, image } = prepared;
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

    /// The supervisor answered: it holds the image now, or nobody needs it.
    pub(crate) fn release(&mut self, container_id: &ContainerId) {
        self.held.remove(container_id);
    }

    /// All that waits, or was on its way, is lost.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        for waiting in self.waiting.values_mut() {
            waiting.launches.clear();
            waiting.wanted.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn waits(&self, container_id: &ContainerId) -> bool {
        let mut all = self.waiting.values().flat_map(|waiting| &waiting.launches);
        all.any(|launch| launch.container_id == *container_id)
    }

    /// Removes images that nobody runs: beyond the cache's size, or all when the disk is short.
    pub(crate) fn collect(&self, disk_is_short: bool) {
        let Some(store) = self.store.clone() else { return };
        let keep = if disk_is_short { 0 } else { self.cache_bytes };
        let collecting = Arc::clone(&self.collecting);
        tokio::task::spawn_blocking(move || {
            let Ok(_alone) = collecting.try_lock() else { return };
            match store.collect(keep) {
                Ok(collected) if collected.images == 0 => {}
                Ok(collected) => tracing::info!(
                    images = collected.images,
                    bytes = collected.bytes,
                    kept = collected.kept,
                    "unpacked images removed"
                ),
                Err(error) => tracing::warn!(%error, "an unpacked image could not be removed"),
            }
        });
    }
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
