//! `tepui kill`: ends a job, or one unit of it.

use crate::failure::Failure;
use crate::jobs_api::{self, Target};
use crate::{Print, Server, discover, output};

/// What `tepui kill` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui kill thumbs        the whole job
  tepui kill web/2         one replica; a service starts another")]
pub(crate) struct Options {
    /// JOB or JOB/INDEX.
    task: Target,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Kills it. Killing what has ended is no error.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let jobs = discover::jobs(&options.server).await?;
    let value = jobs_api::kill(&jobs, &options.task).await?;
    match options.print.output {
        output::Form::Json => output::print_json(&value),
        output::Form::Table => {
            let name = value["id"].as_str().or(value["task"].as_str()).unwrap_or_default();
            let state = value["state"].as_str().unwrap_or_default();
            output::print(&format!("{name} is {state}\n"));
        }
    }
    Ok(())
}
