//! `tepui unreserve`: gives reserved resources of an agent back to everybody.

use super::reserve::{Owner, apply, pick_all, report};
use crate::amounts::Amounts;
use crate::failure::Failure;
use crate::{Print, Server, discover};
use proto::{AgentId, ResourceChange, Role};

/// What `tepui unreserve` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Of a refined reservation only the last step is taken back. Volumes are destroyed first.

Examples:
  tepui unreserve S3 cpus=2,mem=1024 --role eng
  tepui unreserve S3 disk=4096 --role eng --principal ops")]
pub(crate) struct Options {
    /// The agent's id, or what it ends with, such as S3.
    agent: AgentId,
    /// What to give back, such as cpus=2,mem=1024.
    resources: Amounts,
    /// The role that they are reserved to.
    #[arg(long, value_parser = super::roles::own_role)]
    role: Role,
    /// Who reserved them; needed when several did.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Takes the reservation back.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let agent = discover::agent(&master, &options.agent).await?;
    let owner = Owner { role: &options.role, principal: options.principal.as_deref() };
    let resources = pick_all(&agent, &options.resources, Some(&owner))?;
    let change = ResourceChange::Unreserve { resources: resources.clone() };
    apply(&master, &agent, change).await?;
    let left = resources.pop_reservation();
    let how = match left.reservation_roles().next() {
        Some(role) => format!("reserved to {role} again"),
        None => "unreserved".to_owned(),
    };
    report(options.print, &agent, &resources, &how);
    Ok(())
}
