//! `tepui teardown`: ends a framework and kills its tasks.

use crate::failure::{Code, Failure};
use crate::{Final, discover, output};
use proto::operator::Call;
use serde_json::json;

/// What `tepui teardown` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui teardown nightly           says what would be killed, and does nothing
  tepui teardown --yes 7f0c-0001   all its tasks are killed, and its id is never used again")]
pub(crate) struct Options {
    /// The framework's id or name.
    #[arg(value_name = "ID|NAME")]
    framework: String,
    #[command(flatten)]
    last: Final,
}

/// Ends the framework.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { framework, last: Final { yes, print, server } } = options;
    let master = discover::master(&server);
    let framework = discover::framework(&master, &framework).await?;
    let Some(id) = &framework.info.id else { return Err(Failure::other_answer()) };
    if !yes {
        let tasks = super::drain::tasks_of(&master, |task| task.framework_id == *id).await?;
        let name = &framework.info.name;
        let message = format!("this ends the framework {name} ({id}) and kills its {tasks}");
        let command = format!("tepui teardown --yes {id}");
        return Err(Final::withheld(output::plain(message), &command));
    }
    let answer = master.operator(&Call::Teardown(id.clone())).await;
    // The master answers 400 for a framework that it does not know, as Mesos does: it may just be
    // over.
    answer.map_err(|failure| match failure.message.contains("cannot be found") {
        true => Failure { code: Code::NotFound as u8, ..failure },
        false => failure,
    })?;
    match print.output {
        output::Form::Json => {
            output::print_json(&json!({ "framework_id": id.as_str(), "state": "completed" }));
        }
        output::Form::Table => output::print(&format!("{id} is over\n")),
    }
    Ok(())
}
