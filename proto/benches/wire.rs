//! How long the messages of the hot path take to write and to read, in nanoseconds.
//!
//! `cargo bench -p proto`. Medians of ten rounds; figures to read, not a test.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints and may panic")]

use proto::scheduler::{Call, CallBody, Event};
use proto::{
    AgentId, CommandInfo, Encoding, ExecutorId, Filters, FrameworkId, Limits, Offer, OfferId,
    Operation, Ranges, Resources, Role, Source, StatusUuid, TaskBody, TaskId, TaskInfo,
    TaskPayload, TaskState, TaskStatus, Time, Wire,
};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let status = Event::Update(status());
    measure("UPDATE", &status, 1);
    let acknowledge = Call {
        framework_id: Some(framework_id()),
        body: CallBody::Acknowledge {
            agent_id: agent_id(),
            task_id: task_id(7),
            uuid: StatusUuid([7; 16]),
        },
    };
    measure("ACKNOWLEDGE", &acknowledge, 1);
    let accept = Call {
        framework_id: Some(framework_id()),
        body: CallBody::Accept {
            offer_ids: vec![OfferId::new("3f0c2f5e-O12").unwrap()],
            operations: vec![Operation::Launch((0..100).map(task).collect())],
            filters: Filters::DEFAULT,
        },
    };
    measure("ACCEPT of 100 tasks, a task", &accept, 100);
    measure("OFFERS of 100 offers, an offer", &Event::Offers((0..100).map(offer).collect()), 100);
}

fn measure<T: Wire>(name: &str, value: &T, parts: u32) {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let bytes = value.encode(encoding);
        let write = median(|| drop(black_box(value.encode(encoding))));
        let read = median(|| drop(black_box(T::decode(&bytes, encoding, &Limits::DEFAULT))));
        println!(
            "{name:32} {encoding:8?} {:6} bytes  write {:6.0} ns  read {:6.0} ns",
            bytes.len() / parts as usize,
            write / f64::from(parts),
            read / f64::from(parts),
        );
    }
}

fn median(mut work: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..10)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..1000 {
                work();
            }
            start.elapsed().as_nanos() as f64 / 1000.0
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[5]
}

fn framework_id() -> FrameworkId {
    FrameworkId::new("3f0c2f5e-0003").unwrap()
}

fn agent_id() -> AgentId {
    AgentId::new("3f0c2f5e-S41").unwrap()
}

fn task_id(i: u32) -> TaskId {
    TaskId::new(format!("batch.wordcount.{i}")).unwrap()
}

fn status() -> TaskStatus {
    TaskStatus {
        agent_id: Some(agent_id()),
        executor_id: Some(ExecutorId::new("batch.wordcount.7").unwrap()),
        uuid: Some(StatusUuid([7; 16])),
        ..TaskStatus::new(
            task_id(7),
            TaskState::Running,
            Source::Executor,
            Time::from_millis(1_700_000_000_123),
        )
    }
}

fn task(i: u32) -> TaskInfo {
    let command = CommandInfo {
        shell: true,
        value: Some("sleep 100 && echo done".into()),
        environment: vec![("A".into(), "1".into()), ("PATH".into(), "/usr/bin:/bin".into())],
        ..CommandInfo::default()
    };
    TaskInfo {
        name: "wordcount".into(),
        task_id: task_id(i),
        agent_id: agent_id(),
        resources: Resources::cpus_mem(1000, 128_000),
        allocation_role: Some(Role::any()),
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
    }
}

fn offer(i: u32) -> Offer {
    let mut resources = Resources::scalars([("cpus", 4000), ("mem", 8_000_000), ("disk", 1000)]);
    resources.add_piece(proto::Piece {
        name: proto::ResourceName::new("ports"),
        flavor: proto::Flavor::default(),
        value: proto::Value::Ranges(Ranges::new([(31_000, 32_000)])),
    });
    Offer {
        id: OfferId::new(format!("3f0c2f5e-O{i}")).unwrap(),
        framework_id: framework_id(),
        agent_id: agent_id(),
        hostname: "10.0.0.1".into(),
        port: 5051,
        role: Role::any(),
        resources,
        attributes: vec![proto::Attribute::text("zone", "a")].into(),
        domain: None,
        executor_ids: Vec::new(),
        unavailability: None,
    }
}
