//! `tepui quota rm`: a role is guaranteed nothing and limited by nothing of its own any more.

use crate::failure::{Code, Failure};
use crate::{Print, Server, discover, output};
use proto::operator::Call;
use proto::{QuotaConfig, Role};

/// What `tepui quota rm` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
It says what the quota was, so that it can be set again.

Examples:
  tepui quota rm eng
  tepui quota rm eng -o json > eng-quota.json")]
pub(crate) struct Options {
    /// The role.
    #[arg(value_parser = crate::command::roles::own_role)]
    role: Role,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Removes the quota.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let role = options.role;
    let was = super::of(&master, &role).await?;
    if was.is_none() {
        let message = format!("the role '{role}' has no quota of its own");
        return Err(Failure::new(Code::NotFound, message).next("tepui quota get lists all quotas"));
    }
    let none = QuotaConfig::none(role.clone());
    master.operator(&Call::UpdateQuota { force: false, configs: vec![none] }).await?;
    match options.print.output {
        output::Form::Json => output::print_json(&super::view(&was)),
        output::Form::Table => {
            output::print(&format!("{role}: no quota (was: {})\n", super::words(&was)));
        }
    }
    Ok(())
}
