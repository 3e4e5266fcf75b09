//! `tepui volumes create`: a volume, of disk that is reserved to its role.

use super::confirmed::confirmed;
use super::megabytes;
use crate::command::reserve::{Owner, apply, pick, report};
use crate::failure::{Code, Failure};
use crate::output::milli;
use crate::{Print, Server, discover};
use proto::operator::AgentView;
use proto::{
    AgentId, Disk, Persistence, Piece, ResourceChange, ResourceName, Resources, Role, Value,
    VolumeId, VolumeMount,
};

/// What `tepui volumes create` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui reserve S3 disk=4096 --role eng
  tepui volumes create S3 data --size 1024 --role eng")]
pub(crate) struct Options {
    /// The agent's id, or what it ends with, such as S3.
    agent: AgentId,
    /// An id for the volume, unique for its role on its agent.
    volume: VolumeId,
    /// Its size in MB.
    #[arg(long, value_name = "MB", value_parser = megabytes)]
    size: u64,
    /// The role whose reserved disk it is made of.
    #[arg(long, value_parser = crate::command::roles::own_role)]
    role: Role,
    /// Who creates it; the disk must be reserved by the same.
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Where a task finds it, below its sandbox, unless its framework says otherwise. The
    /// volume's id by default.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Several tasks may use it at once.
    #[arg(long)]
    shared: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Creates the volume.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let agent = discover::agent(&master, &options.agent).await?;
    let (role, id) = (&options.role, &options.volume);
    let taken = agent.info.resources.pieces().iter().any(|piece| {
        piece.flavor.volume().is_some_and(|volume| volume.id == *id)
            && piece.flavor.reserved_to() == Some(role)
    });
    if taken {
        let message = format!("{role} has a volume {id} on {}", discover::id(&agent));
        return Err(Failure::new(Code::Conflict, message)
            .next("give it another id, or grow the one that is there"));
    }
    let owner = Owner { role, principal: options.principal.as_deref() };
    let size = Value::Scalar(options.size);
    let picked = pick(&agent, &ResourceName::new("disk"), &size, Some(&owner));
    let space = picked.map_err(|failure| {
        let short = milli(options.size.saturating_sub(greatest(&agent, &owner)));
        failure.next(format!("tepui reserve {} disk={short} --role {role}", options.agent))
    })?;
    let flavor = space.flavor.with(|special| {
        let source = special.disk.take().and_then(|disk| disk.source);
        let principal = options.principal.as_deref().map(Into::into);
        let persistence = Some(Persistence { id: id.clone(), principal });
        let path = options.path.as_deref().unwrap_or(id.as_str());
        let mount = Some(VolumeMount { container_path: path.into(), read_only: false });
        special.disk = Some(Disk { source, persistence, mount });
        special.shared = options.shared;
    });
    let volumes = Resources::from_iter([Piece { flavor, ..space }]);
    apply(&master, &agent, ResourceChange::Create { volumes: volumes.clone() }).await?;
    for volume in volumes.pieces() {
        confirmed(&master, &agent, volume).await?;
    }
    report(options.print, &agent, &volumes, &format!("volume {id} of {role}"));
    Ok(())
}

/// The most space of one reservation that is no volume.
fn greatest(agent: &AgentView, owner: &Owner<'_>) -> u64 {
    let is_meant = |piece: &&Piece| {
        piece.name.as_str() == "disk" && piece.flavor.volume().is_none() && owner.has(piece)
    };
    agent.info.resources.pieces().iter().filter(is_meant).map(Piece::size).max().unwrap_or(0)
}
