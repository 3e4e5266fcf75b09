//! What the engine says of a container, in our words.

use super::record::End;
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use std::net::Ipv4Addr;
use std::time::Duration;

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Made, and never started.
    Created,
    /// It runs (or is paused).
    Running {
        /// Of its first process, on the host.
        pid: u32,
        /// Nanoseconds since the Unix epoch.
        started_unix_ns: u64,
    },
    /// It ended.
    Ended(End),
}

/// Reads an inspection; `memory_limit` is the one that was asked for, in bytes.
pub(crate) fn seen(inspected: &ContainerInspectResponse, memory_limit: Option<u64>) -> Seen {
    let default = ContainerState::default();
    let state = inspected.state.as_ref().unwrap_or(&default);
    let started = state.started_at.as_deref().and_then(unix_ns);
    if state.running == Some(true) || state.restarting == Some(true) {
        let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        return Seen::Running { pid, started_unix_ns: started.unwrap_or(0) };
    }
    if state.status == Some(ContainerStateStatusEnum::CREATED) || started.is_none() {
        return Seen::Created;
    }
    let code = state.exit_code.unwrap_or(255);
    let finished = state.finished_at.as_deref().and_then(unix_ns);
    let lasted = finished.zip(started).map_or(0, |(end, start)| end.saturating_sub(start));
    let limit = inspected.host_config.as_ref().and_then(|config| config.memory);
    let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
    Seen::Ended(End {
        code: u8::try_from(code).unwrap_or(255),
        // The engine also says so when a process was killed that the first one did without.
        out_of_memory: (state.oom_killed == Some(true) && code != 0)
            .then(|| limit.or(memory_limit).unwrap_or(0)),
        lasted: Duration::from_nanos(lasted),
        ended_unix_ns: finished.unwrap_or(0),
    })
}

/// The address of a container that is in a network of the engine's; of several, that of the first
/// by name.
pub(crate) fn address(inspected: &ContainerInspectResponse) -> Option<Ipv4Addr> {
    let networks = inspected.network_settings.as_ref()?.networks.as_ref()?;
    let found = networks.iter().filter_map(|(name, end)| {
        let address: Ipv4Addr = end.ip_address.as_deref()?.parse().ok()?;
        Some((name, address))
    });
    found.min().map(|(_, address)| address)
}

/// A time as the engine writes it (RFC 3339), in nanoseconds since the Unix epoch; nothing for the
/// year 1, by which it means never.
pub(crate) fn unix_ns(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once('T')?;
    let (clock, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => (&rest[..at], zone_seconds(&rest[at..])?),
        None => return None,
    };
    let numbers = |text: &str, separator: char| -> Option<[i64; 3]> {
        let all: Result<Vec<i64>, _> = text.splitn(3, separator).map(str::parse).collect();
        all.ok()?.try_into().ok()
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9.9}").parse().ok()?;
    let of_day = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?;
    let seconds = days(year, month, day) * 86_400 + of_day.checked_add(second)? - zone;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// How far a zone is ahead of UTC.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    Some(if zone.starts_with('-') { -seconds } else { seconds })
}

/// Days from 1970-01-01 to a date of the civil calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::HostConfig;

    fn state(state: ContainerState) -> ContainerInspectResponse {
        let host_config = Some(HostConfig { memory: Some(32 << 20), ..HostConfig::default() });
        ContainerInspectResponse { state: Some(state), host_config, ..Default::default() }
    }

    fn ended(code: i64, oom_killed: bool) -> ContainerState {
        ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            running: Some(false),
            exit_code: Some(code),
            oom_killed: Some(oom_killed),
            started_at: Some("2026-11-22T18:00:00.5Z".to_owned()),
            finished_at: Some("2026-11-22T18:00:02.75Z".to_owned()),
            ..ContainerState::default()
        }
    }

    #[test]
    fn an_address_is_that_of_a_network_of_the_engines() {
        let at = |networks: serde_json::Value| {
            let inspected = serde_json::json!({"NetworkSettings": {"Networks": networks}});
            address(&serde_json::from_value(inspected).unwrap())
        };
        let bridge = serde_json::json!({"IPAddress": "172.17.0.2"});
        let own = serde_json::json!({"IPAddress": "172.18.0.2"});
        assert_eq!(at(serde_json::json!({"bridge": bridge})), Some([172, 17, 0, 2].into()));
        let both = serde_json::json!({"own": own, "bridge": bridge});
        assert_eq!(at(both), Some([172, 17, 0, 2].into()), "the first by name");
        assert_eq!(at(serde_json::json!({"host": {"IPAddress": ""}})), None);
        assert_eq!(address(&ContainerInspectResponse::default()), None);
    }

    #[test]
    fn times_are_read_as_the_engine_writes_them() {
        assert_eq!(unix_ns("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_ns("2000-03-01T00:00:01.25Z"), Some(951_868_801_250_000_000));
        assert_eq!(unix_ns("2026-11-22T18:00:00.000000001+02:00"), Some(1_795_363_200_000_000_001));
        for never in ["0001-01-01T00:00:00Z", "", "2026-11-22", "2026-13-01T00:00:00Z", "xTyZ"] {
            assert_eq!(unix_ns(never), None, "{never}");
        }
    }

    #[test]
    fn an_end_has_its_code_and_how_long_it_lasted() {
        let Seen::Ended(end) = seen(&state(ended(3, false)), None) else { panic!("it ended") };
        assert_eq!((end.code, end.out_of_memory, end.lasted.as_millis()), (3, None, 2250));
        assert_eq!(end.ended_unix_ns % 1_000_000_000, 750_000_000);
    }

    #[test]
    fn memory_is_at_fault_only_when_the_container_did_not_do_without() {
        let limit = |code, killed| match seen(&state(ended(code, killed)), Some(1)) {
            Seen::Ended(end) => end.out_of_memory,
            other => panic!("{other:?}"),
        };
        assert_eq!(limit(137, true), Some(32 << 20));
        assert_eq!(limit(137, false), None);
        // A child was killed; the first process went on and ended well.
        assert_eq!(limit(0, true), None);
    }

    #[test]
    fn what_was_never_started_has_not_ended() {
        let created = ContainerState {
            status: Some(ContainerStateStatusEnum::CREATED),
            started_at: Some("0001-01-01T00:00:00Z".to_owned()),
            exit_code: Some(0),
            ..ContainerState::default()
        };
        assert_eq!(seen(&state(created), None), Seen::Created);
        assert_eq!(seen(&ContainerInspectResponse::default(), None), Seen::Created);
        let running = ContainerState {
            running: Some(true),
            pid: Some(7),
            started_at: Some("1970-01-01T00:00:01Z".to_owned()),
            ..ContainerState::default()
        };
        let wanted = Seen::Running { pid: 7, started_unix_ns: 1_000_000_000 };
        assert_eq!(seen(&state(running), None), wanted);
    }
}
