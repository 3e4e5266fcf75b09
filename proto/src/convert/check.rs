//! Checks of tasks. What Mesos refuses is refused in its words, with the field before them.

use super::{At, present, read, text, time, w};
use crate::schema;
use crate::{
    Check, CheckKind, CheckStatus, Checks, CommandInfo, DecodeError, Encoding, HealthCheck, Limits,
};
use std::sync::Arc;
use std::time::Duration;

/// `CheckInfo.Type`, `HealthCheck.Type` and `CheckStatusInfo.Type`.
const COMMAND: i32 = 1;
const HTTP: i32 = 2;
const TCP: i32 = 3;
/// `NetworkInfo.Protocol`.
const IPV4: i32 = 1;
const IPV6: i32 = 2;
/// Mesos' default timings, in seconds.
const DELAY: f64 = 15.0;
const INTERVAL: f64 = 10.0;
const TIMEOUT: f64 = 20.0;
const GRACE_PERIOD: f64 = 10.0;
/// Mesos' default of failures in a row.
const FAILURES: u32 = 3;

/// Numbers of the fields `health_check` and `check` of `TaskInfo`.
pub(super) const HEALTH_CHECK_FIELD: u32 = 8;
pub(super) const CHECK_FIELD: u32 = 13;

/// Adds what one of the two fields says.
pub(super) fn gather(
    checks: &mut Option<Checks>,
    field: u32,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    let (encoding, limits) = (Encoding::Protobuf, &Limits::DEFAULT);
    let checks = checks.get_or_insert(Checks { health: None, check: None });
    if field == HEALTH_CHECK_FIELD {
        let schema = &schema::MESOS__V1__HEALTH_CHECK;
        let wire: w::HealthCheck = read(bytes, schema, encoding, limits).at("health_check")?;
        checks.health = Some(health(wire).at("health_check")?);
    } else {
        let schema = &schema::MESOS__V1__CHECK_INFO;
        let wire: w::CheckInfo = read(bytes, schema, encoding, limits).at("check")?;
        checks.check = Some(plain(wire).at("check")?);
    }
    Ok(())
}

/// What one kind says besides its type, and the others that must not be there.
fn only(kind: &str, others: [(&str, bool); 2]) -> Result<(), DecodeError> {
    match others.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((other, _)) => {
            Err(DecodeError::new(other, format!("must not be given for a check of type {kind}")))
        }
    }
}

fn expected(field: &str, kind: &str) -> DecodeError {
    DecodeError::new(field, format!("must be given for a check of type {kind}"))
}

fn plain(wire: w::CheckInfo) -> Result<Check, DecodeError> {
    let given = (wire.command.is_some(), wire.http.is_some(), wire.tcp.is_some());
    let kind = match present(wire.r#type, "type")? {
        COMMAND => {
            only("COMMAND", [("http", given.1), ("tcp", given.2)])?;
            let asked = wire.command.ok_or_else(|| expected("command", "COMMAND"))?;
            command(present(asked.command, "command.command")?).at("command.command")?
        }
        HTTP => {
            only("HTTP", [("command", given.0), ("tcp", given.2)])?;
            let http = wire.http.ok_or_else(|| expected("http", "HTTP"))?;
            let port = port(http.port).at("http")?;
            CheckKind::Http { port, path: path(http.path).at("http")?, ipv6: false }
        }
        TCP => {
            only("TCP", [("command", given.0), ("http", given.1)])?;
            let tcp = wire.tcp.ok_or_else(|| expected("tcp", "TCP"))?;
            CheckKind::Tcp { port: port(tcp.port).at("tcp")?, ipv6: false }
        }
        number => return Err(unknown(number)),
    };
    timed(kind, wire.delay_seconds, wire.interval_seconds, wire.timeout_seconds)
}

fn health(wire: w::HealthCheck) -> Result<HealthCheck, DecodeError> {
    let given = (wire.command.is_some(), wire.http.is_some(), wire.tcp.is_some());
    let kind = match present(wire.r#type, "type")? {
        COMMAND => {
            only("COMMAND", [("http", given.1), ("tcp", given.2)])?;
            command(wire.command.ok_or_else(|| expected("command", "COMMAND"))?).at("command")?
        }
        HTTP => {
            only("HTTP", [("command", given.0), ("tcp", given.2)])?;
            let http = wire.http.ok_or_else(|| expected("http", "HTTP"))?;
            if let Some(scheme) = http.scheme.as_deref().filter(|scheme| *scheme != "http") {
                let problem = format!("{scheme} cannot be had; use http");
                return Err(DecodeError::new("http.scheme", problem));
            }
            let ipv6 = ipv6(http.protocol).at("http")?;
            let port = port(http.port).at("http")?;
            CheckKind::Http { port, path: path(http.path).at("http")?, ipv6 }
        }
        TCP => {
            only("TCP", [("command", given.0), ("http", given.1)])?;
            let tcp = wire.tcp.ok_or_else(|| expected("tcp", "TCP"))?;
            CheckKind::Tcp { port: port(tcp.port).at("tcp")?, ipv6: ipv6(tcp.protocol).at("tcp")? }
        }
        number => return Err(unknown(number)),
    };
    let grace_period = wire.grace_period_seconds.unwrap_or(GRACE_PERIOD);
    Ok(HealthCheck {
        check: timed(kind, wire.delay_seconds, wire.interval_seconds, wire.timeout_seconds)?,
        consecutive_failures: wire.consecutive_failures.unwrap_or(FAILURES),
        grace_period: time::interval(grace_period, "grace_period_seconds")?,
    })
}

fn unknown(number: i32) -> DecodeError {
    DecodeError::new("type", format!("must be COMMAND, HTTP or TCP, is {number}"))
}

fn timed(
    kind: CheckKind,
    delay: Option<f64>,
    interval: Option<f64>,
    timeout: Option<f64>,
) -> Result<Check, DecodeError> {
    Ok(Check {
        kind,
        delay: time::interval(delay.unwrap_or(DELAY), "delay_seconds")?,
        interval: time::interval(interval.unwrap_or(INTERVAL), "interval_seconds")?,
        timeout: time::interval(timeout.unwrap_or(TIMEOUT), "timeout_seconds")?,
    })
}

fn command(wire: w::CommandInfo) -> Result<CheckKind, DecodeError> {
    let command = CommandInfo::try_from(wire)?;
    if command.value.as_deref().is_none_or(str::is_empty) {
        return Err(DecodeError::missing("value"));
    }
    if !command.uris.is_empty() {
        return Err(DecodeError::new(
            "uris",
            "cannot be fetched for a check; name them in the task",
        ));
    }
    Ok(CheckKind::Command(Box::new(command)))
}

fn port(wire: Option<u32>) -> Result<u16, DecodeError> {
    match present(wire, "port")? {
        0 => Err(DecodeError::new("port", "must be a port, 1 to 65535, is 0")),
        port => super::port(port, "port"),
    }
}

/// What would end the line of the request, or come to mean another one, is no path.
fn path(wire: Option<String>) -> Result<Option<Arc<str>>, DecodeError> {
    let Some(path) = wire else { return Ok(None) };
    if !path.starts_with('/') || path.len() > 2_000 {
        return Err(DecodeError::new("path", "must begin with '/' and have 2000 bytes at most"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "must be printable ASCII without blanks; write others as %20";
        return Err(DecodeError::new("path", problem));
    }
    text(Some(path), "path").map(Some)
}

fn ipv6(wire: Option<i32>) -> Result<bool, DecodeError> {
    match wire.unwrap_or(IPV4) {
        IPV4 => Ok(false),
        IPV6 => Ok(true),
        number => Err(DecodeError::new("protocol", format!("must be IPv4 or IPv6, is {number}"))),
    }
}

fn seconds(duration: Duration) -> Option<f64> {
    Some(duration.as_secs_f64())
}

fn protocol(ipv6: bool) -> Option<i32> {
    Some(if ipv6 { IPV6 } else { IPV4 })
}

impl From<&HealthCheck> for w::HealthCheck {
    fn from(health: &HealthCheck) -> Self {
        use w::health_check::{HttpCheckInfo, TcpCheckInfo};
        let check = &health.check;
        let mut wire = Self {
            delay_seconds: seconds(check.delay),
            interval_seconds: seconds(check.interval),
            timeout_seconds: seconds(check.timeout),
            consecutive_failures: Some(health.consecutive_failures),
            grace_period_seconds: seconds(health.grace_period),
            r#type: Some(number(check.kind.unseen())),
            ..Self::default()
        };
        match &check.kind {
            CheckKind::Command(command) => wire.command = Some((&**command).into()),
            CheckKind::Http { port, path, ipv6 } => {
                wire.http = Some(HttpCheckInfo {
                    port: Some((*port).into()),
                    path: path.as_deref().map(str::to_owned),
                    protocol: protocol(*ipv6),
                    ..HttpCheckInfo::default()
                });
            }
            CheckKind::Tcp { port, ipv6 } => {
                let (port, protocol) = (Some((*port).into()), protocol(*ipv6));
                wire.tcp = Some(TcpCheckInfo { port, protocol });
            }
        }
        wire
    }
}

impl From<&Check> for w::CheckInfo {
    fn from(check: &Check) -> Self {
        use w::check_info::{Command, Http, Tcp};
        let mut wire = Self {
            delay_seconds: seconds(check.delay),
            interval_seconds: seconds(check.interval),
            timeout_seconds: seconds(check.timeout),
            r#type: Some(number(check.kind.unseen())),
            ..Self::default()
        };
        match &check.kind {
            CheckKind::Command(command) => {
                wire.command = Some(Command { command: Some((&**command).into()) });
            }
            CheckKind::Http { port, path, .. } => {
                let (port, path) = (Some((*port).into()), path.as_deref().map(str::to_owned));
                wire.http = Some(Http { port, path });
            }
            CheckKind::Tcp { port, .. } => wire.tcp = Some(Tcp { port: Some((*port).into()) }),
        }
        wire
    }
}

fn number(status: CheckStatus) -> i32 {
    match status {
        CheckStatus::Command(_) => COMMAND,
        CheckStatus::Http(_) => HTTP,
        CheckStatus::Tcp(_) => TCP,
    }
}

impl From<CheckStatus> for w::CheckStatusInfo {
    fn from(status: CheckStatus) -> Self {
        use w::check_status_info::{Command, Http, Tcp};
        let mut wire = Self { r#type: Some(number(status)), ..Self::default() };
        match status {
            CheckStatus::Command(exit_code) => wire.command = Some(Command { exit_code }),
            CheckStatus::Http(status) => {
                wire.http = Some(Http { status_code: status.map(Into::into) });
            }
            CheckStatus::Tcp(succeeded) => wire.tcp = Some(Tcp { succeeded }),
        }
        wire
    }
}

impl TryFrom<w::CheckStatusInfo> for CheckStatus {
    type Error = DecodeError;
    fn try_from(wire: w::CheckStatusInfo) -> Result<Self, DecodeError> {
        match present(wire.r#type, "type")? {
            COMMAND => Ok(Self::Command(wire.command.and_then(|command| command.exit_code))),
            HTTP => {
                let code = wire.http.and_then(|http| http.status_code);
                let code = code.map(|code| super::port(code, "http.status_code")).transpose();
                code.map(Self::Http)
            }
            TCP => Ok(Self::Tcp(wire.tcp.and_then(|tcp| tcp.succeeded))),
            number => Err(unknown(number)),
        }
    }
}
