//! Sessions in containers of real tasks, over the agent's API.

use crate::rig::{Agent, Master, config, framework_id, shell, soon};
use agent::Stop;
use proto::agent_api::{
    AttachInput, Call, ContainerPath, ProcessIo, Response, StandardStream, WindowSize,
};
use proto::{CommandInfo, ContainerId, Encoding, Limits, Wire, recordio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const JSON: Encoding = Encoding::Json;

fn size(rows: u16, columns: u16) -> WindowSize {
    WindowSize { rows, columns }
}

/// Sends a call; the answer's head, and the stream with what follows it.
async fn post(agent: &Agent, kind: &str, body: &[u8]) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(agent.address).await.unwrap();
    let head = format!(
        "POST /api/v1 HTTP/1.0\r\nhost: agent\r\n{kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

pub(crate) async fn call(agent: &Agent, call: &Call) -> (String, TcpStream) {
    post(agent, "content-type: application/json", &call.encode(JSON)).await
}

async fn answer(agent: &Agent, asked: &Call) -> Result<Response, String> {
    let (head, mut stream) = call(agent, asked).await;
    let mut body = Vec::new();
    soon(stream.read_to_end(&mut body)).await.unwrap();
    if head.starts_with("HTTP/1.0 200") {
        Ok(Response::decode(&body, JSON, &Limits::DEFAULT).unwrap())
    } else {
        Err(format!("{} {}", &head[9..12], String::from_utf8(body).unwrap()))
    }
}

/// The container of the one task that runs.
pub(crate) async fn container(agent: &Agent) -> ContainerId {
    let asked = Call::GetContainers { show_nested: false, show_standalone: false };
    let Response::Containers(mut all) = answer(agent, &asked).await.unwrap() else { panic!() };
    let only = all.pop().unwrap();
    assert_eq!((all.len(), only.framework_id), (0, Some(framework_id())));
    only.container_id
}

/// What a session prints.
struct Output {
    stream: TcpStream,
    decoder: recordio::Decoder,
}

impl Output {
    fn new(stream: TcpStream) -> Self {
        Self { stream, decoder: recordio::Decoder::new(1 << 20) }
    }

    async fn next(&mut self) -> Option<ProcessIo> {
        loop {
            if let Some(record) = self.decoder.next_record().unwrap() {
                return Some(ProcessIo::decode(&record, JSON, &Limits::DEFAULT).unwrap());
            }
            let mut piece = [0; 4096];
            match soon(self.stream.read(&mut piece)).await.unwrap() {
                0 => return None,
                n => self.decoder.push(&piece[..n]),
            }
        }
    }

    /// Standard output up to this text.
    async fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            match self.next().await {
                Some(ProcessIo::Data(_, bytes)) => all += std::str::from_utf8(&bytes).unwrap(),
                Some(_) => {}
                None => panic!("{text:?} is not in {all:?}"),
            }
        }
        all
    }

    /// All of both streams.
    async fn rest(mut self) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(record) = self.next().await {
            match record {
                ProcessIo::Data(StandardStream::Stdout, bytes) => out.extend(bytes),
                ProcessIo::Data(StandardStream::Stderr, bytes) => err.extend(bytes),
                _ => {}
            }
        }
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }
}

pub(crate) struct Session {
    path: ContainerPath,
    output: Output,
}

impl Session {
    /// All that it prints: output and errors.
    pub(crate) async fn said(self) -> (String, String) {
        self.output.rest().await
    }
}

/// Begins a session that runs a line of shell.
pub(crate) async fn begin(
    agent: &Agent,
    name: &str,
    line: &str,
    terminal: Option<WindowSize>,
) -> Session {
    let parent = Some(container(agent).await);
    let path = ContainerPath { parent, id: ContainerId::new(name).unwrap() };
    let command = CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() };
    let launch = Call::LaunchNestedContainerSession {
        container: path.clone(),
        command: Box::new(command),
        terminal: terminal.map(Some),
    };
    let (head, stream) = call(agent, &launch).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.contains("message-content-type: application/json"), "{head}");
    Session { path, output: Output::new(stream) }
}

fn records(path: &ContainerPath, inputs: &[ProcessIo]) -> Vec<u8> {
    let first = AttachInput::Container(path.clone());
    let rest = inputs.iter().cloned().map(AttachInput::Io);
    let calls = std::iter::once(first).chain(rest).map(Call::AttachContainerInput);
    calls.flat_map(|call| recordio::encode(&call.encode(JSON))).collect()
}

fn typed(text: &str) -> ProcessIo {
    ProcessIo::Data(StandardStream::Stdin, text.as_bytes().to_vec().into())
}

/// Gives all of this; the head of the answer.
async fn give(agent: &Agent, path: &ContainerPath, inputs: &[ProcessIo]) -> String {
    let kind = "content-type: application/recordio\r\nmessage-content-type: application/json";
    post(agent, kind, &records(path, inputs)).await.0
}

/// How it ended, as wait(2) has it.
async fn status(agent: &Agent, path: &ContainerPath) -> Option<i32> {
    let wait = Call::WaitContainer { container: path.clone(), nested: true };
    match answer(agent, &wait).await.unwrap() {
        Response::Waited { nested: true, exit_status } => exit_status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_reads_and_prints_and_its_status_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "echo mine > here; exec sleep 1000")).await;
    let line = "cat here; echo $MESOS_TASK_ID; cat; echo oops >&2; seq 100000; exit 3";
    let session = begin(&agent, "s", line, None).await;
    let asked = Call::GetContainers { show_nested: true, show_standalone: false };
    let Response::Containers(all) = answer(&agent, &asked).await.unwrap() else { panic!() };
    assert!(all.iter().any(|view| view.parent == session.path.parent), "{all:?}");
    let inputs = [typed("one\n"), typed("two\n"), typed("")];
    let head = give(&agent, &session.path, &inputs).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let (out, err) = session.output.rest().await;
    let numbers: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert!(out == format!("mine\nt\none\ntwo\n{numbers}"), "{} bytes", out.len());
    assert_eq!((err.as_str(), status(&agent, &session.path).await), ("oops\n", Some(3 << 8)));
    // It is over, and takes nothing more.
    let head = give(&agent, &session.path, &inputs).await;
    assert!(head.starts_with("HTTP/1.0 409"), "{head}");
    // What cannot be run is refused at once, and a task that is not there as well.
    let parent = session.path.parent.clone();
    for (parent, value, user, wanted) in [
        (parent.clone(), "/no/such", None, "400 execve /no/such failed"),
        (ContainerId::new("x").ok(), "true", None, "404 no container x of a task is running"),
        (parent, "true", Some("nobody"), "400 command.user: 'nobody': what runs in a task's"),
    ] {
        let command = CommandInfo {
            value: Some(value.into()),
            user: user.map(Into::into),
            ..CommandInfo::default()
        };
        let refused = Call::LaunchNestedContainerSession {
            container: ContainerPath { parent, id: ContainerId::new("r").unwrap() },
            command: Box::new(command),
            terminal: None,
        };
        let words = answer(&agent, &refused).await.unwrap_err();
        assert!(words.starts_with(wanted), "{words}");
    }
    // Their pipes are removed beside.
    let pipes = dir.path().join("supervisor/sessions");
    crate::survival::until(|| std::fs::read_dir(&pipes).unwrap().count() == 0).await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_terminal_echoes_has_a_size_and_passes_keys_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "exec sleep 1000")).await;
    let line = "stty size; read word; echo got $word; stty size; exec sleep 1000";
    let mut session = begin(&agent, "s", line, Some(size(30, 100))).await;
    session.output.until("30 100\r\n").await;
    let inputs = [ProcessIo::Resized(size(24, 80)), typed("abc\n")];
    let head = give(&agent, &session.path, &inputs).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    let said = session.output.until("24 80\r\n").await;
    assert!(said.starts_with("abc\r\ngot abc\r\n"), "{said}");
    // Its input can be taken up again. Ctrl-C is the program's.
    give(&agent, &session.path, &[typed("\u{3}")]).await;
    session.output.rest().await;
    assert_eq!(status(&agent, &session.path).await, Some(2));
    agent.stop(Stop::EndTasks).await;
}

/// Waits until a file is there.
async fn there(path: &std::path::Path) {
    soon(async {
        while !path.exists() {
            // waits: between two looks at what another process makes
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until there is no such process.
async fn gone(pid: &str) {
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    soon(async {
        while process.exists() {
            // waits: for the supervisor, which tells nobody
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_with_its_client_its_task_and_its_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "exec sleep 1000")).await;
    // The client goes away.
    let left = begin(&agent, "client", "exec sleep 1000", None).await;
    drop(left.output);
    assert_eq!(status(&agent, &left.path).await, Some(9));
    // It is killed by a call.
    let killed = begin(&agent, "killed", "exec sleep 1000", None).await;
    let kill =
        Call::KillContainer { container: killed.path.clone(), signal: Some(15), nested: false };
    assert!(call(&agent, &kill).await.0.starts_with("HTTP/1.0 200"));
    killed.output.rest().await;
    assert_eq!(status(&agent, &killed.path).await, Some(15));
    // Its command ends, and what that left in its process group with it.
    let pid = dir.path().join("left");
    let line = format!("sleep 1000 > /dev/null 2>&1 & echo $! > {}", pid.display());
    let ended = begin(&agent, "ended", &line, None).await;
    ended.output.rest().await;
    assert_eq!(status(&agent, &ended.path).await, Some(0));
    gone(&std::fs::read_to_string(pid).unwrap()).await;
    // The task ends.
    let orphan = begin(&agent, "task", "exec sleep 1000", None).await;
    link.kill("t");
    link.end().await;
    orphan.output.rest().await;
    assert_eq!(status(&agent, &orphan.path).await, Some(9));
    // The agent ends, and the task goes on.
    link.start(shell("u", "exec sleep 1000")).await;
    let pid = dir.path().join("pid");
    let line = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", pid.display());
    let last = begin(&agent, "agent", &line, None).await;
    there(&pid).await;
    let pid = std::fs::read_to_string(pid).unwrap();
    agent.stop(Stop::KeepTasks).await;
    drop(last);
    gone(&pid).await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn whoever_attaches_sees_what_a_task_prints_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let go = dir.path().join("go");
    let line = format!(
        "echo before; until [ -e {} ]; do sleep 0.01; done; echo after; echo oops >&2",
        go.display()
    );
    link.start(shell("t", &line)).await;
    let log =
        format!("/files/log?path=/frameworks/{}/executors/t/runs/latest/stdout", framework_id());
    soon(async { while agent.get(&log).await.1 != "before\n" {} }).await;
    let container = ContainerPath { parent: None, id: container(&agent).await };
    let attach = Call::AttachContainerOutput { container };
    let (head, stream) = call(&agent, &attach).await;
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    std::fs::write(&go, "").unwrap();
    link.end().await;
    let (out, err) = Output::new(stream).rest().await;
    assert_eq!((out.as_str(), err.as_str()), ("after\n", "oops\n"));
    agent.stop(Stop::EndTasks).await;
}
