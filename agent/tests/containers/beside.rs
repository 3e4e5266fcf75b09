//! Programs that are run beside a container: where they are, how they end, and that they leave with it.

use std::time::Duration;

use agent::containerizer::{ContainerEvent, Containerizer, Launch, LaunchError, Root, WaitStatus};

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

/// What was given to a program before it was within walls leads nowhere there.
#[tokio::test]
async fn a_working_directory_that_became_a_link_leads_out_of_no_walls() {
    let Some(rig) = crate::enclosed::rig() else { return };
    let mut agent = rig.agent().await;
    let image = crate::enclosed::busybox(rig.dir.path());
    std::fs::create_dir_all(image.join("srv/w")).unwrap();
    let within = |name: &str, line: &str| {
        let mut launch = crate::enclosed::enclosed(name, line, Root::Image(image.clone()));
        launch.user = Some("0".into());
        launch.enclosure.as_mut().unwrap().directory = "/srv/w".into();
        launch
    };
    for descriptor in 0..24 {
        let name = format!("t{descriptor}");
        let link = format!("ln -s /proc/self/fd/{descriptor} /srv/w");
        let line = format!(
            "cd / && rm -r /srv/w && busybox {link} && busybox readlink /srv/w; exec sleep 1000"
        );
        let launched = agent.launched(within(&name, &line)).await;
        let told = crate::rig::filled(launched.sandbox.join("stdout")).await;
        assert!(told.starts_with("/proc/self/fd/"), "{told}");
        let found = look(&mut agent, within(&name, "ls ../../.."), BOUND).await;
        let Err(LaunchError::Spawn { step, .. }) = &found else {
            panic!("{descriptor}: {found:?}")
        };
        assert!(step.contains("working directory"), "{descriptor}: {step}");
        agent.native.destroy(&id(&name));
        agent.native.flush();
        agent.ended(&id(&name)).await;
    }
    rig.finish(agent).await;
}
