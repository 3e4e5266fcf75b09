//! What an agent may not change while it keeps its id.

use proto::AgentInfo;

/// Says what may not change between two starts of an agent under one id.
///
/// # Errors
/// A sentence that names what differs and what to do.
pub fn reconfiguration(old: &AgentInfo, new: &AgentInfo) -> Result<(), String> {
    let differs = |what: &str, old: String, new: String| {
        Err(format!(
            "the agent's {what} changed from '{old}' to '{new}' while tasks may depend on it; \
             start the agent with the old {what}, or with an empty work directory as a new agent"
        ))
    };
    if old.resources != new.resources {
        return differs("resources", old.resources.to_string(), new.resources.to_string());
    }
    if old.attributes != new.attributes {
        let text = |info: &AgentInfo| {
            let all = info.attributes.iter().map(|a| format!("{}:{}", a.name, a.value));
            all.collect::<Vec<_>>().join(";")
        };
        return differs("attributes", text(old), text(new));
    }
    if old.domain != new.domain {
        let text = |info: &AgentInfo| match &info.domain {
            Some(domain) => format!("{}/{}", domain.region, domain.zone),
            None => "none".to_owned(),
        };
        return differs("domain", text(old), text(new));
    }
    if old.hostname != new.hostname {
        return differs("hostname", old.hostname.to_string(), new.hostname.to_string());
    }
    Ok(())
}
