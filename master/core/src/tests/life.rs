//! The life of one task.

use crate::testing::*;
use proto::TaskState;

#[test]
fn a_task_runs_and_ends() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    expect(
        &c.lines(),
        &[
            "c2 <- SUBSCRIBED m-0000",
            "c2 <- HEARTBEAT",
            "c2 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]",
        ],
    );
    let task = task_info("t1", "m-S0", cpus_mem(1, 64));
    expect(&c.launch(&framework, &["m-O0"], vec![task]), &["c1 <- RUN m-0000 * t1"]);
    let lines = c.update(&agent, &framework, "t1", TaskState::Running, 1);
    expect(&lines, &["c2 <- UPDATE t1 TASK_RUNNING executor ack 01"]);
    let lines = c.acknowledge(&framework, &agent, "t1", 1);
    expect(&lines, &["c1 <- ACKNOWLEDGE m-0000/t1 01"]);
    let lines = c.update(&agent, &framework, "t1", TaskState::Finished, 2);
    expect(
        &lines,
        &[
            "c2 <- UPDATE t1 TASK_FINISHED executor ack 02",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
    let lines = c.acknowledge(&framework, &agent, "t1", 2);
    expect(&lines, &["c1 <- ACKNOWLEDGE m-0000/t1 02"]);
}
