//! The GPUs of this machine, as NVIDIA's library (NVML) tells of them, and what a task that is given
//! some of them finds.
//!
//! The library is loaded when the agent starts, and let go at once: it comes with the driver, and
//! where there is none there are no GPUs.

use crate::Error;
use crate::supervisor::task::Device;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is asked when no other library is named.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// The operator's name for it.
const SETTING: &str = "--nvml-library";
/// How long the driver may take to answer. One that loads takes seconds, one that hangs never does.
const PATIENCE: Duration = Duration::from_secs(60);
/// What each GPU needs besides its own device, as far as the driver has made it.
const SHARED: [&str; 3] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"];
/// Tells NVIDIA's container tools which GPUs a container gets. `void` is none.
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";
/// Tells CUDA which GPUs a program sees.
const CUDA: &str = "CUDA_VISIBLE_DEVICES";

/// One GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its name for the driver, the same after each start of the host.
    pub uuid: Arc<str>,
    /// The number of its device, as in `/dev/nvidia0`.
    pub minor: u32,
    /// What it is, for people.
    pub model: String,
}

/// All GPUs, in the order of the driver. None where there is no library, unless one was named.
///
/// # Errors
/// What the library said, or that it said nothing for a minute.
pub(crate) async fn find(library: Option<PathBuf>) -> Result<Vec<Gpu>, Error> {
    let given = library.clone().unwrap_or_else(|| LIBRARY.into());
    let wrong = |problem: String| Error::Setting {
        setting: SETTING,
        given: given.display().to_string(),
        problem: format!("{problem}; --no-gpus does without"),
    };
    // A thread of its own: a driver that hangs must not keep the agent from saying so.
    let (answer, answered) = tokio::sync::oneshot::channel();
    let asked = std::thread::Builder::new().name("nvml".to_owned()).spawn({
        let path = given.clone();
        // Nobody hears it when that took too long.
        move || drop(answer.send(ask(path.as_os_str())))
    });
    asked.map_err(Error::Thread)?;
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(NvmlError::LibloadingError(error)))) if library.is_none() => {
            tracing::debug!(%error, "no GPUs: there is no driver of NVIDIA");
            Ok(Vec::new())
        }
        // The library is there, as in images made for GPUs, and no driver.
        Ok(Ok(Err(error @ (NvmlError::DriverNotLoaded | NvmlError::LibraryNotFound))))
            if library.is_none() =>
        {
            tracing::warn!(%error, "no GPUs are offered");
            Ok(Vec::new())
        }
        Ok(Ok(Err(error))) => Err(wrong(format!("the GPUs cannot be listed: {error}"))),
        Ok(Err(_)) => Err(wrong("the library ended the thread that asked it".to_owned())),
        Err(_) => Err(wrong(format!("no answer in {} s", PATIENCE.as_secs()))),
    }
}

fn ask(library: &OsStr) -> Result<Vec<Gpu>, NvmlError> {
    let nvml = Nvml::builder().lib_path(library).init()?;
    let one = |index| {
        let device = nvml.device_by_index(index)?;
        let (uuid, minor) = (device.uuid()?.into(), device.minor_number()?);
        // It is for people alone.
        Ok(Gpu { uuid, minor, model: device.name().unwrap_or_default() })
    };
    let whole = |index| {
        let found: Result<Gpu, NvmlError> = one(index);
        // One that is broken takes none of the others along.
        found.inspect_err(|error| tracing::warn!(index, %error, "a GPU is not offered")).ok()
    };
    Ok((0..nvml.device_count()?).filter_map(whole).collect())
}

/// Says in a task's variables which of the agent's GPUs are its own, whatever it or its image says.
/// Where the agent knows none, nothing is said.
pub(crate) fn tell(known: &[Gpu], own: &[Arc<str>], variables: &mut Vec<(String, String)>) {
    if known.is_empty() {
        return;
    }
    variables.retain(|(name, _)| name != VISIBLE && name != CUDA);
    let list = own.join(",");
    let visible = if own.is_empty() { "void".to_owned() } else { list.clone() };
    variables.push((VISIBLE.to_owned(), visible));
    variables.push((CUDA.to_owned(), list));
}

/// The devices by which a task in a container uses its GPUs.
pub(crate) fn devices(known: &[Gpu], own: &[Arc<str>]) -> Vec<Device> {
    devices_in(Path::new("/dev"), known, own)
}

fn devices_in(dir: &Path, known: &[Gpu], own: &[Arc<str>]) -> Vec<Device> {
    if own.is_empty() {
        return Vec::new();
    }
    let mine = known.iter().filter(|gpu| own.contains(&gpu.uuid));
    let names = mine.map(|gpu| format!("nvidia{}", gpu.minor));
    let found = names.chain(SHARED.map(str::to_owned)).filter_map(|name| {
        let found = std::fs::symlink_metadata(dir.join(&name)).ok()?;
        let is_device = found.file_type().is_char_device();
        let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        is_device.then_some(Device { name, major, minor })
    });
    found.collect()
}

#[cfg(test)]
mod tests;
