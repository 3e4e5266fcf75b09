//! How transcripts describe agents and frameworks beyond cpus and memory.

use super::stage::{Done, Message, Player, Stage, bad};
use super::words::{Words, bundle, number};
use master_core::{Input, testing};
use proto::scheduler::{CallBody, Subscribe};
use proto::{
    AgentInfo, Attribute, AttributeConstraint, Capability, Domain, Flavor, FrameworkInfo,
    OfferConstraints, Piece, Predicate, Reservation, ReservationKind, ResourceName, Resources,
    Role, Selector, Special, Value,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// `R/Z`.
pub(super) fn domain(text: &str) -> Result<Domain, String> {
    let (region, zone) = text.split_once('/').ok_or(format!("'{text}' is not REGION/ZONE"))?;
    Ok(Domain { region: Arc::from(region), zone: Arc::from(zone) })
}

/// `ROLE,..`.
pub(super) fn roles(text: &str) -> Result<BTreeSet<Role>, String> {
    text.split(',').map(|role| Role::new(role).map_err(bad)).collect()
}

/// These resources, reserved by the agent's configuration.
fn kept(role: &str, plain: &Resources) -> Result<Resources, String> {
    let reservation = Reservation {
        kind: ReservationKind::Static,
        role: Role::new(role).map_err(bad)?,
        principal: None,
        labels: Vec::new(),
    };
    Ok(plain.push_reservation(&reservation))
}

/// Of the kind that `from=` names: `revocable`, or the role that they are kept for; `+ROLE` means
/// since run time.
pub(super) fn of_kind(words: &Words<'_>, plain: Resources) -> Result<Resources, String> {
    match words.pair("from") {
        None => Ok(plain),
        Some("revocable") => {
            let flavor = Flavor::new(true, Special::default());
            let pieces = plain.pieces().iter().cloned();
            let taken_back = |piece: Piece| {
                let revocable = piece.name.as_str() == "cpus";
                if revocable { Piece { flavor: flavor.clone(), ..piece } } else { piece }
            };
            Ok(pieces.map(taken_back).collect())
        }
        Some(role) => match role.strip_prefix('+') {
            Some(role) => Ok(testing::reserved(&plain, &role.split(',').collect::<Vec<_>>())),
            None => kept(role, &plain),
        },
    }
}

/// `ROLE:CPUS/MEM[/DISK]`, reserved for the role at run time; `ROLE,ROLE` reserves for one below
/// the other.
pub(super) fn of_dynamic(text: &str) -> Result<Resources, String> {
    let (roles, plain) = text.split_once(':').ok_or(format!("'{text}' is not ROLE:CPUS/MEM"))?;
    let mut parts = plain.splitn(3, '/');
    let (cpus, mem) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("0"));
    let disk = number(parts.next().unwrap_or("0"))?;
    let mut all = bundle(&format!("{cpus}/{mem}"))?;
    all.add(&testing::disk(disk));
    Ok(testing::reserved(&all, &roles.split(',').collect::<Vec<_>>()))
}

/// An agent: `cpus=N mem=MB [disk=MB] [gpus=N] [revocable=CPUS] [kept=ROLE:CPUS/MEM ..]
/// [domain=R/Z] [rack=TEXT]`.
pub(super) fn agent(name: &str, words: &Words<'_>) -> Result<AgentInfo, String> {
    let mut resources = words.resources()?;
    for more in ["disk", "gpus"] {
        if let Some(amount) = words.pair(more) {
            resources.add(&Resources::scalars([(more, number(amount)? * 1000)]));
        }
    }
    if let Some(cpus) = words.pair("revocable") {
        resources.add_piece(Piece {
            name: ResourceName::new("cpus"),
            flavor: Flavor::new(true, Special::default()),
            value: Value::Scalar(number(cpus)? * 1000),
        });
    }
    for reserved in words.pairs("kept") {
        let (role, plain) = reserved.split_once(':').ok_or("kept is ROLE:CPUS/MEM")?;
        resources.add(&kept(role, &bundle(plain)?)?);
    }
    let rack = words.pair("rack").map(|rack| Attribute::text("rack", rack));
    Ok(AgentInfo {
        id: None,
        hostname: Arc::from(name),
        port: 5051,
        resources,
        attributes: rack.into_iter().collect(),
        domain: words.pair("domain").map(domain).transpose()?,
    })
}

/// `only=SELECTOR:TEXT`, where the selector is `host`, `zone` or an attribute, and the text an
/// expression; `only=!rack` wants no such attribute. In all roles.
fn constraints(info: &FrameworkInfo, words: &Words<'_>) -> Option<OfferConstraints> {
    let one = |text: &str| {
        let (selector, predicate) = match text.split_once(':') {
            Some((selector, pattern)) => (selector, Predicate::TextMatches(Arc::from(pattern))),
            None => (text.trim_start_matches('!'), Predicate::NotExists),
        };
        let selector = match selector {
            "host" => Selector::Hostname,
            "zone" => Selector::Zone,
            other => Selector::Attribute(Arc::from(other)),
        };
        AttributeConstraint { selector, predicate }
    };
    let group: Vec<AttributeConstraint> = words.pairs("only").into_iter().map(one).collect();
    if group.is_empty() {
        return None;
    }
    let of = |role: &Role| (role.clone(), vec![group.clone()]);
    Some(OfferConstraints { roles: info.roles.iter().map(of).collect() })
}

/// What a framework says of itself; what is not said stays as it was.
fn framework(mut info: FrameworkInfo, words: &Words<'_>) -> Result<FrameworkInfo, String> {
    if words.pair("failover_timeout").is_some() || info.id.is_none() {
        info.failover_timeout = words.seconds("failover_timeout", 100)?;
    }
    if let Some(text) = words.pair("roles") {
        info.roles = roles(text)?;
        info.single_role = info.roles.len() == 1;
        info.capabilities = info.capabilities.with(Capability::MultiRole);
    }
    if let Some(user) = words.pair("user") {
        info.user = Arc::from(user);
    }
    let can = [
        ("killing", Capability::TaskKillingState),
        ("gpus", Capability::GpuResources),
        ("regions", Capability::RegionAware),
        ("revocable", Capability::RevocableResources),
        ("refined", Capability::ReservationRefinement),
        ("shared", Capability::SharedResources),
    ];
    for (_, capability) in can.into_iter().filter(|(word, _)| words.has(word)) {
        info.capabilities = info.capabilities.with(capability);
    }
    if !words.has("legacy") {
        info.capabilities = info.capabilities.with(Capability::PartitionAware);
    }
    Ok(info)
}

fn described(info: FrameworkInfo, words: &Words<'_>) -> Result<Subscribe, String> {
    let suppressed_roles = words.pair("suppressed").map(roles).transpose()?.unwrap_or_default();
    let offer_constraints = constraints(&info, words);
    Ok(Subscribe { framework_info: info, suppressed_roles, offer_constraints, fence: None })
}

impl Stage {
    /// A first SUBSCRIBE, or another instance of the same framework.
    pub(super) fn subscribe(&mut self, name: &str, words: &Words<'_>) -> Done {
        let connection = self.connection(name);
        let mut info = FrameworkInfo::new("nobody", name);
        if let Some(player) = self.frameworks.get(name) {
            info = player.info.clone();
            self.names.insert(player.connection, format!("{name} (before)"));
        }
        info.checkpoint = true;
        let call = described(framework(info, words)?, words)?;
        let info = call.framework_info.clone();
        let framework_id = info.id.clone();
        let known = self.frameworks.remove(name);
        let known = known.map(|player| (player.updates, player.operations));
        let (updates, operations) = known.unwrap_or_default();
        let player = Player { info, connection, updates, operations };
        self.frameworks.insert(name.to_owned(), player);
        let call = Box::new(call);
        let input = Input::Subscribe { connection, framework_id, call, principal: None };
        self.queue.push_back(Message::ToMaster(input));
        Ok(())
    }

    /// UPDATE_FRAMEWORK.
    pub(super) fn update(&mut self, name: &str, words: &Words<'_>) -> Done {
        let info = framework(self.player(name)?.info.clone(), words)?;
        let call = described(info, words)?;
        self.call(name, CallBody::UpdateFramework(Box::new(call)))
    }
}
