//! `tepui attach`: what a task prints from now on.

use super::find;
use crate::failure::Failure;
use crate::{Server, output};
use proto::agent_api::{Call, ContainerPath, ProcessIo, StandardStream};

/// What `tepui attach` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui attach web/0      what it prints from now on, both streams, until it ends

Tasks have no input: it is its output alone. 'tepui logs' shows what it printed before, and
'tepui exec -it' runs a shell beside it.")]
pub(crate) struct Options {
    /// JOB, JOB/INDEX when it has several units, or the id of any framework's task.
    task: String,
    /// The framework whose task it is, where several have one of that id.
    #[arg(long, value_name = "ID")]
    framework: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Prints until the task has ended.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let place = find(&options.server, &options.task, options.framework.as_deref()).await?;
    let container = ContainerPath { parent: None, id: place.container.clone() };
    let (_, mut records) = place.records(&Call::AttachContainerOutput { container }).await?;
    output::say(&format!(
        "attached to the output of {}, which takes no input; Ctrl-C leaves it running",
        options.task
    ));
    while let Some(record) = records.next().await? {
        match record {
            ProcessIo::Data(StandardStream::Stderr, bytes) => super::super::logs::to_stderr(&bytes),
            ProcessIo::Data(_, bytes) => output::print_bytes(&bytes),
            ProcessIo::Resized(_) | ProcessIo::Heartbeat { .. } => {}
        }
    }
    Ok(())
}
