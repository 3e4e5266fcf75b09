//! A framework that does one thing at a time and notes when: no library between it and the wire, so
//! that what is measured is the cluster.

use grpc::{ClientOptions, Duplex, SchedulerClient};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{
    CommandInfo, ContainerInfo, Filters, FrameworkId, FrameworkInfo, Offer, Operation, Resources,
    TaskBody, TaskId, TaskInfo, TaskPayload, TaskState, TaskStatus,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is not wanted is declined for longer than everything here takes: others may have it.
const LONG: Filters = Filters { refuse: Duration::from_secs(86_400) };
/// An offer that is too small is better soon.
const SHORT: Filters = Filters { refuse: Duration::from_millis(5) };
/// What a task asks for, in thousandths of a cpu and of a MB: next to nothing.
const TASK: (u64, u64) = (10, 8_000);

/// A program, its arguments, and the image to run it in.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) words: &'a [&'a str],
    pub(crate) image: Option<&'a str>,
}

/// One that is subscribed.
pub(crate) struct Framework {
    stream: Duplex<Call, Event>,
    id: FrameworkId,
    tasks: u32,
    /// An offer that came while something else was awaited.
    offer: Option<Offer>,
}

impl Framework {
    /// Subscribes.
    pub(crate) async fn subscribe(master: &str) -> Self {
        let options = ClientOptions::default();
        let mut stream = SchedulerClient::connect(master, &options).await.expect("it listens");
        let subscribe = Subscribe {
            framework_info: FrameworkInfo::new("root", "bench"),
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
            fence: None,
        };
        let body = CallBody::Subscribe(Box::new(subscribe));
        let call = Call { framework_id: None, body };
        stream.sender.send(call).await.expect("the stream is open");
        loop {
            let event = stream.incoming.next().await.expect("the stream is open");
            if let Some(Event::Subscribed { framework_id: id, .. }) = event {
                return Self { stream, id, tasks: 0, offer: None };
            }
        }
    }

    /// Ends the framework and its tasks.
    pub(crate) async fn teardown(self) {
        self.call(CallBody::Teardown).await;
    }

    /// Launches the program, kills it as soon as it runs, and waits for its end: milliseconds from
    /// ACCEPT to TASK_RUNNING.
    pub(crate) async fn until_running(&mut self, program: Program<'_>) -> f64 {
        let (start, task) = self.launch(program).await;
        let running = self.update(&task).await;
        let took = start.elapsed();
        assert_eq!(running.state, TaskState::Running, "{running:?}");
        self.acknowledge(&running).await;
        let (task_id, agent_id) = (task.clone(), running.agent_id.clone());
        self.call(CallBody::Kill { task_id, agent_id, grace: None }).await;
        let ended = self.update(&task).await;
        assert_eq!(ended.state, TaskState::Killed, "{ended:?}");
        self.acknowledge(&ended).await;
        took.as_secs_f64() * 1e3
    }

    /// Launches the program and waits for its end: milliseconds from ACCEPT to TASK_FINISHED.
    pub(crate) async fn until_finished(&mut self, program: Program<'_>) -> f64 {
        let (start, task) = self.launch(program).await;
        let running = self.update(&task).await;
        assert_eq!(running.state, TaskState::Running, "{running:?}");
        self.acknowledge(&running).await;
        let ended = self.update(&task).await;
        let took = start.elapsed();
        assert_eq!(ended.state, TaskState::Finished, "{ended:?}");
        self.acknowledge(&ended).await;
        took.as_secs_f64() * 1e3
    }

    /// Sends the ACCEPT, and says when. An offer that was taken back meanwhile is no launch.
    async fn launch(&mut self, program: Program<'_>) -> (Instant, TaskId) {
        let offer = self.offer().await;
        self.tasks += 1;
        let task = task(&offer, self.tasks, program);
        let task_id = task.task_id.clone();
        let body = CallBody::Accept {
            offer_ids: vec![offer.id],
            operations: vec![Operation::Launch(vec![task])],
            filters: LONG,
        };
        let start = Instant::now();
        self.call(body).await;
        (start, task_id)
    }

    /// An offer with enough. What was declined before is asked for again.
    async fn offer(&mut self) -> Offer {
        if self.offer.is_none() {
            self.call(CallBody::Revive { roles: Vec::new() }).await;
        }
        let wanted = Resources::cpus_mem(TASK.0, TASK.1);
        loop {
            if let Some(offer) = self.offer.take() {
                if offer.resources.contains(&wanted) {
                    return offer;
                }
                self.decline(offer, SHORT).await;
            }
            if let Event::Update(status) = self.event().await {
                panic!("of which task: {status:?}");
            }
        }
    }

    /// The next update of a task.
    async fn update(&mut self, task: &TaskId) -> TaskStatus {
        loop {
            if let Event::Update(status) = self.event().await {
                assert_eq!(&status.task_id, task, "{status:?}");
                return status;
            }
        }
    }

    /// The next event; offers are kept, but no more than one.
    async fn event(&mut self) -> Event {
        let event = self.stream.incoming.next().await.expect("the stream is open");
        let event = event.expect("the event can be read");
        match &event {
            Event::Offers(offers) => {
                for offer in offers {
                    if let Some(earlier) = self.offer.replace(offer.clone()) {
                        self.decline(earlier, LONG).await;
                    }
                }
            }
            Event::Rescind(id) => drop(self.offer.take_if(|offer| offer.id == *id)),
            Event::Error(problem) => panic!("{problem}"),
            Event::Refused { .. } => panic!("{event:?}"),
            // What else there is says nothing that counts.
            _ => {}
        }
        event
    }

    async fn decline(&self, offer: Offer, filters: Filters) {
        self.call(CallBody::Decline { offer_ids: vec![offer.id], filters }).await;
    }

    async fn acknowledge(&self, status: &TaskStatus) {
        let body = CallBody::Acknowledge {
            agent_id: status.agent_id.clone().expect("an agent's update says whose"),
            task_id: status.task_id.clone(),
            uuid: status.uuid.expect("an agent's update is acknowledged"),
        };
        self.call(body).await;
    }

    async fn call(&self, body: CallBody) {
        let call = Call { framework_id: Some(self.id.clone()), body };
        self.stream.sender.send(call).await.expect("the stream is open");
    }
}

fn task(offer: &Offer, number: u32, program: Program<'_>) -> TaskInfo {
    let words: Vec<Arc<str>> = program.words.iter().map(|&word| Arc::from(word)).collect();
    let command = CommandInfo {
        shell: false,
        value: words.first().cloned(),
        arguments: words,
        ..CommandInfo::default()
    };
    let in_image = |name| ContainerInfo { image: Some(Arc::from(name)), ..Default::default() };
    let body = TaskBody {
        command: Some(command),
        container: program.image.map(in_image),
        ..TaskBody::default()
    };
    let task_id = TaskId::new(format!("probe-{number}")).expect("an id");
    TaskInfo {
        name: Arc::from(task_id.as_str()),
        task_id,
        agent_id: offer.agent_id.clone(),
        resources: Resources::cpus_mem(TASK.0, TASK.1),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&body),
    }
}

/// Runs a framework's work on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime starts"), work)
}
