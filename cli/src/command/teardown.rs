//! `tepui teardown`: ends a framework and kills its tasks.

use crate::failure::{Code, Failure};
use crate::{Print, Server, discover, output};
use proto::FrameworkId;
use proto::operator::Call;
use serde_json::json;

/// What `tepui teardown` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui frameworks                 find its id
  tepui teardown --yes 7f0c-0001   all its tasks are killed, and its id is never used again")]
pub(crate) struct Options {
    /// The framework's id.
    framework: FrameworkId,
    /// Do it: this cannot be taken back.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Ends the framework.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let id = &options.framework;
    if !options.yes {
        let message = format!("this ends the framework {id} and kills all its tasks");
        return Err(Failure::new(Code::Usage, message)
            .next(format!("tepui teardown --yes {id}, if that is what you want")));
    }
    let call = Call::Teardown(id.clone());
    let answer = discover::master(&options.server).operator(&call).await;
    // The master answers 400 for a framework that it does not know, as Mesos does.
    answer.map_err(|failure| match failure.message.contains("cannot be found") {
        true => Failure { code: Code::NotFound as u8, ..failure },
        false => failure,
    })?;
    match options.print.output {
        output::Form::Json => {
            output::print_json(&json!({ "framework_id": id.as_str(), "state": "completed" }));
        }
        output::Form::Table => output::print(&format!("{id} is over\n")),
    }
    Ok(())
}
