//! Programs that are run beside a container: where they are, how they end, and that they leave with it.

use std::time::Duration;

use agent::containerizer::{ContainerEvent, Containerizer, Launch, LaunchError, WaitStatus};

use crate::rig::{Agent, BOUND, Rig, id, shell};

/// With cgroups (where permitted) and without.
fn rigs() -> Vec<Rig> {
    Rig::with_cgroups().into_iter().chain([Rig::new(false)]).collect()
}

async fn look(
    agent: &mut Agent,
    launch: Launch,
    limit: Duration,
) -> Result<WaitStatus, LaunchError> {
    agent.native.look(launch, 7, limit);
    agent.native.flush();
    let event = agent.until(|event| matches!(event, ContainerEvent::Looked { .. })).await;
    match event {
        ContainerEvent::Looked { number: 7, result, .. } => result,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_is_in_the_containers_cgroup_and_directory_and_what_it_leaves_ends_with_it() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        agent.native.launch(shell("t", "touch here; exec sleep 1000"));
        agent.native.flush();
        let event = agent.until(|event| matches!(event, ContainerEvent::Launched { .. })).await;
        let ContainerEvent::Launched { launched, .. } = event else { panic!("{event:?}") };
        // It leaves a process behind, in a session of its own.
        let mut program =
            shell("t", "cat /proc/self/cgroup > seen; echo $A > var; setsid sleep 1000 & exit 3");
        program.environment = vec![("A".into(), "b".into())];
        assert_eq!(look(&mut agent, program, BOUND).await, Ok(WaitStatus::Exited(3)));
        let file = |name: &str| std::fs::read_to_string(launched.sandbox.join(name)).unwrap();
        let own = std::fs::read_to_string(format!("/proc/{}/cgroup", launched.pid)).unwrap();
        assert_eq!((file("seen"), file("var").as_str()), (own, "b\n"));

        let late = look(&mut agent, shell("t", "sleep 1000"), Duration::from_millis(50)).await;
        assert_eq!(late, Ok(WaitStatus::Signaled(9)));
        let mut missing = shell("t", "");
        missing.program =
            agent::containerizer::Program::Exec { file: "/no/such".into(), argv: Vec::new() };
        let refused = look(&mut agent, missing, BOUND).await;
        assert!(
            matches!(refused, Err(LaunchError::Spawn { errno: libc::ENOENT, .. })),
            "{refused:?}"
        );

        // Beside nothing there is nothing, and nobody waits for it: the next answer is another's.
        agent.native.look(shell("unknown", "true"), 9, BOUND);
        assert_eq!(look(&mut agent, shell("t", "true"), BOUND).await, Ok(WaitStatus::Exited(0)));

        agent.native.kill(&id("t"), Duration::ZERO);
        agent.native.flush();
        agent.until(|event| matches!(event, ContainerEvent::Ended { .. })).await;
        agent.native.forget(&id("t"));
        // Which finds what is left of it, if anything is.
        rig.finish(agent).await;
    }
}
