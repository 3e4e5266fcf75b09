//! `tepui volumes destroy`: deletes a volume and what is in it.

use super::Which;
use crate::command::reserve::{apply, report};
use crate::failure::Failure;
use crate::output::milli;
use crate::{Final, discover};
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
    #[command(flatten)]
    last: Final,
}

/// Destroys the volume.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { which, last: Final { yes, print, server } } = options;
    let master = discover::master(&server);
    let (agent, volume) = which.find(&master).await?;
    let role = volume.flavor.reserved_to().map(ToString::to_string).unwrap_or_default();
    let (id, on) = (&which.volume, discover::id(&agent));
    if !yes {
        let size = milli(volume.size());
        let message =
            format!("this deletes the volume {id} ({size} MB) of {role} on {on}, and its content");
        let command = format!("tepui volumes destroy --yes {on} {id} --role {role}");
        return Err(Final::withheld(message, &command));
    }
    let volumes = Resources::from_iter([volume]);
    apply(&master, &agent, ResourceChange::Destroy { volumes: volumes.clone() }).await?;
    let space = volumes.without_volumes();
    report(print, &agent, &space, &format!("volume {id} of {role} is destroyed"));
    Ok(())
}
