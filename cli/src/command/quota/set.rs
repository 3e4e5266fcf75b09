//! `tepui quota set`: replaces what a role is guaranteed, what it may have, or both.

use crate::amounts::Scalars;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::{Print, Server, discover, output};
use proto::operator::{Call, Response};
use proto::{Quantities, QuotaConfig, Role};

/// Resources that need no agent to be believed in.
const KNOWN: [&str; 5] = ["cpus", "mem", "disk", "gpus", "ports"];

/// What `tepui quota set` takes.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("what").args(["guarantee", "limit"]).required(true).multiple(true)))]
#[command(after_help = "\
What is not given stays as it is; 'none' takes it away. A role's quota holds for it together with
all roles below it.

Examples:
  tepui quota set eng --guarantee cpus=4,mem=8192 --limit cpus=8
  tepui quota set eng/batch --limit cpus=2     may have 2 of the 8
  tepui quota set eng --limit none             keeps the guarantee only")]
pub(crate) struct Options {
    /// The role.
    #[arg(value_parser = crate::command::roles::own_role)]
    role: Role,
    /// Kept for the role, such as cpus=4,mem=8192.
    #[arg(long, value_name = "AMOUNTS")]
    guarantee: Option<Scalars>,
    /// The most that the role may have; a resource that is not named has no limit.
    #[arg(long, value_name = "AMOUNTS")]
    limit: Option<Scalars>,
    /// Set it even if the cluster cannot guarantee it, or if more than the limit is in use.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Sets the quota.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let was = super::of(&master, &options.role).await?;
    let mut quota = was.clone();
    if let Some(Scalars(guarantee)) = &options.guarantee {
        quota.guarantees = Quantities::default();
        guarantee.iter().for_each(|(name, milli)| quota.guarantees.add(name, *milli));
    }
    if let Some(Scalars(limit)) = options.limit {
        quota.limits = limit;
    }
    note_unknown(&master, &quota).await?;
    let call = Call::UpdateQuota { force: options.force, configs: vec![quota.clone()] };
    master.operator(&call).await.map_err(|failure| explained(failure, &options.role))?;
    match options.print.output {
        output::Form::Json => output::print_json(&super::view(&quota)),
        output::Form::Table => {
            let (now, was) = (super::words(&quota), super::words(&was));
            output::print(&format!("{}: {now} (was: {was})\n", options.role));
        }
    }
    Ok(())
}

/// A name that no agent has is more often a mistake than a plan.
async fn note_unknown(master: &Client, quota: &QuotaConfig) -> Result<(), Failure> {
    let names = quota.guarantees.iter().map(|(name, _)| name).chain(quota.limits.keys());
    let mut strange: Vec<_> = names.filter(|name| !KNOWN.contains(&name.as_str())).collect();
    if strange.is_empty() {
        return Ok(());
    }
    let Response::Agents(agents) = master.operator(&Call::GetAgents).await? else {
        return Err(Failure::other_answer());
    };
    for agent in &agents {
        let has = agent.info.resources.quantities();
        strange.retain(|name| has.get(name) == 0);
    }
    strange.dedup();
    for name in strange {
        output::say(&format!("note: no agent has a resource called '{name}'"));
    }
    Ok(())
}

/// The master answers 400 for all that it refuses, as Mesos does.
fn explained(failure: Failure, role: &Role) -> Failure {
    if failure.message.contains("set it with force") {
        let message = failure.message.replace("; set it with force all the same", "");
        return Failure::new(Code::Conflict, message)
            .next("tepui quota get shows what is in use; --force sets it all the same");
    }
    match failure.message.contains("the quota of role") {
        true => Failure { code: Code::Usage as u8, ..failure }
            .next(format!("tepui quota get {role} shows it and the quotas above it")),
        false => failure,
    }
}
