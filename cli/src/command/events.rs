//! `tepui events`: what happens in the cluster, as it happens.
//!
//! With `--follow` it outlives the master: it subscribes again after the last number that it saw.

#[cfg(test)]
mod tests;

use crate::failure::{Code, Failure};
use crate::{Print, Server, output, when};
use grpc::{ClientOptions, ConnectError, Duplex, WatchClient};
use proto::operator::{AgentView, Call, Event, FrameworkView, Resume, StreamEvent};
use proto::{Encoding, Time, Wire};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait before subscribing again.
const PAUSE: Duration = Duration::from_secs(1);

/// What `tepui events` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The time of an event is when it happened, as far as it says so itself; else when this command
heard of it. A dash stands for what came before the command began, or while the stream was cut.

Examples:
  tepui events               the last 20 events
  tepui events -f            and what happens from now on, until Ctrl-C
  tepui events -f -n 0 -o json | jq .type")]
pub(crate) struct Options {
    /// Go on with what happens from now on.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last events to begin with, as far as the master remembers them.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    last: u64,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Where a stream is.
struct Place {
    stream: Arc<str>,
    read: u64,
}

/// Prints events, one a line.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let form = options.print.output;
    watch(&options, |event, heard| print(event, heard, form)).await
}

/// Shows events one by one, and when each was heard, if that is about when it happened.
async fn watch(
    options: &Options,
    mut show: impl FnMut(&StreamEvent, Option<Time>),
) -> Result<(), Failure> {
    let (_, now) = subscribe(options, None).await?;
    let first =
        Place { stream: Arc::clone(&now.stream), read: now.read.saturating_sub(options.last) };
    let (mut stream, mut place) = subscribe(options, Some(&first)).await?;
    // What has a greater number came while somebody listened.
    let mut old = now.read;
    loop {
        if !options.follow && place.read >= now.read {
            return Ok(());
        }
        match stream.incoming.next().await {
            Ok(Some(event)) => {
                place.read = event.sequence.unwrap_or(place.read);
                let is_new = event.sequence.is_some_and(|number| number > old);
                show(&event, is_new.then(when::now));
            }
            Ok(None) | Err(_) if options.follow => {
                output::say("the stream was cut: subscribing again");
                (stream, place, old) = again(options, &place).await;
            }
            Ok(None) | Err(_) => {
                return Err(Failure::new(Code::Unavailable, "the master closed the stream")
                    .next("tepui events, once it is back"));
            }
        }
    }
}

/// Subscribes until it works; says as well up to which number nobody listened.
async fn again(options: &Options, place: &Place) -> (Duplex<Call, StreamEvent>, Place, u64) {
    loop {
        // A stream that ends at once must not become a loop without rest.
        tokio::time::sleep(PAUSE).await;
        let Ok((stream, found)) = subscribe(options, Some(place)).await else { continue };
        if found.stream != place.stream {
            output::say("a new master counts anew: what happened meanwhile is not told");
            let old = found.read;
            return (stream, found, old);
        }
        // The stream says where it goes on, not where it stands: another one does.
        let Ok((_, now)) = subscribe(options, None).await else { continue };
        if now.stream != found.stream {
            // A new master between the two.
            continue;
        }
        if found.read > place.read {
            output::say("some events are not remembered any more");
        }
        return (stream, found, now.read);
    }
}

async fn subscribe(
    options: &Options,
    after: Option<&Place>,
) -> Result<(Duplex<Call, StreamEvent>, Place), Failure> {
    let address = &options.server.master;
    let mut stream = connect(address).await?;
    let resume =
        after.map(|place| Resume { stream: Some(Arc::clone(&place.stream)), after: place.read });
    let ended = || {
        let message = format!("the master at {address} closed the stream");
        Failure::new(Code::Unavailable, message)
    };
    stream.sender.send(Call::Subscribe { resume }).await.map_err(|_| ended())?;
    match stream.incoming.next().await {
        Ok(Some(StreamEvent {
            sequence: Some(read),
            event: Event::Subscribed { stream: name, .. },
        })) => Ok((stream, Place { stream: name, read })),
        Ok(_) => Err(ended()),
        Err(status) => Err(Failure::new(Code::Failed, status.message().to_owned())),
    }
}

/// Connects to the first master that can be reached, or to the one that it names.
async fn connect(masters: &str) -> Result<Duplex<Call, StreamEvent>, Failure> {
    let attempt =
        |at: String| async move { WatchClient::connect(&at, &ClientOptions::default()).await };
    let masters = masters.split(',');
    let last = match grpc::follow_leader(masters, attempt, ConnectError::leader).await {
        Ok(stream) => return Ok(stream),
        Err(last) => last,
    };
    let why = last.map_or_else(String::new, |error| error.to_string());
    Err(Failure::new(Code::Unavailable, why)
        .next("start a cluster with 'tepui up', or name another with --master"))
}

/// `heard` when, if it is new.
fn print(event: &StreamEvent, heard: Option<Time>, form: output::Form) {
    match form {
        output::Form::Json => {
            let mut line = event.encode(Encoding::Json).to_vec();
            line.push(b'\n');
            output::print_bytes(&line);
        }
        output::Form::Table => {
            if let Some(line) = line(event, heard) {
                output::print(&line);
            }
        }
    }
}

fn line(event: &StreamEvent, heard: Option<Time>) -> Option<String> {
    let words = words(&event.event)?;
    let number = event.sequence.map(|n| format!("#{n}")).unwrap_or_default();
    let time = time_of(&event.event).or(heard).map_or_else(|| "-".to_owned(), when::show);
    Some(format!("{number:<8}  {time:<20}  {words}\n"))
}

/// When it happened, as far as it says so.
fn time_of(event: &Event) -> Option<Time> {
    match event {
        Event::TaskUpdated { status, .. } => Some(status.timestamp),
        Event::AgentAdded(agent) => Some(agent.reregistered.unwrap_or(agent.registered)),
        Event::FrameworkAdded(it) => Some(it.reregistered.unwrap_or(it.registered)),
        Event::TaskAdded(_)
        | Event::AgentUpdated(_)
        | Event::AgentRemoved(_)
        | Event::FrameworkUpdated(_)
        | Event::FrameworkRemoved(_)
        | Event::CutOff { .. }
        | Event::Subscribed { .. }
        | Event::Heartbeat => None,
    }
}

/// One line; nothing for what only keeps the stream alive.
fn words(event: &Event) -> Option<String> {
    Some(match event {
        Event::TaskAdded(task) => format!(
            "task added         {} {} of {} on {}",
            task.task_id, task.name, task.framework_id, task.agent_id
        ),
        Event::TaskUpdated { framework_id, status, state } => {
            let reason = status.reason.map(|reason| format!(" {}", reason.name()));
            let message = status.message.as_ref().map(|message| format!(": {message}"));
            format!(
                "task updated       {} of {framework_id} {}{}{}",
                status.task_id,
                state.name().trim_start_matches("TASK_"),
                reason.unwrap_or_default(),
                message.unwrap_or_default()
            )
        }
        Event::AgentAdded(agent) => format!("agent added        {}", agent_words(agent)),
        Event::AgentUpdated(agent) => format!("agent updated      {}", agent_words(agent)),
        Event::AgentRemoved(id) => format!("agent removed      {id}"),
        Event::FrameworkAdded(framework) => {
            format!("framework added    {}", framework_words(framework))
        }
        Event::FrameworkUpdated(framework) => {
            format!("framework updated  {}", framework_words(framework))
        }
        Event::FrameworkRemoved(info) => {
            let id = info.id.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("framework removed  {id} {}", info.name)
        }
        Event::CutOff { message, .. } => format!("cut off            {message}"),
        Event::Subscribed { .. } | Event::Heartbeat => return None,
    })
}

fn agent_words(agent: &AgentView) -> String {
    let id = agent.info.id.as_ref().map(ToString::to_string).unwrap_or_default();
    let state = super::agents::state(agent);
    format!("{id} {}:{} {state}", agent.info.hostname, agent.info.port)
}

fn framework_words(framework: &FrameworkView) -> String {
    let id = framework.info.id.as_ref().map(ToString::to_string).unwrap_or_default();
    let connected = if framework.connected { "connected" } else { "disconnected" };
    format!("{id} {} {connected}", framework.info.name)
}
