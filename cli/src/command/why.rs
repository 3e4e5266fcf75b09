//! `tepui why`: why a task, a job or a framework does not get what it waits for.

use crate::failure::{Code, Failure};
use crate::jobs_api::{self, Target};
use crate::{Print, Server, discover, output};
use proto::FrameworkId;
use proto::operator::{Call, Response};
use serde_json::{Value, json};

/// What `tepui why` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui why thumbs          a job
  tepui why thumbs/17       one unit of it
  tepui why --framework ID  a framework, from the master's allocator")]
pub(crate) struct Options {
    /// JOB or JOB/INDEX.
    #[arg(required_unless_present = "framework")]
    task: Option<Target>,
    /// A framework's id.
    #[arg(long, value_name = "ID", conflicts_with = "task")]
    framework: Option<FrameworkId>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Prints the reasons, the most telling first.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    if let Some(framework) = options.framework {
        return explain(&options.server, framework, options.print).await;
    }
    let task = options.task.expect("clap demands a task without --framework");
    let jobs = discover::jobs(&options.server).await?;
    let why = jobs_api::why(&jobs, &task).await?;
    if options.print.output == output::Form::Json {
        output::print_json(&why);
        return Ok(());
    }
    let name = task.index.map_or(task.job.clone(), |index| format!("{}/{index}", task.job));
    let mut text = format!("{name} is {}\n", why["state"].as_str().unwrap_or("unknown"));
    for sentence in sentences(&why["reasons"]) {
        text += &format!("  {sentence}\n");
    }
    let master = sentences(&why["master"]);
    if !master.is_empty() {
        text += "the master says:\n";
        for sentence in master {
            text += &format!("  {sentence}\n");
        }
    }
    output::print(&text);
    Ok(())
}

fn sentences(list: &Value) -> Vec<&str> {
    list.as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

async fn explain(server: &Server, framework: FrameworkId, print: Print) -> Result<(), Failure> {
    let answer = discover::master(server).operator(&Call::Explain(framework.clone())).await;
    // The master answers 400 for a framework that it does not know, as Mesos does.
    let answer = answer.map_err(|failure| match failure.message.contains("cannot be found") {
        true => Failure { code: Code::NotFound as u8, ..failure },
        false => failure,
    })?;
    let Response::Explanation(reasons) = answer else {
        return Err(Failure::new(Code::Failed, "the master answered something else"));
    };
    let reasons: Vec<&str> = reasons.iter().map(|reason| &**reason).collect();
    match print.output {
        output::Form::Json => {
            output::print_json(&json!({ "framework_id": framework.as_str(), "reasons": reasons }));
        }
        output::Form::Table => output::print(&format!("{}\n", reasons.join("\n"))),
    }
    Ok(())
}
