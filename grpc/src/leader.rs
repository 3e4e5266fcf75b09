//! The refusal of a master that does not lead, which names the one that does.
//!
//! It travels as response metadata. What a peer put there is not believed before it has the form
//! of an address; whether anybody leads there, only the next connection shows.

use crate::Status;
use std::net::Ipv6Addr;
use tonic::metadata::MetadataValue;

/// Response metadata of a refusal: where the leading master is, `HOST:PORT`.
pub const LEADER_KEY: &str = "tepui-leader";

/// Longest name of a host.
const HOST_BYTES: usize = 253;

/// The refusal of a master that does not lead (`Unavailable`). The leader is named if there is one
/// whose address is `HOST:PORT`.
pub fn not_leading(leader: Option<&str>) -> Status {
    let Some(address) = leader.filter(|address| is_address(address)) else {
        return Status::unavailable("this master does not lead, and knows of none that does");
    };
    let mut status = Status::unavailable(format!("this master does not lead; {address} does"));
    if let Ok(value) = MetadataValue::try_from(address) {
        status.metadata_mut().insert(LEADER_KEY, value);
    }
    status
}

/// The leader that a refusal names, `HOST:PORT`. Anything else in its place is ignored.
pub fn leader(status: &Status) -> Option<&str> {
    let value = status.metadata().get(LEADER_KEY)?.to_str().ok()?;
    is_address(value).then_some(value)
}

/// How often one is sent on from one address; more is a circle.
const SENT_ON: u32 = 3;

/// Tries the masters in turn, each time going on to the leader that a refusal names, until one
/// does it. What `attempt` asks for must be harmless to ask of several: only one that leads does it.
///
/// # Errors
/// Why the last one did not; `None` when there was no address.
pub async fn follow_leader<T, E, Tried>(
    masters: impl IntoIterator<Item = impl AsRef<str>>,
    mut attempt: impl FnMut(String) -> Tried,
    leader: impl Fn(&E) -> Option<&str>,
) -> Result<T, Option<E>>
where
    Tried: Future<Output = Result<T, E>>,
{
    let mut last = None;
    for master in masters {
        let mut next = Some(master.as_ref().to_owned());
        for _ in 0..SENT_ON {
            let Some(at) = next.take() else { break };
            match attempt(at).await {
                Ok(done) => return Ok(done),
                Err(error) => {
                    next = leader(&error).map(str::to_owned);
                    last = Some(error);
                }
            }
        }
    }
    Err(last)
}

/// Whether others can be sent there: whether it is a name, an IPv4 address or an IPv6 address in
/// brackets, and a port.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    if !digits || port.parse::<u16>().map_or(true, |port| port == 0) {
        return false;
    }
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=HOST_BYTES).contains(&host.len()) && host.bytes().all(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is tried, in its order, when these refuse and the master at `l:1` leads.
    async fn tried(masters: &[&str], refuse: fn(&str) -> Status) -> (Vec<String>, bool) {
        let mut tried = Vec::new();
        let attempt = |at: String| {
            let answer = if at == "l:1" { Ok(()) } else { Err(refuse(&at)) };
            tried.push(at);
            std::future::ready(answer)
        };
        let done = follow_leader(masters, attempt, leader).await.is_ok();
        (tried, done)
    }

    #[tokio::test]
    async fn the_leader_is_found_from_any_address_and_a_circle_is_left() {
        let names_it = |_: &str| not_leading(Some("l:1"));
        assert_eq!(
            tried(&["a:1", "b:1"], names_it).await,
            (vec!["a:1".into(), "l:1".into()], true)
        );
        let is_away = |_: &str| not_leading(None);
        let all = ["a:1", "b:1", "l:1"].map(str::to_owned).to_vec();
        assert_eq!(tried(&["a:1", "b:1", "l:1"], is_away).await, (all, true));
        let in_circles = |at: &str| not_leading(Some(if at == "a:1" { "b:1" } else { "a:1" }));
        let (circle, done) = tried(&["a:1", "l:1"], in_circles).await;
        assert_eq!((circle.join(" "), done), ("a:1 b:1 a:1 l:1".to_owned(), true));
        assert_eq!(tried(&["a:1"], is_away).await, (vec!["a:1".into()], false));
        assert_eq!(tried(&[], is_away).await, (Vec::new(), false));
    }

    #[test]
    fn a_refusal_names_the_leader() {
        for address in ["10.0.0.1:5050", "master-2.example.org:1", "[::1]:5050", "m_1:65535"] {
            let status = not_leading(Some(address));
            assert_eq!(leader(&status), Some(address));
            assert!(status.message().contains(address), "{}", status.message());
        }
    }

    #[test]
    fn what_is_no_address_is_not_said_and_not_heard() {
        let long = format!("{}:5050", "a".repeat(254));
        let garbage = [
            "",
            "host",
            ":5050",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:000001",
            "user@host:5050",
            "host/path:5050",
            "host:5050/path",
            "a b:5050",
            "::1:5050",
            "[::1:5050",
            "[host]:5050",
            "http://host:5050",
            "hôst:5050",
            &long,
        ];
        for text in garbage {
            assert_eq!(leader(&not_leading(Some(text))), None, "{text}");
            let mut status = Status::unavailable("");
            if let Ok(value) = MetadataValue::try_from(text) {
                status.metadata_mut().insert(LEADER_KEY, value);
            }
            assert_eq!(leader(&status), None, "{text}");
        }
        assert_eq!(leader(&not_leading(None)), None);
    }
}
