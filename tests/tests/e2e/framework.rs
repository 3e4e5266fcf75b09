//! A framework by hand: the protobuf form of the v1 API over a socket, with no client of ours.

use crate::cluster::{Cluster, LIMIT};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{
    Capabilities, Capability, CommandInfo, Encoding, Filters, FrameworkId, FrameworkInfo, Limits,
    Offer, OfferId, Operation, Resources, Role, TaskBody, TaskId, TaskInfo, TaskPayload, TaskState,
    TaskStatus, Wire, recordio,
};
use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One subscription and its calls.
pub(crate) struct Framework {
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
    /// One in the role `*`.
    pub(crate) fn subscribe(cluster: &Cluster) -> Self {
        Self::subscribe_as(cluster, "*")
    }

    /// One in a role.
    pub(crate) fn subscribe_as(cluster: &Cluster, role: &str) -> Self {
        let mut info = FrameworkInfo::new("root", "by hand");
        info.roles = [Role::new(role).unwrap()].into();
        info.capabilities =
            Capabilities::default().with(Capability::MultiRole).with(Capability::PartitionAware);
        let subscribe = Subscribe {
            framework_info: info,
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
            fence: None,
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

    /// One call that is taken.
    pub(crate) fn call(&self, body: CallBody) {
        let name = body.name().to_owned();
        let call = Call { framework_id: self.id.clone(), body };
        let (status, _) = head(&mut request(&self.address, &call, Some(&self.stream_id)));
        assert_eq!(status, 202, "{name}");
    }

    /// The next offer.
    pub(crate) fn offer(&mut self) -> Offer {
        self.offer_with(|_| true)
    }

    /// The next offer that is good for something; others are declined.
    pub(crate) fn offer_with(&mut self, is_good: impl Fn(&Resources) -> bool) -> Offer {
        loop {
            match self.offers.pop_front() {
                Some(offer) if is_good(&offer.resources) => return offer,
                Some(offer) => self.call(CallBody::Decline {
                    offer_ids: vec![offer.id],
                    filters: Filters { refuse: Duration::ZERO },
                }),
                None => {
                    let event = self.event();
                    self.note(event);
                }
            }
        }
    }

    /// Waits until an offer is taken back.
    pub(crate) fn rescinded(&mut self, id: &OfferId) {
        loop {
            match self.event() {
                Event::Rescind(rescinded) if rescinded == *id => return,
                other => self.note(other),
            }
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Offers(offers) => self.offers.extend(offers),
            Event::Rescind(id) => self.offers.retain(|offer| offer.id != id),
            _ => {}
        }
    }

    /// The next update, acknowledged.
    pub(crate) fn update(&mut self) -> TaskStatus {
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
                other => self.note(other),
            }
        }
    }

    /// Passes over updates until the task has this state.
    pub(crate) fn state(&mut self, task_id: &TaskId, state: TaskState) -> TaskStatus {
        loop {
            let status = self.update();
            if status.task_id == *task_id && status.state == state {
                return status;
            }
            // An update of another task may come again: it is told until it is acknowledged.
            let is_over = status.task_id == *task_id && status.state.is_terminal();
            assert!(!is_over, "instead of {state:?}: {status:?}");
        }
    }

    /// Launches a shell command on the next offer.
    pub(crate) fn launch(&mut self, name: &str, command: &str) -> TaskId {
        let offer = self.offer();
        self.launch_with(offer, name, command, Resources::cpus_mem(100, 16_000))
    }

    /// Launches a shell command with these resources of an offer.
    pub(crate) fn launch_with(
        &mut self,
        offer: Offer,
        name: &str,
        command: &str,
        resources: Resources,
    ) -> TaskId {
        self.launch_graced(offer, name, command, resources, None)
    }

    /// The same with its own time between TERM and KILL.
    pub(crate) fn launch_graced(
        &mut self,
        offer: Offer,
        name: &str,
        command: &str,
        resources: Resources,
        kill_grace: Option<Duration>,
    ) -> TaskId {
        let command =
            CommandInfo { shell: true, value: Some(command.into()), ..CommandInfo::default() };
        let body = TaskBody { command: Some(command), ..TaskBody::default() };
        self.launch_body(offer, name, &body, resources, kill_grace)
    }

    /// Launches what is described so with these resources of an offer.
    pub(crate) fn launch_body(
        &mut self,
        offer: Offer,
        name: &str,
        body: &TaskBody,
        resources: Resources,
        kill_grace: Option<Duration>,
    ) -> TaskId {
        let task_id = TaskId::new(name).unwrap();
        let task = TaskInfo {
            name: name.into(),
            task_id: task_id.clone(),
            agent_id: offer.agent_id.clone(),
            resources,
            allocation_role: None,
            limits: Default::default(),
            executor: None,
            kill_grace,
            max_completion_time: None,
            payload: TaskPayload::new(body),
        };
        self.call(CallBody::Accept {
            offer_ids: vec![offer.id],
            operations: vec![Operation::Launch(vec![task])],
            filters: Filters { refuse: Duration::ZERO },
        });
        task_id
    }
}
