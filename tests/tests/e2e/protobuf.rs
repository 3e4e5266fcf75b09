//! A framework in Rust on the protobuf form of the v1 API, over a socket by hand.

use crate::cluster::{Cluster, LIMIT};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{
    Capabilities, Capability, CommandInfo, Encoding, Filters, FrameworkId, FrameworkInfo, Limits,
    Offer, Operation, Resources, Source, TaskBody, TaskId, TaskInfo, TaskPayload, TaskState,
    TaskStatus, Wire, recordio,
};
use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One subscription and its calls.
struct Framework {
    address: String,
    stream: BufReader<TcpStream>,
    stream_id: String,
    records: recordio::Decoder,
    id: Option<FrameworkId>,
    /// Came while something else was awaited.
    offers: VecDeque<Offer>,
}

fn request(address: &str, call: &Call, stream_id: Option<&str>) -> BufReader<TcpStream> {
    let body = call.encode(Encoding::Protobuf);
    let media = Encoding::Protobuf.media_type();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let with_id = stream_id.map(|id| format!("Mesos-Stream-Id: {id}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media}\r\n\
         Accept: {media}\r\n{with_id}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    BufReader::new(stream)
}

/// Reads the head of an answer: the status and the stream's id.
fn head(stream: &mut BufReader<TcpStream>) -> (u16, Option<String>) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut stream_id = None;
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("mesos-stream-id") {
            stream_id = Some(value.to_owned());
        }
    }
    (status, stream_id)
}

impl Framework {
    fn subscribe(cluster: &Cluster) -> Self {
        let mut info = FrameworkInfo::new("root", "by hand");
        info.capabilities = Capabilities::default().with(Capability::PartitionAware);
        let subscribe = Subscribe {
            framework_info: info,
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
        };
        let body = CallBody::Subscribe(Box::new(subscribe));
        let address = cluster.master_address.clone();
        let mut stream = request(&address, &Call { framework_id: None, body }, None);
        let (status, stream_id) = head(&mut stream);
        assert_eq!(status, 200);
        let records = recordio::Decoder::new(1 << 20);
        let stream_id = stream_id.expect("a Mesos-Stream-Id");
        let mut framework =
            Self { address, stream, stream_id, records, id: None, offers: VecDeque::new() };
        match framework.event() {
            Event::Subscribed { framework_id, .. } => framework.id = Some(framework_id),
            other => panic!("first comes SUBSCRIBED, not {other:?}"),
        }
        framework
    }

    fn event(&mut self) -> Event {
        loop {
            if let Some(record) = self.records.next_record().unwrap() {
                return Event::decode(&record, Encoding::Protobuf, &Limits::default()).unwrap();
            }
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).expect("a chunk's length");
            assert_ne!(length, 0, "the stream ended");
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).unwrap();
            self.records.push(&chunk[..length]);
        }
    }

    fn call(&self, body: CallBody) {
        let name = body.name().to_owned();
        let call = Call { framework_id: self.id.clone(), body };
        let (status, _) = head(&mut request(&self.address, &call, Some(&self.stream_id)));
        assert_eq!(status, 202, "{name}");
    }

    fn offer(&mut self) -> Offer {
        loop {
            if let Some(offer) = self.offers.pop_front() {
                return offer;
            }
            if let Event::Offers(offers) = self.event() {
                self.offers.extend(offers);
            }
        }
    }

    /// The next update, acknowledged.
    fn update(&mut self) -> TaskStatus {
        loop {
            match self.event() {
                Event::Update(status) => {
                    if let Some(uuid) = status.uuid {
                        let agent_id = status.agent_id.clone().expect("updates name their agent");
                        let task_id = status.task_id.clone();
                        self.call(CallBody::Acknowledge { agent_id, task_id, uuid });
                    }
                    return status;
                }
                Event::Offers(offers) => self.offers.extend(offers),
                _ => {}
            }
        }
    }

    /// Passes over updates until the task has this state.
    fn state(&mut self, task_id: &TaskId, state: TaskState) -> TaskStatus {
        loop {
            let status = self.update();
            if status.task_id == *task_id && status.state == state {
                return status;
            }
            assert!(!status.state.is_terminal(), "instead of {state:?}: {status:?}");
        }
    }

    fn launch(&mut self, name: &str, command: &str) -> TaskId {
        let offer = self.offer();
        let task_id = TaskId::new(name).unwrap();
        let command =
            CommandInfo { shell: true, value: Some(command.into()), ..CommandInfo::default() };
        let task = TaskInfo {
            name: name.into(),
            task_id: task_id.clone(),
            agent_id: offer.agent_id.clone(),
            resources: Resources::cpus_mem(100, 16_000),
            allocation_role: None,
            limits: Default::default(),
            executor: None,
            kill_grace: None,
            max_completion_time: None,
            payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
        };
        self.call(CallBody::Accept {
            offer_ids: vec![offer.id],
            operations: vec![Operation::Launch(vec![task])],
            filters: Filters { refuse: Duration::ZERO },
        });
        task_id
    }
}

#[test]
fn a_task_runs_to_its_end() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", false);
    let mut framework = Framework::subscribe(&cluster);
    let task = framework.launch("ends", "exit 0");
    let finished = framework.state(&task, TaskState::Finished);
    assert!(finished.uuid.is_some(), "an agent's update is acknowledged");
    framework.call(CallBody::Teardown);
}

#[test]
fn a_running_task_is_reconciled_and_killed() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", false);
    let mut framework = Framework::subscribe(&cluster);
    let task = framework.launch("sleeps", "exec sleep 1000");
    framework.state(&task, TaskState::Running);
    framework.call(CallBody::Reconcile { tasks: vec![(task.clone(), None)] });
    let known = framework.state(&task, TaskState::Running);
    assert_eq!((known.source, known.uuid), (Source::Master, None), "reconciliation needs no ack");
    framework.call(CallBody::Kill { task_id: task.clone(), agent_id: None, grace: None });
    framework.state(&task, TaskState::Killed);
    framework.call(CallBody::Teardown);
}

#[test]
fn a_teardown_ends_the_tasks() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", false);
    let mut framework = Framework::subscribe(&cluster);
    let mark = cluster.dir("mark").join("a-task-of-the-torn-down").display().to_string();
    let task = framework.launch("sleeps", &format!("sh -c 'sleep 1000; true' {mark}"));
    framework.state(&task, TaskState::Running);
    framework.call(CallBody::Teardown);
    crate::cluster::wait_for("the task to be gone", || {
        crate::cluster::mentioning(&mark).is_empty().then_some(())
    });
}
