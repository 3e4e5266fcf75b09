//! What an agent may be started with while its tasks run.

use super::reconfiguration;
use crate::testing::{World, agent_info, exited, options, task};
use crate::{Effect, Input, Options};
use proto::agent_link::AgentCall;
use proto::{AgentInfo, Attribute, Domain, Exit, Resources, TaskInfo};

fn refusal(world: &World, change: impl FnOnce(&mut AgentInfo)) -> Result<(), String> {
    let mut info = agent_info();
    change(&mut info);
    reconfiguration(&world.found(), &info, "boot-1")
}

#[test]
fn what_is_more_or_only_said_may_change_while_tasks_run() {
    let mut world = World::registered();
    world.running("t");
    for change in [
        |_: &mut AgentInfo| {},
        |info: &mut AgentInfo| info.port = 6000,
        |info: &mut AgentInfo| info.attributes.push(Attribute::text("zone", "b")),
        |info: &mut AgentInfo| info.resources = Resources::cpus_mem(8_000, 2_048_000),
        |info: &mut AgentInfo| {
            info.domain = Some(Domain { region: "r".into(), zone: "z".into() });
        },
        // What its task uses, and no more.
        |info: &mut AgentInfo| info.resources = Resources::cpus_mem(1_000, 64_000),
    ] {
        assert_eq!(refusal(&world, change), Ok(()));
    }
}

#[test]
fn the_master_is_told_of_more_resources_with_the_tasks() {
    let mut world = World::registered();
    world.running("t");
    let info = AgentInfo {
        resources: Resources::cpus_mem(8_000, 2_048_000),
        attributes: vec![Attribute::text("zone", "b")],
        ..agent_info()
    };
    let options = Options { info: info.clone(), ..options() };
    let mut world = World::with(options, world.found());
    world.step(Input::LinkUp { link: world.link });
    let told = world.effects.iter().find_map(|effect| match effect {
        Effect::ToMaster { call: AgentCall::Reregister { info, tasks, .. }, .. } => {
            Some((info.clone(), tasks.len()))
        }
        _ => None,
    });
    let id = Some(crate::testing::agent_id());
    assert_eq!(told, Some((AgentInfo { id, ..info.clone() }, 1)));
    assert_eq!(*world.agent.free(), Resources::cpus_mem(7_000, 1_984_000));
    world.register();
    let kept = &world.disk.recovered.agent.as_ref().unwrap().info;
    assert_eq!(kept.resources, info.resources, "and it is on record");
    assert_eq!(world.kills, []);
}

#[test]
fn less_than_is_used_is_refused_with_the_task_and_the_least() {
    let mut world = World::registered();
    world.running("a");
    world.running("b");
    let small = |info: &mut AgentInfo| info.resources = Resources::cpus_mem(1_500, 2_048_000);
    let text = refusal(&world, small).unwrap_err();
    for part in ["task b of framework F1", "cpus", "at least 'cpus:2; mem:128'", "cpus:1.5"] {
        assert!(text.contains(part), "'{part}' is missing: {text}");
    }
    // One that is over uses nothing.
    world.exit("a", exited(Exit::Code(0)));
    assert_eq!(refusal(&world, small), Ok(()));
}

#[test]
fn what_a_task_uses_counts_though_its_record_is_lost() {
    let mut world = World::registered();
    let resources = Resources::cpus_mem(3_000, 64_000);
    world.run(TaskInfo { resources, ..task("t") });
    world.launched("t");
    let small = |info: &mut AgentInfo| info.resources = Resources::cpus_mem(2_000, 1_024_000);
    world.disk.recovered.tasks.clear();
    assert!(refusal(&world, small).unwrap_err().contains("task t of framework F1"));
    // And as well when only the record is there.
    let mut world = World::registered();
    world.run(TaskInfo { resources: Resources::cpus_mem(3_000, 64_000), ..task("t") });
    world.launched("t");
    world.containers.values_mut().for_each(|container| container.launch = None);
    assert!(refusal(&world, small).unwrap_err().contains("task t of framework F1"));
}

#[test]
fn what_would_be_another_place_is_refused_with_both_values() {
    let world = World::registered();
    let other = |info: &mut AgentInfo| info.hostname = "other".into();
    let text = refusal(&world, other).unwrap_err();
    assert!(text.contains("hostname") && text.contains("127.0.0.1") && text.contains("other"));
    let mut info = agent_info();
    info.hostname = "other".into();
    assert_eq!(reconfiguration(&world.found(), &info, "boot-2"), Ok(()), "after a reboot it may");

    let mut world = World::registered();
    let domain = |zone: &str| Some(Domain { region: "r".into(), zone: zone.into() });
    world.disk.recovered.agent.as_mut().unwrap().info.domain = domain("z");
    assert_eq!(refusal(&world, |info| info.domain = domain("z")), Ok(()));
    let text = refusal(&world, |info| info.domain = domain("y")).unwrap_err();
    assert!(text.contains("'r/z' to 'r/y'"), "{text}");
    assert!(refusal(&world, |_| {}).unwrap_err().contains("'none'"));
}
