//! `tepui volumes destroy`: deletes a volume and what is in it.

use super::Which;
use crate::command::reserve::{apply, report};
use crate::failure::{Code, Failure};
use crate::output::milli;
use crate::{Print, Server, discover};
use proto::{ResourceChange, Resources};

/// What `tepui volumes destroy` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Its space stays reserved to the role. A volume that a task uses cannot be destroyed.

Examples:
  tepui volumes destroy S3 data            says what would be deleted, and does nothing
  tepui volumes destroy --yes S3 data")]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// Do it: what is in the volume does not come back.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Destroys the volume.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let (agent, volume) = options.which.find(&master).await?;
    let role = volume.flavor.reserved_to().map(ToString::to_string).unwrap_or_default();
    let (id, on) = (&options.which.volume, discover::id(&agent));
    if !options.yes {
        let size = milli(volume.size());
        let message =
            format!("this deletes the volume {id} ({size} MB) of {role} on {on}, and its content");
        return Err(Failure::new(Code::Usage, message).next(format!(
            "tepui volumes destroy --yes {on} {id} --role {role}, if that is what you want"
        )));
    }
    let volumes = Resources::from_iter([volume]);
    apply(&master, &agent, ResourceChange::Destroy { volumes: volumes.clone() }).await?;
    let space = volumes.without_volumes();
    report(options.print, &agent, &space, &format!("volume {id} of {role} is destroyed"));
    Ok(())
}
