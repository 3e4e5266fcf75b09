//! Containers of tasks: what is asked for, as far as an agent can make it.
//!
//! What no agent can make (Docker's volumes, images of other kinds) is refused by name when the
//! task's payload is opened, never left out.

use super::{At, link, list_with, present, text, w};
use crate::{
    ContainerInfo, ContainerNetwork, ContainerVolume, DecodeError, DockerInfo, DockerNetwork,
    PortMapping, VolumeSource,
};
use link::container::{
    self as wire, Capabilities, Docker, HostPath, Image, Linux, Mesos, SandboxPath, Source, Tmpfs,
    Volume,
};
use std::sync::Arc;

/// `Image.Type.DOCKER`: by name; what the file is in which it lies is the agent's business.
const DOCKER_IMAGE: i32 = 2;
/// `ContainerInfo.Type.DOCKER`.
const DOCKER_CONTAINER: i32 = 1;
/// `DockerInfo.Network`; a task that does not say gets the first.
const HOST_NETWORK: i32 = 1;
const BRIDGE_NETWORK: i32 = 2;
const NO_NETWORK: i32 = 3;
const USER_NETWORK: i32 = 4;
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
    if let Some(docker) = &container.docker {
        if let DockerNetwork::User(name) = &docker.network {
            let name = Some(name.to_string());
            wire.network_infos = vec![wire::Network { name, ..wire::Network::default() }];
        }
        wire.docker = Some(write_docker(docker));
    } else if let Some(network) = &container.network {
        wire.network_infos = vec![wire::Network {
            name: Some(network.name.to_string()),
            port_mappings: network.port_mappings.iter().map(write_mapping).collect(),
        }];
    }
}

fn write_mapping(mapping: &PortMapping) -> wire::PortMapping {
    wire::PortMapping {
        host_port: Some(mapping.host_port.into()),
        container_port: Some(mapping.container_port.into()),
        protocol: Some(if mapping.udp { "udp" } else { "tcp" }.to_owned()),
    }
}

fn write_docker(docker: &DockerInfo) -> wire::DockerInfo {
    let parameter = |(key, value): &(Arc<str>, Arc<str>)| w::Parameter {
        key: Some(key.to_string()),
        value: Some(value.to_string()),
    };
    wire::DockerInfo {
        image: Some(docker.image.to_string()),
        network: Some(match docker.network {
            DockerNetwork::Host => HOST_NETWORK,
            DockerNetwork::Bridge => BRIDGE_NETWORK,
            DockerNetwork::None => NO_NETWORK,
            DockerNetwork::User(_) => USER_NETWORK,
        }),
        port_mappings: docker.port_mappings.iter().map(write_mapping).collect(),
        privileged: Some(docker.privileged),
        parameters: docker.parameters.iter().map(parameter).collect(),
        force_pull_image: docker.force_pull.then_some(true),
    }
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
    let (docker, network) = match (wire.docker, wire.r#type == Some(DOCKER_CONTAINER)) {
        (Some(docker), true) => {
            (Some(Box::new(read_docker(docker, wire.network_infos).at("docker")?)), None)
        }
        (None, true) => return Err(DecodeError::new("docker", "must be given with type DOCKER")),
        (_, false) => (None, read_network(wire.network_infos)?),
    };
    if docker.is_some() && wire.mesos.is_some() {
        return Err(DecodeError::new("mesos", "goes without type DOCKER"));
    }
    let container = ContainerInfo {
        image: wire.mesos.and_then(|mesos| mesos.image).map(image).transpose().at("mesos.image")?,
        volumes: list_with(wire.volumes, "volumes", read_volume)?,
        hostname: wire.hostname.map(Into::into),
        capabilities: capabilities(asked.unwrap_or_default())
            .at("linux_info.effective_capabilities")?,
        shm_bytes: linux.shm_size.map(|megabytes| u64::from(megabytes) << 20),
        read_only_root: wire.read_only_root.unwrap_or(false),
        docker,
        network,
    };
    Ok((container != ContainerInfo::default()).then_some(container))
}

fn image(wire: Image) -> Result<Arc<str>, DecodeError> {
    if wire.r#type != Some(DOCKER_IMAGE) {
        return Err(DecodeError::new("type", "only images of type DOCKER can be had"));
    }
    text(wire.docker.unwrap_or_default().name, "docker.name")
}

/// As with Mesos, a network without a name is the host's.
fn read_network(
    networks: Vec<wire::Network>,
) -> Result<Option<Box<ContainerNetwork>>, DecodeError> {
    let mut networks = networks.into_iter();
    let Some(wire) = networks.next() else { return Ok(None) };
    if networks.next().is_some() {
        return Err(DecodeError::new("network_infos", "a container has one network at the most"));
    }
    let field = "network_infos[0].port_mappings";
    let port_mappings = list_with(wire.port_mappings, field, read_mapping)?;
    match wire.name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Some(Box::new(ContainerNetwork { name: name.into(), port_mappings }))),
        None if port_mappings.is_empty() => Ok(None),
        None => Err(DecodeError::new(field, "need the name of a network; the host's has none")),
    }
}

fn read_docker(
    wire: wire::DockerInfo,
    networks: Vec<wire::Network>,
) -> Result<DockerInfo, DecodeError> {
    let network = match wire.network.unwrap_or(HOST_NETWORK) {
        HOST_NETWORK => DockerNetwork::Host,
        BRIDGE_NETWORK => DockerNetwork::Bridge,
        NO_NETWORK => DockerNetwork::None,
        USER_NETWORK => {
            let name = networks.into_iter().next().unwrap_or_default().name;
            let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
                DecodeError::new("network", "USER needs the name of a network in network_infos")
            })?;
            DockerNetwork::User(name.into())
        }
        _ => return Err(DecodeError::new("network", "is none of HOST, BRIDGE, NONE and USER")),
    };
    let parameter =
        |wire: w::Parameter| Ok((text(wire.key, "key")?, wire.value.unwrap_or_default().into()));
    Ok(DockerInfo {
        image: text(wire.image.filter(|image| !image.is_empty()), "image")?,
        network,
        port_mappings: list_with(wire.port_mappings, "port_mappings", read_mapping)?,
        privileged: wire.privileged.unwrap_or(false),
        parameters: list_with(wire.parameters, "parameters", parameter)?,
        force_pull: wire.force_pull_image.unwrap_or(false),
    })
}

fn read_mapping(wire: wire::PortMapping) -> Result<PortMapping, DecodeError> {
    let port = |port: Option<u32>, field| {
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        port.ok_or_else(|| DecodeError::new(field, "must be a port, from 1 to 65535"))
    };
    let udp = match wire.protocol.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "tcp") => false,
        Some("udp") => true,
        Some(_) => return Err(DecodeError::new("protocol", "must be tcp or udp")),
    };
    Ok(PortMapping {
        host_port: port(wire.host_port, "host_port")?,
        container_port: port(wire.container_port, "container_port")?,
        udp,
    })
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
