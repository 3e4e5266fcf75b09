//! The sentences that people read of the reasons, one function each.

use proto::{AgentId, FrameworkId, Piece, Quantities, ResourceName, Resources, Role, Time};
use std::fmt::{self, Formatter};
use std::time::Duration;

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
    write!(
        f,
        "The framework holds {} that it has not answered: {}.",
        Count(offers, "offer"),
        flags(resources)
    )
}

pub(super) fn too_big(
    f: &mut Formatter<'_>,
    wanted: &Resources,
    biggest: &Resources,
) -> fmt::Result {
    write!(
        f,
        "One bundle of the framework's demand ({}) is more than any agent has, even idle; the \
         biggest has {}.",
        flags(wanted),
        flags(biggest)
    )
}

pub(super) fn kind_missing(
    f: &mut Formatter<'_>,
    wanted: &Resources,
    lacking: &Piece,
) -> fmt::Result {
    write!(
        f,
        "No agent has {}{}, which a bundle of the framework's demand ({}) needs.",
        lacking.name,
        lacking.flavor,
        flags(wanted)
    )
}

pub(super) fn does_not_fit(
    f: &mut Formatter<'_>,
    wanted: &Resources,
    lacking: u32,
    best_free: &Resources,
) -> fmt::Result {
    let (wanted, best_free) = (flags(wanted), flags(best_free));
    write!(
        f,
        "{} on no agent now; the best has {best_free} free.",
        match lacking {
            1 => format!("1 bundle of {wanted} is wanted and fits"),
            _ => format!("{lacking} bundles of {wanted} are wanted and fit"),
        }
    )
}

pub(super) fn filtered(f: &mut Formatter<'_>, agents: usize, first_until: Time) -> fmt::Result {
    write!(
        f,
        "The framework refused what {} {}; the first filter ends at {} (REVIVE ends them at once).",
        Count(agents, "agent"),
        one_or(agents, "has", "have"),
        first_until.rfc_3339()
    )
}

pub(super) fn gpus(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(
        f,
        "{} {} kept for frameworks with the capability GPU_RESOURCES.",
        Count(agents, "agent"),
        one_or(agents, "has GPUs and is", "have GPUs and are")
    )
}

pub(super) fn elsewhere(
    f: &mut Formatter<'_>,
    agents: usize,
    holders: &[(FrameworkId, usize)],
) -> fmt::Result {
    let are = one_or(agents, "is", "are");
    write!(f, "{} {are} in offers to others:", Count(agents, "agent"))?;
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
        "Role {role} has a dominant share of {}; {first} has {} and comes first.",
        Percent(share),
        Percent(first_share)
    )
}

pub(super) fn nothing_free(
    f: &mut Formatter<'_>,
    agents: usize,
    best: &AgentId,
    best_free: &Resources,
) -> fmt::Result {
    match agents {
        1 => f.write_str("The only agent has not")?,
        _ => write!(f, "None of the {agents} agents has")?,
    }
    write!(f, " enough free to be worth an offer; {best} has {}.", flags(best_free))
}

pub(super) fn withheld(f: &mut Formatter<'_>, silent: usize, deactivated: usize) -> fmt::Result {
    let agents = silent + deactivated;
    write!(
        f,
        "{} {} not offered from: {silent} silent, {deactivated} deactivated or draining.",
        Count(agents, "agent"),
        one_or(agents, "is", "are")
    )
}

pub(super) fn other_region(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(
        f,
        "{} {are} in another region than the master, and {are} kept for frameworks with the \
         capability REGION_AWARE.",
        Count(agents, "agent"),
        are = one_or(agents, "is", "are")
    )
}

pub(super) fn at_limit(
    f: &mut Formatter<'_>,
    role: &Role,
    agents: usize,
    figures: &[(ResourceName, u64, u64)],
) -> fmt::Result {
    let agents = Count(agents, "agent");
    write!(f, "The limit of role {role} stands against offers of {agents}:")?;
    for (at, (name, consumed, most)) in figures.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (consumed, most) = (Milli(*consumed), Milli(*most));
        write!(f, "{comma} {name} {consumed} of {most} consumed")?;
    }
    f.write_str(".")
}

pub(super) fn unknown(
    f: &mut Formatter<'_>,
    role: &Role,
    agents: usize,
    wait: Duration,
) -> fmt::Result {
    write!(
        f,
        "What role {role} uses on {} that {} not come back to this master yet is not known: until \
         then, for at most {} s, all that it could use there counts towards its limit.",
        Count(agents, "agent"),
        one_or(agents, "has", "have"),
        wait.as_secs_f64().ceil()
    )
}

pub(super) fn kept(
    f: &mut Formatter<'_>,
    agents: usize,
    kept: &Quantities,
    roles: &[(Role, Quantities)],
) -> fmt::Result {
    write!(
        f,
        "What is free on {} is kept for guarantees ({} in the whole cluster):",
        Count(agents, "agent"),
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
        "What may be offered of {} is not worth an offer: the rest is reserved to other roles, or \
         needs a capability.",
        Count(agents, "agent")
    )
}

pub(super) fn not_demanded(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    let agents = Count(agents, "agent");
    write!(f, "No bundle of the framework's demand fits into what it may have of {agents}.")
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
        "Role {role} has a dominant share of {} and the weight {weight}; it consumes {}",
        Percent(share_milli),
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
        f.write_str("; its limit is")?;
        for (at, (name, most)) in limits.iter().enumerate() {
            let comma = if at == 0 { " " } else { "," };
            write!(f, "{comma}{name}={}", Milli(*most))?;
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
    match frameworks {
        1 => write!(f, "The only framework of role {role} and below")?,
        _ => write!(f, "Of {frameworks} frameworks of role {role} and below,")?,
    }
    let number = |count: usize| if frameworks == 1 { String::new() } else { format!(" {count}") };
    if disconnected > 0 {
        write!(f, "{} {} not connected", number(disconnected), one_or(disconnected, "is", "are"))?;
    }
    if suppressed > 0 {
        let and = if disconnected > 0 { " and" } else { "" };
        let whose = one_or(suppressed, "its", "their");
        write!(f, "{and}{} suppressed {whose} offers", number(suppressed))?;
    }
    f.write_str(".")
}

pub(super) fn role_holds(
    f: &mut Formatter<'_>,
    role: &Role,
    offers: usize,
    resources: &Resources,
) -> fmt::Result {
    write!(
        f,
        "Frameworks of role {role} and below hold {} that they have not answered: {}.",
        Count(offers, "offer"),
        flags(resources)
    )
}

pub(super) fn none_connected(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    match agents {
        1 => f.write_str("The only agent is not connected."),
        _ => write!(f, "None of the {agents} agents is connected."),
    }
}

pub(super) fn constrained(f: &mut Formatter<'_>, agents: usize) -> fmt::Result {
    write!(f, "The framework's offer constraints exclude {}.", Count(agents, "agent"))
}

/// So many of something whose plural ends with an s.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, one_or(self.0, "", "s"))
    }
}

/// What is said of one, or of another number.
fn one_or(count: usize, one: &'static str, others: &'static str) -> &'static str {
    if count == 1 { one } else { others }
}

/// Thousandths, as people write them.
struct Milli(u64);

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / 1000.0)
    }
}

/// A share in thousandths, as people write it.
struct Percent(u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}%", self.0 / 10, self.0 % 10)
    }
}

/// Resources as the command line reads and writes them: `cpus=0.5,mem=64`.
fn flags(all: &Resources) -> impl fmt::Display {
    all.as_flags("nothing")
}

fn amounts(quantities: &Quantities) -> String {
    let all = quantities.iter().map(|(name, milli)| (name.as_str(), milli));
    flags(&Resources::scalars(all)).to_string()
}
