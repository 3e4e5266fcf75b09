//! A custom executor for tests: it speaks the executor API over plain sockets, and does what its
//! tasks' data say.
//!
//! `executor [json|protobuf]`. A task whose data is `finish` ends at once, one with `exit` ends the
//! executor, any other runs until it is killed. Bytes from the framework are sent back with
//! `echo: ` before them. It comes back to an agent that was away, with what nobody acknowledged.

use proto::executor::{Call, CallBody, Event, Update};
use proto::recordio::Decoder;
use proto::{
    Encoding, ExecutorId, FrameworkId, Limits, Source, StatusUuid, TaskId, TaskInfo, TaskState,
    TaskStatus, Time, Wire,
};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Between two attempts to reach the agent.
const PAUSE: Duration = Duration::from_millis(20);

struct Executor {
    endpoint: String,
    token: Option<String>,
    encoding: Encoding,
    framework_id: FrameworkId,
    executor_id: ExecutorId,
    tasks: BTreeMap<TaskId, TaskInfo>,
    updates: Vec<Update>,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

fn main() -> io::Result<()> {
    let protobuf = std::env::args().nth(1).is_some_and(|argument| argument == "protobuf");
    let mut executor = Executor {
        endpoint: variable("MESOS_AGENT_ENDPOINT"),
        token: std::env::var("MESOS_EXECUTOR_AUTHENTICATION_TOKEN").ok(),
        encoding: if protobuf { Encoding::Protobuf } else { Encoding::Json },
        framework_id: FrameworkId::new(variable("MESOS_FRAMEWORK_ID")).map_err(io::Error::other)?,
        executor_id: ExecutorId::new(variable("MESOS_EXECUTOR_ID")).map_err(io::Error::other)?,
        tasks: BTreeMap::new(),
        updates: Vec::new(),
    };
    let directory = std::env::current_dir()?;
    assert_eq!(directory, std::path::Path::new(&variable("MESOS_DIRECTORY")));
    std::fs::write("token", executor.token.as_deref().unwrap_or_default())?;
    loop {
        match executor.subscribe() {
            Ok(true) => return Ok(()),
            Ok(false) | Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

impl Executor {
    fn post(&self, body: CallBody, close: bool) -> io::Result<BufReader<TcpStream>> {
        let (framework_id, executor_id) = (self.framework_id.clone(), self.executor_id.clone());
        let body = Call { executor_id, framework_id, body }.encode(self.encoding);
        let media = self.encoding.media_type();
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let close = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "POST /api/v1/executor HTTP/1.1\r\nHost: agent\r\nContent-Type: {media}\r\n\
             Accept: {media}\r\n{close}{}Content-Length: {}\r\n\r\n",
            token.unwrap_or_default(),
            body.len()
        );
        let mut stream = TcpStream::connect(&self.endpoint)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        Ok(BufReader::new(stream))
    }

    /// A call that is answered with nothing but its status.
    fn call(&self, body: CallBody) -> io::Result<()> {
        let mut line = String::new();
        self.post(body, true)?.read_line(&mut line)?;
        match line.starts_with("HTTP/1.1 202") {
            true => Ok(()),
            false => Err(io::Error::other(line)),
        }
    }

    fn report(&mut self, task_id: &TaskId, state: TaskState) -> io::Result<()> {
        let mut status = TaskStatus::new(task_id.clone(), state, Source::Executor, Time::ZERO);
        status.uuid = Some(StatusUuid(*uuid::Uuid::new_v4().as_bytes()));
        let update = Update::new(status).map_err(io::Error::other)?;
        self.updates.push(update.clone());
        self.call(CallBody::Update(Box::new(update)))
    }

    /// Takes events until the stream ends; true when the executor is to end.
    fn subscribe(&mut self) -> io::Result<bool> {
        let mut stream = self.post(
            CallBody::Subscribe {
                unacknowledged_tasks: self.tasks.values().cloned().collect(),
                unacknowledged_updates: self.updates.clone(),
            },
            false,
        )?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(line));
        }
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line)?;
        }
        let mut decoder = Decoder::new(Limits::DEFAULT.body_bytes);
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
            if length == 0 {
                return Ok(false);
            }
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk)?;
            decoder.push(&chunk[..length]);
            while let Some(record) = decoder.next_record().map_err(io::Error::other)? {
                let event = Event::decode(&record, self.encoding, &Limits::DEFAULT);
                if self.take(event.map_err(io::Error::other)?)? {
                    return Ok(true);
                }
            }
        }
    }

    fn take(&mut self, event: Event) -> io::Result<bool> {
        match event {
            Event::Launch(task) => {
                let id = task.task_id.clone();
                let body = task.payload.open().map_err(io::Error::other)?;
                self.tasks.insert(id.clone(), *task);
                self.report(&id, TaskState::Running)?;
                match body.data.as_deref() {
                    Some(b"finish") => self.report(&id, TaskState::Finished)?,
                    Some(b"exit") => std::process::exit(3),
                    Some(_) | None => {}
                }
            }
            Event::Kill { task_id, .. } => self.report(&task_id, TaskState::Killed)?,
            Event::Acknowledged { task_id, uuid } => {
                self.updates.retain(|update| update.uuid() != uuid);
                self.tasks.remove(&task_id);
            }
            Event::Message(data) => {
                let echo = [b"echo: ", &*data].concat();
                self.call(CallBody::Message(echo.into()))?;
            }
            Event::Shutdown => return Ok(true),
            Event::LaunchGroup(_) | Event::Subscribed(_) | Event::Error(_) | Event::Heartbeat => {}
        }
        Ok(false)
    }
}
