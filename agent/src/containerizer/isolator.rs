//! Isolators: parts that each turn one aspect of a launch into what the supervisor enforces.
//!
//! An isolator reads the [`Launch`] and writes its own part of the [`TaskSpec`]; none depends on
//! what another has written. New ones (namespaces, file systems, networks) are added to
//! [`standard`]. They perform no I/O apart from reading the user database.

use super::user::{self, UserError, Users};
use super::{Allocation, Launch};
use crate::supervisor::task::{Credentials, LaunchError, Limits, TaskSpec};

/// Where commands are looked for when a task has no PATH of its own.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables by which common runtimes choose how many threads to start. Without them a task with
/// one cpu on a machine of 64 starts 64 threads.
const THREAD_VARIABLES: [&str; 6] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "GOMAXPROCS",
    "NUMEXPR_MAX_THREADS",
];

/// The period over which cpu quotas count, in microseconds.
pub(crate) const QUOTA_PERIOD_US: u64 = 100_000;

/// What an agent's operator chose for all containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Defaults {
    /// Enforce every cpu allocation as a ceiling, not only as a share.
    pub cpu_ceiling: bool,
    /// Processes and threads a container may have when it states no figure.
    pub pids: Option<u64>,
    /// Whether what has no walls around it may run as root of this host.
    pub root: bool,
}

/// One aspect of isolation.
pub(super) trait Isolator: Send {
    /// Writes this aspect into the specification, or says why the launch is impossible.
    fn prepare(&self, launch: &Launch, spec: &mut TaskSpec) -> Result<(), LaunchError>;
}

/// The isolators of the native containerizer, in order of application.
pub(super) fn standard(defaults: Defaults) -> Vec<Box<dyn Isolator>> {
    vec![
        Box::new(Resources(defaults)),
        Box::new(Variables),
        Box::new(Threads),
        Box::new(Identity { users: Users::default(), root: defaults.root }),
        Box::new(ProcessLimits),
    ]
}

/// The limits that put an allocation in force.
pub(crate) fn limits_of(allocation: &Allocation, defaults: Defaults) -> Limits {
    let ceiling = allocation.cpu_limit_milli.or(if defaults.cpu_ceiling {
        Some(allocation.cpus_milli)
    } else {
        None
    });
    Limits {
        cpu_shares: (allocation.cpus_milli.saturating_mul(1024) / 1000).clamp(2, 262_144),
        // The kernel refuses quotas under 1 ms.
        cpu_quota_us: ceiling.map(|milli| (milli.saturating_mul(QUOTA_PERIOD_US) / 1000).max(1000)),
        memory_bytes: allocation.memory_bytes,
        pids: allocation.pids.or(defaults.pids),
        memory_soft_bytes: allocation.memory_soft_bytes,
        disk_bytes: allocation.disk_bytes,
    }
}

struct Resources(Defaults);

impl Isolator for Resources {
    fn prepare(&self, launch: &Launch, spec: &mut TaskSpec) -> Result<(), LaunchError> {
        spec.limits = limits_of(&launch.allocation, self.0);
        if spec.limits.pids == Some(0) {
            return Err(LaunchError::Impossible("a pids limit of 0 lets no process run".into()));
        }
        Ok(())
    }
}

struct Variables;

impl Isolator for Variables {
    fn prepare(&self, launch: &Launch, spec: &mut TaskSpec) -> Result<(), LaunchError> {
        for (name, value) in &launch.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(LaunchError::Impossible(format!(
                    "environment variable {name:?} has a name or value that cannot be passed on"
                )));
            }
            spec.environment.push(format!("{name}={value}"));
        }
        if !named(launch, "PATH") {
            spec.environment.push(format!("PATH={DEFAULT_PATH}"));
        }
        Ok(())
    }
}

struct Threads;

impl Isolator for Threads {
    fn prepare(&self, launch: &Launch, spec: &mut TaskSpec) -> Result<(), LaunchError> {
        let threads = (launch.allocation.cpus_milli / 1000).max(1);
        for name in THREAD_VARIABLES {
            if !named(launch, name) {
                spec.environment.push(format!("{name}={threads}"));
            }
        }
        Ok(())
    }
}

fn named(launch: &Launch, name: &str) -> bool {
    launch.environment.iter().any(|(n, _)| n == name)
}

struct Identity {
    users: Users,
    /// Whether plain processes may be root.
    root: bool,
}

/// What a task is told that would be root of the host.
const NOT_ROOT: &str = "it would run as root of this host, which this agent does not allow: name \
                        another user (command.user, or the framework's user), ask for a container, \
                        or start the agent with --allow-root";

/// What a task is told whose user is in the group of root, which much of a host can be changed by.
const NOT_OF_ROOT: &str = "its user is in the group of root of this host (0), which this agent does \
                           not allow: name a user who is not (command.user, or the framework's \
                           user), ask for a container, or start the agent with --allow-root";

/// What makes a task root of its host, or nearly.
fn of_root(who: Option<&Credentials>) -> Option<&'static str> {
    match who {
        Some(other) if other.uid == 0 => Some(NOT_ROOT),
        Some(other) if other.gid == 0 || other.groups.contains(&0) => Some(NOT_OF_ROOT),
        Some(_) => None,
        // Whoever is nobody else is who the agent is.
        None => rustix::process::geteuid().is_root().then_some(NOT_ROOT),
    }
}

impl Isolator for Identity {
    fn prepare(&self, launch: &Launch, spec: &mut TaskSpec) -> Result<(), LaunchError> {
        if let Some(walls) = &launch.enclosure {
            let found = match &launch.identity {
                Some(known) => Ok(known.clone()),
                None => user::within(launch.user.as_deref(), &walls.root),
            };
            spec.credentials =
                Some(found.map_err(|error| LaunchError::Impossible(error.to_string()))?);
            return Ok(());
        }
        if let Some(user) = &launch.user {
            spec.credentials = self.users.resolve(user).map_err(|error| match error {
                UserError::Unknown(_)
                | UserError::UnknownWithin(_)
                | UserError::NotPermitted { .. } => LaunchError::Impossible(error.to_string()),
                UserError::Unreadable(_) => LaunchError::Refused(error.to_string()),
            })?;
        }
        match of_root(spec.credentials.as_ref()) {
            Some(problem) if !self.root => Err(LaunchError::Impossible(problem.into())),
            _ => Ok(()),
        }
    }
}

struct ProcessLimits;

impl Isolator for ProcessLimits {
    fn prepare(&self, launch: &Launch, spec: &mut TaskSpec) -> Result<(), LaunchError> {
        for limit in &launch.rlimits {
            if limit.soft > limit.hard {
                return Err(LaunchError::Impossible(format!(
                    "rlimit {}: soft limit {} is above the hard limit {}",
                    limit.resource, limit.soft, limit.hard
                )));
            }
        }
        spec.rlimits = launch.rlimits.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerizer::{ContainerId, Program, SandboxChoice};

    fn launch(cpus_milli: u64) -> Launch {
        Launch {
            id: ContainerId::new("c").unwrap(),
            program: Program::Shell("true".into()),
            environment: vec![("GOMAXPROCS".into(), "7".into())],
            user: None,
            rlimits: Vec::new(),
            sandbox: SandboxChoice::Pooled,
            allocation: Allocation {
                cpus_milli,
                memory_bytes: None,
                cpu_limit_milli: None,
                memory_soft_bytes: None,
                pids: None,
                disk_bytes: None,
            },
            volumes: Vec::new(),
            enclosure: None,
            network: None,
            docker: None,
            identity: None,
            record: Vec::new(),
            shared: None,
        }
    }

    fn prepared(launch: &Launch) -> Result<TaskSpec, LaunchError> {
        prepared_by(launch, Defaults { root: true, ..Defaults::default() })
    }

    fn prepared_by(launch: &Launch, defaults: Defaults) -> Result<TaskSpec, LaunchError> {
        let mut spec = super::super::native::bare_spec(launch);
        for isolator in standard(defaults) {
            isolator.prepare(launch, &mut spec)?;
        }
        Ok(spec)
    }

    #[test]
    fn threads_follow_the_cpus_unless_the_task_says_otherwise() {
        let spec = prepared(&launch(2_900)).unwrap();
        assert!(spec.environment.contains(&"OMP_NUM_THREADS=2".to_owned()));
        assert!(spec.environment.contains(&"GOMAXPROCS=7".to_owned()));
        assert!(!spec.environment.contains(&"GOMAXPROCS=2".to_owned()));
        let spec = prepared(&launch(100)).unwrap();
        assert!(spec.environment.contains(&"RAYON_NUM_THREADS=1".to_owned()));
    }

    #[test]
    fn shares_and_quota_follow_the_allocation() {
        let mut allocation = launch(1_500).allocation;
        let limits = limits_of(&allocation, Defaults::default());
        assert_eq!((limits.cpu_shares, limits.cpu_quota_us), (1536, None));
        let ceiling = Defaults { cpu_ceiling: true, pids: Some(64), root: false };
        let limits = limits_of(&allocation, ceiling);
        assert_eq!((limits.cpu_quota_us, limits.pids), (Some(150_000), Some(64)));
        allocation.cpus_milli = 1;
        allocation.cpu_limit_milli = Some(1);
        let limits = limits_of(&allocation, ceiling);
        assert_eq!((limits.cpu_shares, limits.cpu_quota_us), (2, Some(1000)));
    }

    #[test]
    fn nobody_is_root_of_the_host_unless_the_operator_allows_it() {
        let refused = |user: Option<&str>| {
            let mut asked = launch(1000);
            asked.user = user.map(str::to_owned);
            match prepared_by(&asked, Defaults::default()) {
                Err(LaunchError::Impossible(text)) => text.contains("--allow-root"),
                Err(other) => panic!("{user:?}: {other}"),
                Ok(_) => false,
            }
        };
        let is_root = rustix::process::geteuid().is_root();
        // No user at all is the agent's own.
        assert_eq!(refused(None), is_root);
        if is_root {
            assert!(refused(Some("root")) && refused(Some("0")));
            assert!(!refused(Some("4242")));
            let mut allowed = launch(1000);
            allowed.user = Some("root".into());
            assert_eq!(prepared(&allowed).unwrap().credentials, None);
        }
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused() {
        let mut wrong = launch(1000);
        wrong.environment.push(("A=B".into(), "c".into()));
        assert!(
            matches!(prepared(&wrong), Err(LaunchError::Impossible(text)) if text.contains("A=B"))
        );
        let mut wrong = launch(1000);
        wrong.rlimits.push(Rlimit { resource: 7, soft: 2, hard: 1 });
        assert!(matches!(prepared(&wrong), Err(LaunchError::Impossible(_))));
        let mut wrong = launch(1000);
        wrong.user = Some("no such user".into());
        assert!(
            matches!(prepared(&wrong), Err(LaunchError::Impossible(text)) if text.contains("no such"))
        );
    }

    use crate::containerizer::Rlimit;

    #[test]
    fn the_group_of_root_is_refused_as_root_is() {
        let who = |uid, gid, groups: &[u32]| Credentials { uid, gid, groups: groups.to_vec() };
        assert_eq!(of_root(Some(&who(0, 7, &[]))), Some(NOT_ROOT));
        assert_eq!(of_root(Some(&who(7, 0, &[]))), Some(NOT_OF_ROOT));
        assert_eq!(of_root(Some(&who(7, 7, &[8, 0]))), Some(NOT_OF_ROOT));
        assert_eq!(of_root(Some(&who(7, 7, &[8]))), None);
    }
}
