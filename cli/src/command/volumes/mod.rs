//! `tepui volumes`: persistent volumes, whose content outlives the tasks that use them.
//!
//! A volume is made of disk that is reserved to a role, and bound to its agent. Its id is unique
//! for its role on its agent.

mod confirmed;
mod create;
mod destroy;
mod grow;
mod list;
mod shrink;

use crate::client::Client;
use crate::discover;
use crate::failure::{Code, Failure};
use proto::operator::AgentView;
use proto::{AgentId, Piece, Role, VolumeId};

/// Persistent volumes of roles.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// List volumes.
    List(list::Options),
    /// Make a volume of disk that is reserved to a role.
    Create(create::Options),
    /// Delete a volume and what is in it.
    Destroy(destroy::Options),
    /// Add space to a volume, from disk that is reserved to its role.
    Grow(grow::Options),
    /// Take space from a volume.
    Shrink(shrink::Options),
}

/// Runs one of the commands.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(options) => list::run(options).await,
        Command::Create(options) => create::run(options).await,
        Command::Destroy(options) => destroy::run(options).await,
        Command::Grow(options) => grow::run(options).await,
        Command::Shrink(options) => shrink::run(options).await,
    }
}

/// What tells volumes of one agent apart.
fn key(piece: &Piece) -> Option<(&Role, &VolumeId)> {
    Some((piece.flavor.reserved_to()?, &piece.flavor.volume()?.id))
}

/// Which volume is meant.
#[derive(clap::Args, Debug)]
pub(crate) struct Which {
    /// The agent's id, or what it ends with, such as S3.
    agent: AgentId,
    /// The volume's id.
    volume: VolumeId,
    /// Its role; needed when volumes of several roles have that id.
    #[arg(long, value_parser = crate::command::roles::own_role)]
    role: Option<Role>,
}

impl Which {
    /// The agent and the volume.
    async fn find(&self, master: &Client) -> Result<(AgentView, Piece), Failure> {
        let agent = discover::agent(master, &self.agent).await?;
        let piece = self.among(&agent)?.clone();
        Ok((agent, piece))
    }

    fn among<'a>(&self, agent: &'a AgentView) -> Result<&'a Piece, Failure> {
        let is_meant = |piece: &&Piece| {
            piece.flavor.volume().is_some_and(|volume| volume.id == self.volume)
                && self.role.as_ref().is_none_or(|role| piece.flavor.reserved_to() == Some(role))
        };
        let found: Vec<&Piece> = agent.info.resources.pieces().iter().filter(is_meant).collect();
        let (id, volume) = (discover::id(agent), &self.volume);
        match found.as_slice() {
            [one] => Ok(one),
            [] => {
                let message = format!("the agent {id} has no volume {volume}");
                Err(Failure::new(Code::NotFound, message)
                    .next("tepui volumes list shows all volumes"))
            }
            [_, ..] => {
                let roles = found.iter().filter_map(|piece| piece.flavor.reserved_to());
                let roles: Vec<String> = roles.map(|role| format!("--role {role}")).collect();
                let message = format!("{} volumes of {id} are called {volume}", roles.len());
                Err(Failure::new(Code::Usage, message).next(format!("give {}", roles.join(" or "))))
            }
        }
    }
}

/// Whole and parts of MB, above nothing.
fn megabytes(text: &str) -> Result<u64, String> {
    match crate::amounts::number(text)? {
        0 => Err("a size above 0 MB is needed".to_owned()),
        milli => Ok(milli),
    }
}
