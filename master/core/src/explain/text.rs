//! The sentences that people read of the reasons, one function each.

use proto::{AgentId, FrameworkId, Piece, Quantities, ResourceName, Resources, Role, Time};
use std::fmt::{self, Formatter};

pub(super) const DEMAND_MET: &str =
    "All that the framework said it wants is launched or in offers that it holds.";

pub(super) fn not_connected(f: &mut Formatter<'_>, removed_at: Option<Time>) -> fmt::Result {
    f.write_str("The framework's scheduler is not connected")?;
    match removed_at {
        Some(at) => {
            write!(f, "; without it the framework will be removed at {}.", at.rfc_3339())
        }
        None => f.write_str("."),
    }
}

pub(super) fn suppressed(f: &mut Formatter<'_>, roles: &[Role]) -> fmt::Result {
    let roles: Vec<&str> = roles.iter().map(Role::as_str).collect();
    write!(f, "The framework suppressed offers in its roles: {}.", roles.join(", "))
}

pub(super) fn holds(f: &mut Formatter<'_>, offers: usize, resources: &Resources) -> fmt::Result {
    write!(f, "The framework holds {offers} offers that it has not answered: {resources}.")
}

pub(super) fn too_big(
    f: &mut Formatter<'_>,
    wanted: &Resources,
    biggest: &Resources,
) -> fmt::Result {
    write!(
        f,
        "One bundle of the framework's demand ({wanted}) is more than any agent has, even idle; \
         the biggest has {biggest}."
    )
}

pub(super) fn kind_missing(
    f: &mut Formatter<'_>,
    wanted: &Resources,
    lacking: &Piece,
) -> fmt::Result {
    write!(
        f,
        "No agent has {}{}, which a bundle of the framework's demand ({wanted}) needs.",
        lacking.name, lacking.flavor
    )
}

pub(super) fn does_not_fit(
    f: &mut Formatter<'_>,
    wanted: &Resources,
    lacking: u32,
    best_free: &Resources,
) -> fmt::Result {
    write!(
        f,
        "{lacking} bundles of {wanted} are wanted and fit on no agent now; the best has \
         {best_free} free."
    )
}

pub(super) fn filtered(f: &mut Formatter<'_>, agents: usize, first_until: Time) -> fmt::Result {
    write!(
        f,
        "The framework refused what {agents} agents have; the first filter ends at {} \
         (REVIVE ends them at once).",
        first_until.rfc_3339()
    )
}

pub(super) fn gpus(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(
        f,
        "{agents} agents have GPUs and are kept for frameworks with the capability GPU_RESOURCES."
    )
}

pub(super) fn elsewhere(
    f: &mut Formatter<'_>,
    agents: usize,
    holders: &[(FrameworkId, usize)],
) -> fmt::Result {
    write!(f, "{agents} agents are in offers to others:")?;
    for (id, offers) in holders.iter().take(3) {
        write!(f, " {id} ({offers})")?;
    }
    f.write_str(".")
}

pub(super) fn behind(
    f: &mut Formatter<'_>,
    (role, share): (&Role, u64),
    (first, first_share): (&Role, u64),
) -> fmt::Result {
    write!(
        f,
        "Role {role} has a dominant share of {share} thousandths; {first} has {first_share} and \
         comes first."
    )
}

pub(super) fn nothing_free(
    f: &mut Formatter<'_>,
    agents: usize,
    best: &AgentId,
    best_free: &Resources,
) -> fmt::Result {
    write!(
        f,
        "None of the {agents} agents has enough free to be worth an offer; {best} has {best_free}."
    )
}

pub(super) fn withheld(f: &mut Formatter<'_>, silent: usize, deactivated: usize) -> fmt::Result {
    write!(
        f,
        "{} agents are not offered from: {silent} are silent, {deactivated} are deactivated or \
         draining.",
        silent + deactivated
    )
}

pub(super) fn other_region(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(
        f,
        "{agents} agents are in another region than the master, and are kept for frameworks with \
         the capability REGION_AWARE."
    )
}

pub(super) fn at_limit(
    f: &mut Formatter<'_>,
    role: &Role,
    agents: usize,
    figures: &[(ResourceName, u64, u64)],
) -> fmt::Result {
    write!(f, "The limit of role {role} stands against offers of {agents} agents:")?;
    for (at, (name, consumed, most)) in figures.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (consumed, most) = (Milli(*consumed), Milli(*most));
        write!(f, "{comma} {name} {consumed} of {most} consumed")?;
    }
    f.write_str(".")
}

pub(super) fn kept(
    f: &mut Formatter<'_>,
    agents: usize,
    kept: &Quantities,
    roles: &[(Role, Quantities)],
) -> fmt::Result {
    write!(
        f,
        "What is free on {agents} agents is kept for guarantees ({} in the whole cluster):",
        amounts(kept)
    )?;
    for (at, (role, lacking)) in roles.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(f, "{comma} role {role} lacks {}", amounts(lacking))?;
    }
    f.write_str(".")
}

pub(super) fn too_small(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(
        f,
        "What may be offered of {agents} agents is not worth an offer: the rest is reserved to \
         other roles, or needs a capability."
    )
}

pub(super) fn not_demanded(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(f, "No bundle of the framework's demand fits into what it may have of {agents} agents.")
}

pub(super) fn stands(
    f: &mut Formatter<'_>,
    (role, share_milli): (&Role, u64),
    weight_milli: u64,
    consumed: &Quantities,
) -> fmt::Result {
    let weight = Milli(weight_milli);
    write!(
        f,
        "Role {role} has a dominant share of {share_milli} thousandths and the weight {weight}; it \
         consumes {}",
        amounts(consumed)
    )
}

/// What quota adds to how a role stands; ends the sentence.
pub(super) fn quota(
    f: &mut Formatter<'_>,
    guarantee: &Quantities,
    lacking: &Quantities,
    limits: &[(ResourceName, u64)],
) -> fmt::Result {
    if !guarantee.is_empty() {
        write!(f, ", is guaranteed {}", amounts(guarantee))?;
        if !lacking.is_empty() {
            write!(f, " and lacks {}", amounts(lacking))?;
        }
    }
    if !limits.is_empty() {
        f.write_str(", at most")?;
        for (name, most) in limits {
            write!(f, " {name}:{}", Milli(*most))?;
        }
    }
    f.write_str(".")
}

pub(super) fn frameworks(
    f: &mut Formatter<'_>,
    role: &Role,
    frameworks: usize,
    (disconnected, suppressed): (usize, usize),
) -> fmt::Result {
    write!(
        f,
        "Of {frameworks} frameworks of role {role} and below, {disconnected} are not connected and \
         {suppressed} suppressed their offers."
    )
}

pub(super) fn role_holds(
    f: &mut Formatter<'_>,
    role: &Role,
    offers: usize,
    resources: &Resources,
) -> fmt::Result {
    write!(
        f,
        "Frameworks of role {role} and below hold {offers} offers that they have not answered: \
         {resources}."
    )
}

/// Thousandths, as people write them.
struct Milli(u64);

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / 1000.0)
    }
}

fn amounts(quantities: &Quantities) -> String {
    if quantities.is_empty() {
        return "nothing".to_owned();
    }
    Resources::scalars(quantities.iter().map(|(name, milli)| (name.as_str(), milli))).to_string()
}
