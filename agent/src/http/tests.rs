//! The API over a real socket-less router and real files.

use super::{Ask, Context, EntryError, Health, SessionsFrom, router};
use crate::containerizer::{ContainerEvent, WaitStatus};
use crate::sandboxes::{Place, Sandboxes};
use crate::sessions::Sessions;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use proto::{ContainerId, FrameworkId, TaskId};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tower::ServiceExt;

struct Api {
    sandboxes: Sandboxes,
    router: axum::Router,
    asks: mpsc::Receiver<Ask>,
    sessions: Sessions,
    /// Where their pipes are, for this one alone: what is there from before is removed.
    _pipes: tempfile::TempDir,
}

fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

impl Api {
    fn new() -> Self {
        Self::with_sessions(SessionsFrom::Anywhere)
    }

    fn with_sessions(from: SessionsFrom) -> Self {
        let sandboxes = Sandboxes::default();
        let (sender, asks) = mpsc::channel(1);
        let pipes = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(pipes.path().join("sessions"));
        let rights = (sessions.clone(), from);
        let router = router(Context::new(sandboxes.clone(), rights, sender));
        Self { sandboxes, router, asks, sessions, _pipes: pipes }
    }

    /// With the files of a running task `t` of framework `F` in container `c`.
    fn with_files(dir: &Path) -> Self {
        let api = Self::new();
        let task = (FrameworkId::new("F").unwrap(), TaskId::new("t").unwrap());
        let place = Place { path: Some(dir.to_owned()), running: true };
        api.sandboxes.insert(&id("c"), task, place);
        api
    }

    /// What the server is asked next.
    async fn asked(&mut self) -> Ask {
        let ask = tokio::time::timeout(Duration::from_secs(30), self.asks.recv());
        ask.await.expect("nothing is asked").expect("somebody may ask")
    }

    async fn request(&self, request: Request<Body>) -> (StatusCode, Vec<u8>, http::HeaderMap) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        (status, body, headers)
    }

    async fn get(&self, uri: &str) -> (StatusCode, String) {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let (status, body, _) = self.request(request).await;
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

const RUN: &str = "/frameworks/F/executors/t/runs/latest";

#[tokio::test]
async fn a_file_is_read_by_offset_and_length() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stdout"), "hello world").unwrap();
    let api = Api::with_files(dir.path());
    let read = async |rest: &str| api.get(&format!("/files/read?path={RUN}/stdout{rest}")).await.1;
    assert_eq!(read("").await, r#"{"data":"hello world","offset":0}"#);
    assert_eq!(read("&offset=6&length=3").await, r#"{"data":"wor","offset":6}"#);
    assert_eq!(read("&offset=-1").await, r#"{"data":"","offset":11}"#);
    assert_eq!(read("&offset=100").await, r#"{"data":"","offset":100}"#);
    assert_eq!(
        api.get("/files/read?path=/containers/c/stdout&length=5").await.1,
        r#"{"data":"hello","offset":0}"#
    );
    let mesos = format!("/files/read?path=/var/lib/slaves/S{RUN}/stdout&length=1");
    assert_eq!(api.get(&mesos).await.1, r#"{"data":"h","offset":0}"#);
}

#[tokio::test]
async fn one_read_is_cut_at_sixteen_pages_and_at_whole_characters() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("big"), vec![b'x'; 100_000]).unwrap();
    std::fs::write(dir.path().join("umlaut"), "aä").unwrap();
    std::fs::write(dir.path().join("binary"), [b'a', 0xff, b'b']).unwrap();
    let api = Api::with_files(dir.path());
    let read = async |rest: &str| {
        let body = api.get(&format!("/files/read?path={RUN}/{rest}")).await.1;
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        value["data"].as_str().unwrap().to_owned()
    };
    assert_eq!(read("big&length=99999").await.len(), 65_536);
    assert_eq!(read("umlaut&length=2").await, "a");
    assert_eq!(read("umlaut&offset=1").await, "ä");
    assert_eq!(read("binary").await, "a\u{fffd}b");
}

#[tokio::test]
async fn a_directory_is_listed_in_mesos_shape() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stdout"), "hello").unwrap();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let api = Api::with_files(dir.path());
    let (status, body) = api.get(&format!("/files/browse?path={RUN}")).await;
    assert_eq!(status, StatusCode::OK);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    let file = entries.iter().find(|e| e["path"] == format!("{RUN}/stdout")).unwrap();
    assert_eq!(file["size"], 5);
    assert!(file["mode"].as_str().unwrap().starts_with("-rw"));
    assert!(file["mtime"].is_number() && file["uid"].is_string() && file["nlink"] == 1);
    let sub = entries.iter().find(|e| e["path"] == format!("{RUN}/sub")).unwrap();
    assert!(sub["mode"].as_str().unwrap().starts_with('d'));
}

#[tokio::test]
async fn who_asks_before_the_agent_has_heard_of_the_task_may_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("stdout"), "hello").unwrap();
    let api = Api::new();
    let read = format!("/files/read?path={RUN}/stdout");
    assert_eq!(api.get(&read).await.0, StatusCode::NOT_FOUND, "as in Mesos");
    assert_eq!(api.get(&format!("{read}&wait_ms=1")).await.0, StatusCode::NOT_FOUND);

    let (read, download) = (
        format!("{read}&wait_ms=20000"),
        format!("/files/download?path={RUN}/stdout&wait_ms=20000"),
    );
    let task = (FrameworkId::new("F").unwrap(), TaskId::new("t").unwrap());
    let (first, second, ()) = tokio::join!(api.get(&read), api.get(&download), async {
        tokio::task::yield_now().await;
        api.sandboxes.insert(&id("c"), task, Place { path: None, running: true });
        tokio::task::yield_now().await;
        api.sandboxes.launched(&id("c"), dir.path().to_owned());
        api.sandboxes.ended(&id("c"), Some(dir.path().to_owned()));
    });
    assert_eq!(first, (StatusCode::OK, r#"{"data":"hello","offset":0}"#.to_owned()));
    assert_eq!(second.0, StatusCode::OK);
}

#[tokio::test]
async fn a_file_is_downloaded_whole_by_offset_or_by_range() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(dir.path().join("data"), &content).unwrap();
    let api = Api::with_files(dir.path());
    let uri = format!("/files/download?path={RUN}/data");
    let get = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
    let (status, body, headers) = api.request(get(&uri)).await;
    assert_eq!((status, body.len()), (StatusCode::OK, content.len()));
    assert!(body == content, "the bytes are the file's");
    assert_eq!(headers[header::CONTENT_LENGTH], "600000");
    assert_eq!(headers[header::CONTENT_DISPOSITION], "attachment; filename=\"data\"");
    let (_, body, _) = api.request(get(&format!("{uri}&offset=599990"))).await;
    assert_eq!(body, &content[599_990..]);
    for (range, expected) in [
        ("bytes=10-19", 10..20),
        ("bytes=599999-", 599_999..600_000),
        ("bytes=-3", 599_997..600_000),
    ] {
        let request = Request::get(&uri).header(header::RANGE, range).body(Body::empty()).unwrap();
        let (status, body, headers) = api.request(request).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(body, &content[expected.clone()]);
        let told = format!("bytes {}-{}/600000", expected.start, expected.end - 1);
        assert_eq!(headers[header::CONTENT_RANGE], told.as_str());
    }
    let request = Request::get(&uri).header(header::RANGE, "bytes=700000-");
    let (status, _, headers) = api.request(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(headers[header::CONTENT_RANGE], "bytes */600000");
}

#[tokio::test]
async fn a_silent_tasks_output_is_empty_and_its_directory_too() {
    let api = Api::new();
    let task = (FrameworkId::new("F").unwrap(), TaskId::new("t").unwrap());
    api.sandboxes.insert(&id("c"), task, Place { path: None, running: false });
    assert_eq!(
        api.get(&format!("/files/read?path={RUN}/stdout")).await.1,
        r#"{"data":"","offset":0}"#
    );
    assert_eq!(api.get(&format!("/files/browse?path={RUN}")).await.1, "[]");
    let (status, body) = api.get(&format!("/files/download?path={RUN}/stderr&follow=true")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    let (status, _) = api.get(&format!("/files/read?path={RUN}/other")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let dir = tempfile::tempdir().unwrap();
    let api = Api::with_files(dir.path());
    assert_eq!(
        api.get(&format!("/files/read?path={RUN}/stderr")).await.1,
        r#"{"data":"","offset":0}"#
    );
}

#[tokio::test]
async fn following_ends_with_the_task_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::with_files(dir.path());
    let uri = format!("/files/download?path={RUN}/stdout&follow=true");
    let request = Request::get(&uri).body(Body::empty()).unwrap();
    let mut body = api.router.clone().oneshot(request).await.unwrap().into_body();
    std::fs::write(dir.path().join("stdout"), "one\n").unwrap();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"one\n");
    std::fs::write(dir.path().join("stdout"), "one\ntwo\n").unwrap();
    api.sandboxes.ended(&id("c"), Some(dir.path().to_owned()));
    let rest = body.collect().await.unwrap().to_bytes();
    assert_eq!(&rest[..], b"two\n");
}

#[tokio::test]
async fn a_read_may_wait_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::with_files(dir.path());
    let uri = format!("/files/read?path={RUN}/stdout&wait_ms=20000");
    let write = async { std::fs::write(dir.path().join("stdout"), "late").unwrap() };
    let ((_, body), ()) = tokio::join!(api.get(&uri), write);
    assert_eq!(body, r#"{"data":"late","offset":0}"#);
}

#[tokio::test]
async fn what_leads_out_of_a_sandbox_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("/etc", inside.join("etc")).unwrap();
    std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
    let api = Api::with_files(&inside);
    for path in ["../secret", "etc/passwd", "link", "x/../../secret", "%2e%2e/secret"] {
        for call in ["read", "download", "browse"] {
            let (status, body) = api.get(&format!("/files/{call}?path={RUN}/{path}")).await;
            assert!(status.is_client_error(), "{call} {path}: {status} {body}");
            assert!(!body.contains("root:"), "{call} {path}");
        }
    }
}

#[tokio::test]
async fn bad_questions_are_answered_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::with_files(dir.path());
    for (uri, status, part) in [
        ("/files/read", 400, "name a file"),
        ("/files/read?path=/etc/passwd", 404, "no task"),
        ("/files/read?path=/frameworks/F/executors/nobody/runs/latest/stdout", 404, "no task"),
        ("/files/read?path=/containers/nobody/stdout", 404, "no task"),
        ("/files/read?path=/containers/c/stdout&offset=-5", 400, "offset"),
        ("/files/read?path=/containers/c/stdout&length=-5", 400, "length"),
        ("/files/browse?path=/containers/c/none", 404, "none"),
        ("/nothing", 404, "/files/browse"),
    ] {
        let (code, body) = api.get(uri).await;
        assert_eq!(code.as_u16(), status, "{uri}: {body}");
        assert!(body.contains(part), "{uri}: {body}");
    }
}

#[tokio::test]
async fn health_says_whether_work_can_be_taken() {
    let mut api = Api::new();
    let [fine, new, full, reserved] = [
        (true, false, false, 200),
        (false, false, false, 503),
        (true, true, false, 503),
        (true, false, true, 503),
    ];
    for (registered, disk_full, reserve_used, status) in [fine, new, full, reserved] {
        let router = api.router.clone();
        let request = Request::get("/health").body(Body::empty()).unwrap();
        let answer = async {
            match api.asks.recv().await {
                Some(Ask::Health(reply)) => {
                    reply.send(Health { registered, disk_full, reserve_used }).unwrap();
                }
                other => panic!("{other:?}"),
            }
        };
        let (response, ()) = tokio::join!(router.oneshot(request), answer);
        assert_eq!(response.unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn the_version_is_digits_and_dots() {
    let (_, body) = Api::new().get("/version").await;
    let version: serde_json::Value = serde_json::from_str(&body).unwrap();
    let numbers = version["version"].as_str().unwrap().split('.');
    assert!(numbers.map(|part| part.parse::<u32>()).all(|number| number.is_ok()));
}

#[tokio::test]
async fn calls_that_are_not_built_say_so() {
    let api = Api::new();
    for path in ["/api/v1", "/slave(1)/api/v1"] {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"type":"GET_STATE"}"#)).unwrap();
        let (status, body, _) = api.request(request).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{path}");
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains(" is not built yet"), "{text}");
    }
}

/// A session that is asked for with these headers, from there.
async fn session(
    from: SessionsFrom,
    peer: Option<&str>,
    headers: &[(&'static str, &'static str)],
) -> (StatusCode, String) {
    session_of(from, peer, headers, |_, _| true).await
}

/// The same of somebody who is the operator or not.
async fn session_of(
    from: SessionsFrom,
    peer: Option<&str>,
    headers: &[(&'static str, &'static str)],
    is_operators: fn(SocketAddr, SocketAddr) -> bool,
) -> (StatusCode, String) {
    let api = Api::with_sessions(from);
    let call = r#"{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{
        "container_id":{"value":"s"},"command":{"value":"id"}}}"#;
    let mut request = Request::post("/api/v1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(call)).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(crate::listen::Peer {
            address: peer.parse().unwrap(),
            to: "10.0.0.2:5051".parse().unwrap(),
            is_operators,
        });
    }
    let (status, body, _) = api.request(request).await;
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn sessions_are_opened_from_where_the_operator_allows_it_and_by_no_page() {
    let json = ("content-type", "application/json");
    let (here, away) = (Some("127.0.0.1:9"), Some("192.0.2.1:9"));
    let mapped = Some("[::ffff:127.0.0.1]:9");
    let (loopback, anywhere) = (SessionsFrom::Loopback, SessionsFrom::Anywhere);
    // Who may is told what is wrong with the call: it names no container of a task.
    // What connects to an address of the agent's machine from that address is on it.
    let own = Some("10.0.0.2:9");
    for (from, peer) in [(loopback, here), (loopback, mapped), (loopback, own), (anywhere, away)] {
        let (status, words) = session(from, peer, &[json]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{words}");
        assert!(words.contains("(parent)"), "{words}");
    }
    for (from, peer) in [(loopback, away), (loopback, None), (SessionsFrom::Nowhere, here)] {
        let (status, words) = session(from, peer, &[json]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{words}");
        assert!(words.contains("--sessions-from"), "{words}");
    }
    // A task in the host's network is of this machine, and not its operator.
    for peer in [here, own] {
        let (status, words) = session_of(loopback, peer, &[json], |_, _| false).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{words}");
    }
    let (status, _) = session(loopback, here, &[json, ("origin", "http://example.com")]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = session(loopback, here, &[("content-type", "text/plain")]).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_session_whose_client_left_before_it_was_ordered_keeps_no_place() {
    let mut api = Api::new();
    // More than one container may have.
    for n in 0..20 {
        let call = format!(
            r#"{{"type":"LAUNCH_NESTED_CONTAINER_SESSION","launch_nested_container_session":{{
            "container_id":{{"value":"s{n}","parent":{{"value":"c"}}}},"command":{{"value":"id"}}}}}}"#
        );
        let request = Request::post("/api/v1").header("content-type", "application/json");
        let request = request.body(Body::from(call)).unwrap();
        let answer = tokio::spawn(api.router.clone().oneshot(request));
        let Ask::Enter(entry) = api.asked().await else { panic!("{n} is refused") };
        answer.abort();
        assert!(answer.await.unwrap_err().is_cancelled());
        if n % 2 == 0 {
            entry.reply.send(Err(EntryError::NoContainer)).unwrap();
        } else {
            entry.reply.send(Ok(())).unwrap();
            let Ask::SignalSession { number, signal } = api.asked().await else {
                panic!("its program goes on")
            };
            assert_eq!((number, signal), (entry.number, libc::SIGKILL));
            let over = ContainerEvent::Left { number, status: WaitStatus::Signaled(9) };
            assert_eq!(api.sessions.note(&over), None);
        }
        // It is given up beside.
        tokio::task::yield_now().await;
    }
}
