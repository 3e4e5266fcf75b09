//! A whole framework: takes the first offer that is big enough, runs one command, waits for its end.
//!
//! `cargo run -p driver --example hello -- 127.0.0.1:5050`

use driver::{Event, Framework, command_task};
use proto::{Resources, TaskId};
use std::time::Duration;

#[tokio::main]
#[allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program for people"
)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let master = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:5050".to_owned());
    let dir = std::env::temp_dir().join("tepui-hello");
    let mut framework = Framework::builder("hello").master(master).store(dir).start().await?;
    let needs = Resources::cpus_mem(100, 32_000); // a tenth of a cpu, 32 MB
    let mut launched = false;

    while let Some(event) = framework.next_event().await? {
        match event {
            Event::Subscribed(id) => println!("subscribed as {id}"),
            Event::Offers(offers) => {
                for offer in offers {
                    if !launched && offer.resources.contains(&needs) {
                        println!("launching on {}", offer.hostname);
                        let id = TaskId::new(format!("hello-{}", std::process::id()))?;
                        let task = command_task(&offer, id, "echo hello", needs.clone());
                        framework.launch(&offer, vec![task]);
                        launched = true;
                    } else {
                        framework.decline(&offer, Duration::from_secs(5));
                    }
                }
            }
            Event::Update(status) => {
                println!("{} is {}", status.task_id, status.state);
                framework.acknowledge(&status);
                if status.state.is_terminal() {
                    break;
                }
            }
            Event::Rescinded(_) | Event::Disconnected => {}
            Event::Refused(call, why) => println!("{call} was refused: {why}"),
        }
    }
    Ok(framework.teardown().await?)
}
