//! What an agent's operator lets containers have, and the walls that a task gets within that.
//!
//! What is not allowed is refused with a sentence that names the flag; nothing is left out in
//! silence. Paths of the host are compared component by component and handed on without links, so
//! that nobody can exchange what stands at the end of them.

#[cfg(test)]
mod tests;

use crate::containerizer::{Enclosure, Mount, MountSource, Root, SANDBOX};
use crate::containers::OfImage;
use crate::docker::DockerPolicy;
use crate::gpus::Gpu;
use images::Settings;
use proto::{ContainerInfo, ContainerVolume, VolumeSource};
use std::net::Ipv4Addr;
use std::path::{Component, Path, PathBuf};

/// What an enclosed task may have of processes and threads when nobody says otherwise.
pub(crate) const PIDS: u64 = 4096;
/// The size of `/dev/shm`, and of a temporary file system, when the task does not say.
const MEMORY_BYTES: u64 = 64 << 20;
/// Room for unpacked images when the operator does not say.
pub(crate) const IMAGE_CACHE_BYTES: u64 = 20 << 30;
/// Longest name of a host that Linux takes.
const HOSTNAME_BYTES: usize = 64;
/// Mounts that one task may ask for.
const MOUNTS: usize = 256;
/// What is made for each container and cannot be replaced.
const OWN: [&str; 3] = ["proc", "sys", "dev"];

/// What containers of an agent may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Walls around every task, also around those that do not ask for a container.
    pub enclose: bool,
    /// The directory in which images are found by name (see package `images`); nothing in it is
    /// ever changed.
    pub image_store: Option<PathBuf>,
    /// Bytes that unpacked images may take when nobody runs them; one image may take as many.
    pub image_cache_bytes: u64,
    /// What of the host may be mounted into containers.
    pub host_paths: Vec<HostPath>,
    /// Capabilities that tasks may ask for, by the kernel's numbers.
    pub capabilities: Vec<u8>,
    /// Whether tasks without walls may run as root of the host, containers where there are no user
    /// namespaces, and whether volumes are given to root.
    pub root: bool,
    /// The users as whom tasks without walls may run; absent means any that the agent can be.
    pub users: Option<Vec<String>>,
    /// What tasks may do with a Docker engine; absent means that there is none.
    pub docker: Option<DockerPolicy>,
    /// Where tasks have networks of their own; absent means that all are in the host's.
    pub network: Option<NetworkPolicy>,
    /// Whether a task is started only if nobody else has the ports that it holds.
    pub check_ports: bool,
    /// Whether a task is held to the `disk` that it asked for, and ends when its sandbox takes more.
    pub disk_limits: bool,
    /// The GPUs that tasks are given, as they were found on this machine.
    pub gpus: Vec<Gpu>,
    /// What of the host is never mounted, whatever is allowed: with what is above and below it. An
    /// agent adds its work directory and the engine's socket.
    pub closed: Vec<PathBuf>,
}

/// The network in which tasks of this agent have addresses of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// The name by which containers ask for it.
    pub name: String,
    /// The first address of the subnet; the second is the host's.
    pub subnet: Ipv4Addr,
    /// How many bits of its addresses are the same: 8 to 29.
    pub prefix: u8,
    /// Whether tasks reach what is beyond this host, under its address.
    pub masquerade: bool,
    /// Whether they reach link-local addresses, 169.254.0.0/16.
    pub link_local: bool,
    /// Whether they reach this agent and the masters.
    pub cluster: bool,
}

impl NetworkPolicy {
    /// The name of a network to which the operator gives none.
    pub const NAME: &str = "tepui";
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enclose: false,
            image_store: None,
            image_cache_bytes: IMAGE_CACHE_BYTES,
            host_paths: Vec::new(),
            capabilities: Vec::new(),
            root: false,
            users: None,
            docker: None,
            network: None,
            check_ports: false,
            disk_limits: true,
            gpus: Vec::new(),
            closed: Vec::new(),
        }
    }
}

/// A part of the host that containers may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPath {
    /// An absolute path; what is below it is meant, too.
    pub path: PathBuf,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// The walls around a task, with what its image says.
#[derive(Debug)]
pub(crate) struct Walls {
    pub(crate) enclosure: Enclosure,
    pub(crate) settings: Settings,
}

impl Policy {
    /// The same with the store's whole path, since the supervisor works in another directory, and
    /// with what is closed: who could write there would be as good as root.
    pub(crate) fn settled(mut self, work_dir: &Path) -> Self {
        let socket = self.docker.as_ref().map(|docker| docker.socket.clone());
        for own in [Some(work_dir.to_owned()), socket].into_iter().flatten() {
            // Of a socket that is not there yet its directory counts.
            let whole = own.canonicalize().or_else(|_| {
                let dir = own.parent().unwrap_or(Path::new("/")).canonicalize();
                dir.map(|dir| dir.join(own.file_name().unwrap_or_default()))
            });
            self.closed.push(whole.unwrap_or(own));
        }
        if let Some(store) = &mut self.image_store
            && let Ok(whole) = store.canonicalize()
        {
            *store = whole;
        }
        self
    }

    /// The walls that a task gets; none when it asks for none and need not have any. `image` is
    /// the one that it asked for.
    ///
    /// # Errors
    /// What is not allowed, or cannot be, as a clause.
    pub(crate) fn walls(
        &self,
        asked: Option<&ContainerInfo>,
        name: &str,
        image: Option<&OfImage>,
    ) -> Result<Option<Walls>, String> {
        let default = ContainerInfo::default();
        let asked = match asked {
            Some(asked) => asked,
            None if self.enclose => &default,
            None => return Ok(None),
        };
        let (root, settings) = match image {
            None => (Root::Host, Settings::default()),
            Some(image) => (Root::Image(image.root.clone()), image.settings.clone()),
        };
        if asked.volumes.len() > MOUNTS {
            return Err(format!("a container has at most {MOUNTS} volumes"));
        }
        let directory = settings.directory.clone().unwrap_or_else(|| SANDBOX.into());
        let enclosure = Enclosure {
            root,
            read_only: asked.read_only_root,
            hostname: hostname(asked.hostname.as_deref().unwrap_or(name))?,
            directory,
            mounts: asked.volumes.iter().map(|v| self.mount(v)).collect::<Result<_, _>>()?,
            capabilities: self.capabilities(&asked.capabilities)?,
            shm_bytes: asked.shm_bytes.unwrap_or(MEMORY_BYTES),
            root_allowed: self.root,
            pod: None,
            devices: Vec::new(),
        };
        Ok(Some(Walls { enclosure, settings }))
    }

    /// Whether a task without walls may run as this user.
    ///
    /// # Errors
    /// That it may not.
    pub(crate) fn user(&self, user: Option<&str>) -> Result<(), String> {
        let Some(allowed) = &self.users else { return Ok(()) };
        match user {
            Some(user) if allowed.iter().any(|name| name == user) => Ok(()),
            Some(user) => {
                Err(format!("tasks may not run as {user:?} on this agent (--task-users)"))
            }
            None => Err("a task must name its user on this agent (--task-users)".to_owned()),
        }
    }

    /// Whether a task without walls may be root of the host: the operator said so, of all or of
    /// that user by name.
    pub(crate) fn plain_root(&self) -> bool {
        let listed = |name: &String| name == "root" || name == "0";
        self.root || self.users.as_ref().is_some_and(|users| users.iter().any(listed))
    }

    fn capabilities(&self, asked: &[u8]) -> Result<u64, String> {
        let refused: Vec<String> = asked
            .iter()
            .filter(|number| !self.capabilities.contains(number))
            .map(u8::to_string)
            .collect();
        if refused.is_empty() {
            return Ok(asked.iter().filter(|n| **n < 64).fold(0, |bits, n| bits | 1 << n));
        }
        let refused = refused.join(", ");
        Err(format!("capabilities {refused} are not allowed on this agent (--allow-capability)"))
    }

    fn mount(&self, volume: &ContainerVolume) -> Result<Mount, String> {
        let target = place(&volume.container_path)?;
        let source = match &volume.source {
            VolumeSource::Tmpfs(bytes) => MountSource::Tmpfs(bytes.unwrap_or(MEMORY_BYTES)),
            VolumeSource::SandboxPath(path) => {
                let plain = Path::new(&**path).components().all(is_name);
                if !plain || path.is_empty() {
                    return Err(format!("{path:?} is no path in the sandbox"));
                }
                MountSource::Sandbox(PathBuf::from(&**path))
            }
            VolumeSource::HostPath(path) => {
                MountSource::Host(self.host_path(path, volume.read_only)?)
            }
        };
        Ok(Mount { target, read_only: volume.read_only, source })
    }

    /// A path of the host without links, if it is allowed.
    fn host_path(&self, path: &str, read_only: bool) -> Result<PathBuf, String> {
        let real = Path::new(path)
            .canonicalize()
            .map_err(|error| format!("the host's {path} cannot be had: {error}"))?;
        if let Some(own) = self.closed.iter().find(|o| o.starts_with(&real) || real.starts_with(o))
        {
            return Err(format!(
                "the host's {path} is never mounted: it holds, or is in, {} of this agent",
                own.display()
            ));
        }
        let covers = |allowed: &&HostPath| {
            // Without links as well, so that an allowed link allows what it stands for.
            allowed.path.canonicalize().is_ok_and(|allowed| real.starts_with(allowed))
        };
        let found: Vec<&HostPath> = self.host_paths.iter().filter(covers).collect();
        if found.is_empty() {
            return Err(format!(
                "the host's {path} is not allowed on this agent (--allow-host-path)"
            ));
        }
        if !read_only && found.iter().all(|allowed| allowed.read_only) {
            return Err(format!("the host's {path} can only be mounted read-only on this agent"));
        }
        Ok(real)
    }
}

fn is_name(component: Component<'_>) -> bool {
    matches!(component, Component::Normal(_))
}

/// Where a volume is mounted: a relative path is one in the sandbox.
fn place(path: &str) -> Result<PathBuf, String> {
    let whole = Path::new(SANDBOX).join(path);
    let mut names = whole.components().skip(1);
    let plain = names.clone().all(is_name) && !path.is_empty() && !path.contains('\0');
    let first = names.next().and_then(|first| first.as_os_str().to_str());
    let own = first.is_none_or(|first| OWN.contains(&first));
    if !plain || own || whole == Path::new(SANDBOX) {
        return Err(format!("{path:?} is no place in a container to mount anything at"));
    }
    Ok(whole)
}

fn hostname(name: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let mut name = name.to_owned();
    if name.len() > HOSTNAME_BYTES || name.is_empty() || !name.bytes().all(fine) {
        return Err(format!("{name:?} is no name of a host"));
    }
    name.make_ascii_lowercase();
    Ok(name)
}
