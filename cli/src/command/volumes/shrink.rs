//! `tepui volumes shrink`: takes space from a volume; it stays reserved to the role.

use super::confirmed::confirmed;
use super::{Which, megabytes};
use crate::command::reserve::{apply, report};
use crate::failure::Failure;
use crate::{Print, Server, discover};
use proto::{Piece, ResourceChange, Resources, Value};

/// What `tepui volumes shrink` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Nothing in the volume is deleted by that.

Examples:
  tepui volumes shrink S3 data --by 256
  tepui volumes shrink S3 data --by 256 --role eng")]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    /// How many MB to take; less than the volume has.
    #[arg(long, value_name = "MB", value_parser = megabytes)]
    by: u64,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Shrinks the volume.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let (agent, volume) = options.which.find(&master).await?;
    let left = Value::Scalar(volume.size().saturating_sub(options.by));
    let shrunk = Piece { value: left, ..volume.clone() };
    apply(&master, &agent, ResourceChange::Shrink { volume, subtract_milli: options.by }).await?;
    confirmed(&master, &agent, &shrunk).await?;
    let how = format!("volume {} has shrunk", options.which.volume);
    report(options.print, &agent, &Resources::from_iter([shrunk]), &how);
    Ok(())
}
