//! An agent that is started again with other flags while its task runs: it keeps its id and the
//! task, the master offers what it has now, and what would take from the task is refused. And one
//! whose host was started anew, which has no tasks any more, and says so.

use crate::cluster::{Cluster, wait_for};
use crate::framework::Framework;
use crate::kill_master::is_alive;
use proto::{Reason, Resources, TaskState};
use std::process::Command;

#[test]
fn an_agent_grows_and_shrinks_and_changes_its_attributes_under_a_running_task() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512", false);
    let dir = cluster.dir("told");
    let mut framework = Framework::subscribe(&cluster);
    let before = framework.offer_with(|resources| resources.cpus() == 2_000);
    let (told, enough) = (dir.join("pid"), dir.join("enough"));
    let command = format!(
        "echo $$ >> {}; until [ -e {} ]; do sleep 0.02; done; exit 0",
        told.display(),
        enough.display()
    );
    let agent_id = before.agent_id.clone();
    let task = framework.launch_with(before, "t", &command, Resources::cpus_mem(1_500, 64_000));
    framework.state(&task, TaskState::Running);
    let start = |cluster: &mut Cluster, resources: &str, attributes: &str| {
        let agent = &mut cluster.agents[0];
        agent.kill_9();
        agent.set("--resources", resources);
        agent.set("--attributes", attributes);
        agent.again();
    };
    let zone = |offer: &proto::Offer| {
        let attributes = offer.attributes.iter().map(|a| format!("{}:{}", a.name, a.value));
        attributes.collect::<Vec<_>>().join(";")
    };

    // More of everything, a resource that it never had, and other attributes.
    start(&mut cluster, "cpus:4;mem:1024;licences:3", "zone:b;rack:7");
    let offer = framework.offer_with(|resources| resources.cpus() == 2_500);
    assert_eq!(
        (offer.agent_id.clone(), zone(&offer).as_str()),
        (agent_id.clone(), "zone:b;rack:7")
    );
    assert_eq!(offer.resources.scalar("licences"), 3_000);
    framework.call(decline(&offer));

    // Less than its task uses: refused by name, with what it needs at least.
    start(&mut cluster, "cpus:1;mem:1024", "zone:c");
    let code = wait_for("the agent to refuse", || cluster.agents[0].ended());
    let said = cluster.agents[0].words();
    assert_eq!(code, 5, "{said}");
    for part in ["task t of framework", "cpus:1.5; mem:64", "tepui drain"] {
        assert!(said.contains(part), "'{part}' is missing: {said}");
    }

    // Down to what it uses, and a little more.
    start(&mut cluster, "cpus:1.75;mem:128", "zone:d");
    let offer = framework.offer_with(|resources| resources.cpus() == 250);
    assert_eq!((offer.agent_id.clone(), zone(&offer).as_str()), (agent_id, "zone:d"));
    framework.call(decline(&offer));

    std::fs::write(&enough, "").unwrap();
    framework.state(&task, TaskState::Finished);
    let pids = std::fs::read_to_string(&told).unwrap();
    assert_eq!(pids.lines().count(), 1, "it was started once: {pids}");
}

fn decline(offer: &proto::Offer) -> proto::scheduler::CallBody {
    proto::scheduler::CallBody::Decline {
        offer_ids: vec![offer.id.clone()],
        filters: proto::Filters { refuse: std::time::Duration::ZERO },
    }
}

/// Needs root: an agent is shown another boot of its host by a mount of its own.
pub(crate) fn a_host_that_was_started_anew_has_lost_its_tasks_and_keeps_its_name() {
    let mut cluster = Cluster::start(1, "cpus:2;mem:512", false);
    let dir = cluster.dir("told");
    let mut framework = Framework::subscribe(&cluster);
    let before = framework.offer_with(|resources| resources.cpus() == 2_000);
    let agent_id = before.agent_id.clone();
    let told = dir.join("pid");
    let command = format!("echo $$ >> {}; exec sleep 3600", told.display());
    let task = framework.launch_with(before, "t", &command, Resources::cpus_mem(500, 64_000));
    framework.state(&task, TaskState::Running);
    let pid = wait_for("the task's number", || {
        std::fs::read_to_string(&told).ok()?.trim().parse::<u32>().ok()
    });

    // All that a power cut ends: the agent, its supervisor, and the task with that.
    cluster.agents[0].kill_9();
    let lock = cluster.place.path().join("agent-0/supervisor/supervisor.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let supervisor = lock.lines().next().unwrap();
    for process in [supervisor, &pid.to_string()] {
        // The task may be gone with its supervisor.
        Command::new("kill").args(["-KILL", process]).output().unwrap();
    }
    wait_for("the task to be gone", || (!is_alive(pid)).then_some(()));
    let boot = dir.join("boot_id");
    std::fs::write(&boot, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let mount = "mount --bind $0 /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let boot = boot.display().to_string();
    let prefix = ["unshare", "--mount", "sh", "-c", mount, &boot].map(str::to_owned);
    cluster.agents[0].again_under(&prefix);

    let end = framework.state(&task, TaskState::Gone);
    assert_eq!(end.reason, Some(Reason::AgentRebooted), "{end:?}");
    let offer = framework.offer_with(|resources| resources.cpus() == 2_000);
    assert_eq!(offer.agent_id, agent_id, "it is the same agent");
    let next = framework.launch_with(offer, "next", "exit 0", Resources::cpus_mem(500, 64_000));
    framework.state(&next, TaskState::Finished);
    assert_eq!(
        std::fs::read_to_string(&told).unwrap().lines().count(),
        1,
        "nobody started it again"
    );
}
