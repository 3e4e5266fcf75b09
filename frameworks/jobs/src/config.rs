//! How the framework is set up, and why it may end.

use driver::RunError;
use driver::core::Options;
use grpc::machine::Callers;
use proto::{FrameworkId, Role};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the framework's records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In this directory; made if it is not there.
    Local(PathBuf),
    /// At the masters, under this id of the framework: whoever starts with it, on whatever
    /// machine, takes over and goes on.
    Replicated(FrameworkId),
}

/// Everything that can be set. Only masters and state have no default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of the masters, `HOST:PORT`, tried in turn.
    pub masters: Vec<String>,
    /// Where the framework's records are kept.
    pub state: State,
    /// The name under which it registers.
    pub name: String,
    /// The role whose resources it uses.
    pub role: String,
    /// The user that tasks run as unless they name another. Default: the process's own.
    pub user: String,
    /// The host under which others reach the API. Default: the listener's address.
    pub hostname: Option<String>,
    /// How long tasks outlive this process.
    pub failover_timeout: Duration,
    /// How long offers are kept at hand once nothing waits: a submit within this time starts
    /// without asking the master.
    pub idle_linger: Duration,
    /// Ended jobs that are kept; the oldest go first.
    pub keep_jobs: usize,
    /// Units of ended jobs that are kept, summed up; the newest ended job is kept whatever its
    /// size.
    pub keep_units: u64,
    /// Events that are kept for those who read them later.
    pub events: usize,
    /// Whose connections are taken.
    pub callers: Callers,
}

impl Config {
    /// The defaults.
    pub fn new(masters: Vec<String>, state: State) -> Self {
        Self {
            masters,
            state,
            name: "jobs".to_owned(),
            role: "jobs".to_owned(),
            user: process_user(),
            hostname: None,
            failover_timeout: Duration::from_secs(7 * 24 * 3600),
            idle_linger: Duration::from_millis(500),
            keep_jobs: 1000,
            keep_units: 4_000_000,
            events: 16 * 1024,
            callers: Callers::default(),
        }
    }

    pub(crate) fn options(&self, address: SocketAddr) -> Result<Options, Error> {
        if self.masters.is_empty() {
            return Err(Error::NoMaster);
        }
        let role = Role::new(self.role.as_str())
            .map_err(|error| Error::Role { role: self.role.clone(), why: error.to_string() })?;
        let host = match &self.hostname {
            Some(host) => host.clone(),
            None if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
            None => address.ip().to_string(),
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let masters = self.masters.iter().map(|master| Arc::from(master.as_str())).collect();
        let mut options = Options::new(self.name.as_str(), masters);
        options.user = Arc::from(self.user.as_str());
        options.role = role;
        options.hostname = Arc::from(host);
        options.webui_url = Some(Arc::from(format!("http://{bracketed}:{}", address.port())));
        options.failover_timeout = self.failover_timeout;
        options.idle_linger = self.idle_linger;
        Ok(options)
    }
}

/// The name of the user of this process; its number when it has no name.
fn process_user() -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(own) = std::fs::metadata("/proc/self") else { return "root".to_owned() };
    let number = own.uid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == number).then(|| name.to_owned())
    });
    named.unwrap_or(number)
}

/// Why the framework cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No master is named.
    #[error("no master is named: give the address of one, HOST:PORT")]
    NoMaster,
    /// The role is none.
    #[error("'{role}' is no role: {why}")]
    Role {
        /// What was given.
        role: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address of the API cannot be used.
    #[error(
        "the jobs API cannot listen on {address}: {source}; give another address, or port 0 for any"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The framework itself.
    #[error(transparent)]
    Framework(#[from] RunError),
    /// The API broke.
    #[error("the jobs API cannot go on")]
    Serve(#[source] std::io::Error),
}
