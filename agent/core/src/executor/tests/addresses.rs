//! Where tasks of custom executors are.

use super::status;
use crate::testing::World;
use crate::{ExecutorInput, Input};
use proto::TaskState;
use std::net::Ipv4Addr;

const OWN: Ipv4Addr = Ipv4Addr::new(10, 198, 0, 2);

#[test]
fn tasks_are_at_their_executor_unless_it_knows_better() {
    let mut world = World::registered();
    world.employ(&["a", "b"], true);
    let container_id = world.home();
    world.step(Input::Launched { container_id, sandbox: "/s/e".into(), address: Some(OWN) });
    world.subscribe(1, &["a", "b"]);
    world.reports("a", TaskState::Running, 1);
    assert_eq!(world.last().address, Some(OWN));
    let mut update = status("b", TaskState::Running, 2).into_status();
    update.address = Some([10, 0, 0, 9].into());
    let update = proto::executor::Update::new(update).unwrap();
    world.says(ExecutorInput::Update(Box::new(update)));
    assert_eq!(world.last().address, Some([10, 0, 0, 9].into()));
}
