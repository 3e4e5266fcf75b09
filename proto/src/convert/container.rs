//! Containers of tasks: what is asked for, as far as an agent can make it.
//!
//! What no agent can make (Docker's volumes, images of other kinds) is refused by name when the
//! task's payload is opened, never left out.

use super::{At, link, list_with, present, text};
use crate::{ContainerInfo, ContainerVolume, DecodeError, VolumeSource};
use link::container::{
    Capabilities, Docker, HostPath, Image, Linux, Mesos, SandboxPath, Source, Tmpfs, Volume,
};
use std::sync::Arc;

/// `Image.Type.DOCKER`: by name; what the file is in which it lies is the agent's business.
const DOCKER_IMAGE: i32 = 2;
/// `Volume.Mode`.
const READ_WRITE: i32 = 1;
const READ_ONLY: i32 = 2;
/// `Volume.Source.Type`.
const SANDBOX_PATH: i32 = 2;
const HOST_PATH: i32 = 4;
const TMPFS: i32 = 1000;
/// `SandboxPath.Type.SELF`.
const OWN_SANDBOX: i32 = 1;
/// Mesos' numbers of capabilities are the kernel's and this.
const CAPABILITIES: i32 = 1000;
/// `CAP_CHECKPOINT_RESTORE`, the last that the kernel has.
const LAST_CAPABILITY: u8 = 40;

/// Writes what a container asks for into its wire form.
pub(super) fn write(container: &ContainerInfo, wire: &mut link::Container) {
    let image = container.image.as_deref().map(|name| Image {
        r#type: Some(DOCKER_IMAGE),
        docker: Some(Docker { name: Some(name.to_owned()) }),
        // Mesos' defaults are written out, as they are by who says nothing.
        cached: Some(true),
    });
    let numbers = container.capabilities.iter();
    let capabilities = (!container.capabilities.is_empty()).then(|| Capabilities {
        capabilities: numbers.map(|number| CAPABILITIES + i32::from(*number)).collect(),
    });
    let megabytes = container.shm_bytes.map(|bytes| u32::try_from(bytes >> 20).unwrap_or(u32::MAX));
    let linux = (capabilities.is_some() || megabytes.is_some()).then_some(Linux {
        effective_capabilities: capabilities,
        shm_size: megabytes,
        share_cgroups: Some(true),
        ..Linux::default()
    });
    wire.volumes = container.volumes.iter().map(write_volume).collect();
    wire.hostname = container.hostname.as_deref().map(str::to_owned);
    wire.mesos = image.map(|image| Mesos { image: Some(image) });
    wire.linux_info = linux;
    wire.read_only_root = container.read_only_root.then_some(true);
}

fn write_volume(volume: &ContainerVolume) -> Volume {
    let mut source = Source::default();
    match &volume.source {
        VolumeSource::HostPath(path) => {
            source.r#type = Some(HOST_PATH);
            source.host_path = Some(HostPath { path: Some(path.to_string()) });
        }
        VolumeSource::SandboxPath(path) => {
            source.r#type = Some(SANDBOX_PATH);
            source.sandbox_path =
                Some(SandboxPath { r#type: Some(OWN_SANDBOX), path: Some(path.to_string()) });
        }
        VolumeSource::Tmpfs(size) => {
            source.r#type = Some(TMPFS);
            source.tmpfs = Some(Tmpfs { size: *size });
        }
    }
    Volume {
        container_path: Some(volume.container_path.to_string()),
        host_path: None,
        mode: Some(if volume.read_only { READ_ONLY } else { READ_WRITE }),
        image: None,
        source: Some(source),
    }
}

/// What a container asks for besides resource limits; nothing when that is all.
pub(super) fn read(wire: link::Container) -> Result<Option<ContainerInfo>, DecodeError> {
    let linux = wire.linux_info.unwrap_or_default();
    if linux.share_pid_namespace == Some(true) {
        return Err(DecodeError::new(
            "linux_info.share_pid_namespace",
            "the host's processes are shown to no container",
        ));
    }
    let asked = linux.effective_capabilities.or(linux.capability_info);
    let container = ContainerInfo {
        image: wire.mesos.and_then(|mesos| mesos.image).map(image).transpose().at("mesos.image")?,
        volumes: list_with(wire.volumes, "volumes", read_volume)?,
        hostname: wire.hostname.map(Into::into),
        capabilities: capabilities(asked.unwrap_or_default())
            .at("linux_info.effective_capabilities")?,
        shm_bytes: linux.shm_size.map(|megabytes| u64::from(megabytes) << 20),
        read_only_root: wire.read_only_root.unwrap_or(false),
    };
    Ok((container != ContainerInfo::default()).then_some(container))
}

fn image(wire: Image) -> Result<Arc<str>, DecodeError> {
    if wire.r#type != Some(DOCKER_IMAGE) {
        return Err(DecodeError::new("type", "only images of type DOCKER can be had"));
    }
    text(wire.docker.unwrap_or_default().name, "docker.name")
}

fn capabilities(wire: Capabilities) -> Result<Vec<u8>, DecodeError> {
    let number = |wire: i32| {
        let number = u8::try_from(wire.checked_sub(CAPABILITIES)?).ok()?;
        (number <= LAST_CAPABILITY).then_some(number)
    };
    let numbers: Option<Vec<u8>> = wire.capabilities.into_iter().map(number).collect();
    let mut numbers = numbers
        .ok_or_else(|| DecodeError::new("capabilities", "one of them is not known to Linux"))?;
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn read_volume(wire: Volume) -> Result<ContainerVolume, DecodeError> {
    let container_path = text(wire.container_path, "container_path")?;
    if wire.image.is_some() {
        return Err(DecodeError::new("image", "images cannot be had as volumes"));
    }
    let source = match (wire.host_path, wire.source) {
        // Mesos' old way: an absolute path is the host's, another one the sandbox'.
        (Some(path), None) if path.starts_with('/') => VolumeSource::HostPath(path.into()),
        (Some(path), None) => VolumeSource::SandboxPath(path.into()),
        (None, Some(source)) => read_source(source).at("source")?,
        (Some(_), Some(_)) => {
            return Err(DecodeError::new("host_path", "goes without 'source'"));
        }
        (None, None) => return Err(DecodeError::new("source", "must be given")),
    };
    Ok(ContainerVolume { container_path, read_only: wire.mode == Some(READ_ONLY), source })
}

fn read_source(wire: Source) -> Result<VolumeSource, DecodeError> {
    match present(wire.r#type, "type")? {
        HOST_PATH => {
            let path = wire.host_path.unwrap_or_default().path;
            Ok(VolumeSource::HostPath(text(path, "host_path.path")?))
        }
        SANDBOX_PATH => {
            let sandbox = wire.sandbox_path.unwrap_or_default();
            if sandbox.r#type.is_some_and(|kind| kind != OWN_SANDBOX) {
                return Err(DecodeError::new("sandbox_path.type", "only SELF can be had"));
            }
            Ok(VolumeSource::SandboxPath(text(sandbox.path, "sandbox_path.path")?))
        }
        TMPFS => Ok(VolumeSource::Tmpfs(wire.tmpfs.and_then(|tmpfs| tmpfs.size))),
        _ => Err(DecodeError::new("type", "only HOST_PATH, SANDBOX_PATH and TMPFS can be had")),
    }
}
