//! An agent and nothing else, for this package's tests:
//! `agent MASTER WORK_DIR [--cgroups] [--collect] [--docker SOCKET] [--network SUBNET]
//! [--images DIR] SUPERVISE...`; `--collect` removes sandboxes at the end of their tasks, and a
//! subnet has 24 bits.
//!
//! It is a process of its own so that it can be killed. The product's own is `tepui agent`.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(master), Some(work_dir)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    let mut arguments = arguments.peekable();
    let cgroups = arguments.next_if(|argument| argument == "--cgroups").is_some();
    let collect = arguments.next_if(|argument| argument == "--collect").is_some();
    let docker = arguments.next_if(|argument| argument == "--docker");
    let docker = docker.and_then(|_| arguments.next());
    let network = arguments.next_if(|argument| argument == "--network");
    let subnet = network.and_then(|_| arguments.next()?.to_str()?.parse().ok());
    let images = arguments.next_if(|argument| argument == "--images");
    let images = images.and_then(|_| arguments.next());
    let supervise: Vec<OsString> = arguments.collect();
    #[cfg(feature = "failpoints")]
    agent::crash::arm();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let masters = vec![master.to_string_lossy().into_owned()];
        let mut config = agent::Config::new(masters, work_dir, supervise);
        config.cgroups = cgroups;
        config.policy.root = true;
        config.policy.image_store = images.map(Into::into);
        config.policy.docker = docker.map(agent::DockerPolicy::new);
        config.policy.network = subnet.map(|subnet| agent::NetworkPolicy {
            name: agent::NetworkPolicy::NAME.to_owned(),
            subnet,
            prefix: 24,
            masquerade: true,
            link_local: false,
            cluster: false,
        });
        if collect {
            config.gc_delay = std::time::Duration::ZERO;
        }
        let bandwidth = if subnet.is_some() { ";network:1000" } else { "" };
        config.resources = Some(format!("cpus:4000;mem:1000000;disk:1000{bandwidth}"));
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let Ok(listener) = agent::listen(address).await else { return ExitCode::FAILURE };
        match agent::run(config, listener, std::future::pending()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    })
}
