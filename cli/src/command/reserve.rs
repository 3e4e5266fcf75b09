//! `tepui reserve`: keeps resources of an agent for a role.

use crate::amounts::{self, Amounts};
use crate::failure::{Code, Failure};
use crate::output::{self, Form};
use crate::{Print, Server, discover};
use proto::operator::{AgentView, Call};
use proto::{
    AgentId, Labels, Piece, Reservation, ReservationKind, ResourceChange, ResourceName, Resources,
    Role, Value,
};
use serde_json::json;

/// What `tepui reserve` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The master takes offers of the agent back if it must; what tasks use cannot be reserved.

Examples:
  tepui reserve S3 cpus=2,mem=1024 --role eng
  tepui reserve S3 disk=4096 --role eng --principal ops
  tepui reserve S3 cpus=1 --role eng/prod --from eng     refines what is eng's
  tepui reservations                                     lists what is reserved")]
pub(crate) struct Options {
    /// The agent's id, or what it ends with, such as S3.
    agent: AgentId,
    /// What to reserve, such as cpus=2,mem=1024,ports=[31000-31010].
    resources: Amounts,
    /// The role to keep them for, and the roles below it.
    #[arg(long, value_parser = super::roles::own_role)]
    role: Role,
    /// Who reserves them.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Take them from what is reserved to this role, which must be above the other.
    #[arg(long, value_name = "ROLE", value_parser = super::roles::own_role)]
    from: Option<Role>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Reserves.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let agent = discover::agent(&master, &options.agent).await?;
    let from = options.from.as_ref().map(|role| Owner { role, principal: None });
    let source = pick_all(&agent, &options.resources, from.as_ref())?;
    let resources = source.push_reservation(&Reservation {
        kind: ReservationKind::Dynamic,
        role: options.role.clone(),
        principal: options.principal.as_deref().map(Into::into),
        labels: Labels::new(),
    });
    let change = ResourceChange::Reserve { source: Resources::new(), resources: resources.clone() };
    apply(&master, &agent, change).await?;
    let role = &options.role;
    report(options.print, &agent, &resources, &format!("reserved to {role}"));
    Ok(())
}

/// Sends a change of an agent's resources.
pub(crate) async fn apply(
    master: &crate::client::Client,
    agent: &AgentView,
    change: ResourceChange,
) -> Result<(), Failure> {
    let Some(agent_id) = agent.info.id.clone() else { return Err(Failure::other_answer()) };
    change.conversion().map_err(|invalid| {
        Failure::new(Code::Usage, invalid.to_string())
            .next("tepui reservations and tepui volumes list show what there is")
    })?;
    master.operator(&Call::ChangeResources { agent_id, change }).await.map(drop)
}

/// Says what is now on the agent.
pub(crate) fn report(print: Print, agent: &AgentView, resources: &Resources, how: &str) {
    let id = discover::id(agent);
    match print.output {
        Form::Json => output::print_json(&json!({
            "agent_id": id,
            "resources": super::agents::quantities(resources),
            "state": how,
        })),
        Form::Table => {
            let amounts = amounts::resources(&resources.to_unreserved());
            output::print(&format!("{amounts} of {id}: {how}\n"));
        }
    }
}

/// Whose reserved resources are meant.
pub(crate) struct Owner<'a> {
    /// Reserved to exactly this role.
    pub(crate) role: &'a Role,
    /// And by this one, if given.
    pub(crate) principal: Option<&'a str>,
}

impl Owner<'_> {
    /// Whether it is theirs.
    pub(crate) fn has(&self, piece: &Piece) -> bool {
        let last = piece.flavor.reservations().last();
        last.is_some_and(|last| {
            last.role == *self.role
                && self.principal.is_none_or(|wanted| last.principal.as_deref() == Some(wanted))
        })
    }
}

/// The resources of an agent that amounts and an owner mean: unreserved ones without an owner.
pub(crate) fn pick_all(
    agent: &AgentView,
    wanted: &Amounts,
    owner: Option<&Owner<'_>>,
) -> Result<Resources, Failure> {
    wanted.0.iter().map(|(name, value)| pick(agent, name, value, owner)).collect()
}

/// The piece of one amount.
pub(crate) fn pick(
    agent: &AgentView,
    name: &ResourceName,
    value: &Value,
    owner: Option<&Owner<'_>>,
) -> Result<Piece, Failure> {
    let all = &agent.info.resources;
    let is_meant = |piece: &&Piece| {
        let owned = match owner {
            Some(owner) => owner.has(piece),
            None => piece.flavor.reservations().is_empty(),
        };
        piece.name == *name && owned && piece.flavor.volume().is_none() && !piece.flavor.revocable
    };
    let meant: Vec<&Piece> = all.pieces().iter().filter(is_meant).collect();
    let cut = |piece: &&Piece| Piece { value: value.clone(), ..Piece::clone(piece) };
    let enough: Vec<Piece> = meant
        .iter()
        .map(cut)
        .filter(|cut| all.contains(&Resources::from_iter([cut.clone()])))
        .collect();
    match (enough.as_slice(), meant.as_slice()) {
        ([one], _) => Ok(one.clone()),
        ([], _) => Err(too_little(agent, name, value, owner, &meant)),
        ([_, ..], _) => Err(ambiguous(agent, name, owner, &meant)),
    }
}

fn whose(owner: Option<&Owner<'_>>) -> String {
    match owner {
        None => "unreserved".to_owned(),
        Some(Owner { role, principal: None }) => format!("reserved to {role}"),
        Some(Owner { role, principal: Some(name) }) => format!("reserved to {role} by {name}"),
    }
}

fn too_little(
    agent: &AgentView,
    name: &ResourceName,
    wanted: &Value,
    owner: Option<&Owner<'_>>,
    meant: &[&Piece],
) -> Failure {
    let has: Vec<String> = meant.iter().map(|piece| piece.value.to_string()).collect();
    let has = if has.is_empty() { "none".to_owned() } else { has.join(" and ") };
    let (id, whose) = (discover::id(agent), whose(owner));
    let message = format!("the agent {id} has {has} of {name} {whose}; {wanted} is wanted");
    Failure::new(Code::Conflict, message).next("tepui reservations lists what is reserved")
}

fn ambiguous(
    agent: &AgentView,
    name: &ResourceName,
    owner: Option<&Owner<'_>>,
    meant: &[&Piece],
) -> Failure {
    let flavors: Vec<String> =
        meant.iter().map(|piece| format!("{name}{}", piece.flavor)).collect();
    let (id, whose) = (discover::id(agent), whose(owner));
    let message = format!(
        "the agent {id} has {name} {whose} of {} kinds: {}",
        meant.len(),
        flavors.join(", ")
    );
    Failure::new(Code::Conflict, message).next("--principal tells reservations of one role apart")
}

#[cfg(test)]
mod tests;
