//! `tepui volumes grow`: adds space to a volume, from disk that is reserved to its role.

use super::confirmed::confirmed;
use super::{Which, megabytes};
use crate::command::reserve::{apply, report};
use crate::failure::{Code, Failure};
use crate::output::milli;
use crate::{Print, Server, discover};
use proto::{Piece, ResourceChange, Resources, Value};

/// What `tepui volumes grow` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui volumes grow S3 data --by 512
  tepui volumes grow S3 data --by 512 --role eng")]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// How many MB to add.
    #[arg(long, value_name = "MB", value_parser = megabytes)]
    by: u64,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Grows the volume.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let (agent, volume) = options.which.find(&master).await?;
    // The same reservation, without the volume.
    let kind = Resources::from_iter([volume.clone()]).without_volumes();
    let Some(space) = kind.pieces().first() else { return Err(Failure::other_answer()) };
    let addition = Piece { value: Value::Scalar(options.by), ..space.clone() };
    if !agent.info.resources.contains(&Resources::from_iter([addition.clone()])) {
        let role = space.flavor.reserved_to().map(ToString::to_string).unwrap_or_default();
        let by = milli(options.by);
        let message = format!(
            "the agent {} has not {by} MB of disk that is reserved as the volume's is: disk{}",
            discover::id(&agent),
            space.flavor
        );
        return Err(Failure::new(Code::Conflict, message)
            .next(format!("tepui reserve {} disk={by} --role {role}", options.which.agent)));
    }
    let grown = Piece { value: Value::Scalar(volume.size() + options.by), ..volume.clone() };
    apply(&master, &agent, ResourceChange::Grow { volume, addition }).await?;
    confirmed(&master, &agent, &grown).await?;
    let how = format!("volume {} has grown", options.which.volume);
    report(options.print, &agent, &Resources::from_iter([grown]), &how);
    Ok(())
}
