//! Looks over the network at real servers of this process, on loopback.

use super::*;
use crate::containerizer::ContainerId as Container;
use proto::{
    AgentId, Check, Checks, ContainerId, FrameworkId, FrameworkInfo, Resources, Role, TaskBody,
    TaskId, TaskInfo, TaskPayload,
};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpListener;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

fn look(kind: CheckKind, timeout: Duration) -> Look {
    let second = Duration::from_secs(1);
    let check = Check { kind, delay: second, interval: second, timeout };
    let checks = Some(Arc::new(Checks { health: None, check: Some(check) }));
    let task = TaskInfo {
        name: "t".into(),
        task_id: TaskId::new("t").unwrap(),
        agent_id: AgentId::new("a").unwrap(),
        resources: Resources::cpus_mem(1, 1),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { checks, ..TaskBody::default() }),
    };
    let launch = agent_core::Launch {
        container_id: ContainerId::new("c").unwrap(),
        framework: Arc::new(FrameworkInfo::new("root", "f")),
        framework_id: FrameworkId::new("f").unwrap(),
        role: Role::any(),
        task: Arc::new(task),
        gpus: Vec::new(),
    };
    Look { launch, subject: Subject::Check, number: 7, timeout }
}

/// What is seen, if anything.
async fn see(look: &Look) -> Option<Seen> {
    let (inbox, mut inputs) = mpsc::channel(1);
    assert!(begin(look, None, &inbox));
    drop(inbox);
    let seen = tokio::time::timeout(LIMIT, inputs.recv()).await.expect("looks have an end");
    seen.map(|input| match input {
        Input::Looked { number: 7, subject: Subject::Check, seen, .. } => seen,
        other => panic!("{other:?}"),
    })
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn http(port: u16, path: Option<&str>) -> Look {
    look(CheckKind::Http { port, path: path.map(Into::into), ipv6: false }, LIMIT)
}

/// A server of one request; gives what is seen of this answer, and the request.
async fn answered(path: Option<&str>, answer: &[u8]) -> (Seen, String) {
    let (listener, port) = listener().await;
    let answer = answer.to_vec();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        // In pieces, as networks may have it.
        for byte in answer.chunks(3) {
            let _ = stream.write_all(byte).await;
        }
        String::from_utf8(request).unwrap()
    });
    let seen = see(&http(port, path)).await.unwrap();
    (seen, server.await.unwrap())
}

#[tokio::test]
async fn a_connection_is_taken_or_not() {
    let (listener, port) = listener().await;
    let tcp = look(CheckKind::Tcp { port, ipv6: false }, LIMIT);
    assert_eq!(see(&tcp).await, Some(Seen::Connected));
    drop(listener);
    let Some(Seen::Refused(why)) = see(&tcp).await else { panic!("nobody listens") };
    assert!(why.starts_with(&format!("connecting to 127.0.0.1:{port}: ")), "{why}");
    let Some(Seen::Refused(_)) = see(&http(port, None)).await else { panic!("nobody listens") };
}

#[tokio::test]
async fn a_connection_that_takes_itself_is_taken_by_nobody() {
    // What the kernel may do to any connection to a free port of its own range, done on purpose.
    let (free, port) = listener().await;
    drop(free);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let own = socket.connect(address).await.unwrap();
    assert!(is_own(&own));
    let (listener, port) = listener().await;
    let other = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(!is_own(&other) && !is_own(&listener.accept().await.unwrap().0));
}

#[tokio::test]
async fn the_status_of_an_answer_is_seen_and_redirections_are_not_followed() {
    let (seen, request) = answered(Some("/ok?a=%20"), b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(seen, Seen::Answered(204));
    assert!(request.starts_with("GET /ok?a=%20 HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    let (seen, request) = answered(None, b"HTTP/1.0 500\r\n").await;
    assert_eq!(seen, Seen::Answered(500));
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    let redirection = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n";
    assert_eq!(answered(None, redirection).await.0, Seen::Answered(302));
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(answered(None, hints).await.0, Seen::Answered(200));
}

#[tokio::test]
async fn what_is_no_answer_is_nothing() {
    for no_answer in [&b"SSH-2.0-OpenSSH_9\r\n"[..], b"HTTP/1.1 abc\r\n", b"HTTP/1.1\r\n", b""] {
        let (seen, _) = answered(None, no_answer).await;
        assert!(matches!(seen, Seen::Nothing(_)), "{no_answer:?}: {seen:?}");
    }
    // More than a status line ever is.
    let mut endless = b"HTTP/1.1 200 ".to_vec();
    endless.resize(2 * ANSWER, b'x');
    let (seen, _) = answered(None, &endless).await;
    assert!(matches!(seen, Seen::Nothing(_)), "{seen:?}");
}

#[tokio::test]
async fn a_look_that_takes_too_long_is_given_up_without_a_word() {
    let (listener, port) = listener().await;
    let kind = CheckKind::Http { port, path: None, ipv6: false };
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        // Until the looker hangs up.
        let _ = stream.read_to_end(&mut all).await;
    });
    assert_eq!(see(&look(kind, Duration::from_millis(50))).await, None);
    tokio::time::timeout(LIMIT, silent).await.expect("its connection is closed").unwrap();
}

#[test]
fn how_commands_end_is_seen() {
    let command = look(CheckKind::Command(Box::default()), LIMIT);
    let (inbox, _inputs) = mpsc::channel(1);
    assert!(!begin(&command, None, &inbox), "that is not the network's");
    let seen = |result| match ended(&Container::new("c").unwrap(), number(&command), result) {
        Some(Input::Looked { subject: Subject::Check, number: 7, seen, .. }) => seen,
        other => panic!("{other:?}"),
    };
    assert_eq!(seen(Ok(WaitStatus::Exited(3))), Seen::Exited(Exit::Code(3)));
    assert_eq!(seen(Ok(WaitStatus::Signaled(9))), Seen::Exited(Exit::Signal(9)));
    let missing = LaunchError::Spawn { step: "execve /no".into(), errno: libc::ENOENT };
    assert!(matches!(seen(Err(missing)), Seen::Nothing(_)));
    assert!(matches!(seen(Err(LaunchError::Refused("full".into()))), Seen::Unable(_)));
}
