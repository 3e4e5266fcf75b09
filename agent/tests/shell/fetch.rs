//! Files that tasks want before they start: from real servers and real archives, by the real
//! processes.

use crate::rig::{Agent, Connection, Master, command, config, soon};
use agent::{Config, Stop};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use proto::{CommandInfo, FetchUri, Reason, TaskInfo, TaskState, TaskStatus};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) fn uri(value: impl Into<Arc<str>>) -> FetchUri {
    let value = value.into();
    FetchUri { value, executable: false, extract: true, cache: false, output_file: None }
}

pub(crate) fn task(id: &str, line: &str, uris: Vec<FetchUri>) -> TaskInfo {
    command(
        id,
        CommandInfo { shell: true, value: Some(line.into()), uris, ..CommandInfo::default() },
    )
}

fn fetching(master: &Master, dir: &Path) -> Config {
    let mut config = config(master, dir);
    config.fetch.keep_free = 0;
    config
}

/// With a file, a directory, a link within, and a file that asks for setuid.
fn tar(compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(12345);
        header.set_gid(12345);
        header.set_size(0);
        if kind == tar::EntryType::Symlink {
            return builder.append_link(&mut header, path, text).unwrap();
        }
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    };
    add("./", tar::EntryType::Directory, 0o500, "");
    add("bin/", tar::EntryType::Directory, 0o755, "");
    add("bin/tool", tar::EntryType::Regular, 0o4755, "#!/bin/sh\necho tool\n");
    add("link", tar::EntryType::Symlink, 0o777, "bin/tool");
    add(".wh.kept", tar::EntryType::Regular, 0o644, "kept");
    compress(&builder.into_inner().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    writer.start_file("zipped/run", options).unwrap();
    writer.write_all(b"#!/bin/sh\necho zipped\n").unwrap();
    writer.finish().unwrap().into_inner()
}

/// Serves these files; a request with the tag of a file is told that it is as it was.
pub(crate) async fn serve(
    files: Vec<(&'static str, Vec<u8>)>,
) -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let asked: Arc<[AtomicUsize; 2]> = Arc::default();
    let mut router = axum::Router::new();
    for (path, bytes) in files {
        let asked = Arc::clone(&asked);
        let handler = move |headers: HeaderMap| async move {
            if headers.get("if-none-match").is_some_and(|tag| tag == "\"one\"") {
                asked[1].fetch_add(1, Ordering::SeqCst);
                return StatusCode::NOT_MODIFIED.into_response();
            }
            asked[0].fetch_add(1, Ordering::SeqCst);
            ([("etag", "\"one\"")], bytes).into_response()
        };
        router = router.route(path, get(handler));
    }
    let to = get(|| async { (StatusCode::FOUND, [("location", "/plain?token=1")]) });
    router = router.route("/moved", to);
    let secret = |headers: HeaderMap| async move {
        // me:secret
        match headers.get("authorization").is_some_and(|given| given == "Basic bWU6c2VjcmV0") {
            true => "private".into_response(),
            false => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    router = router.route("/private", get(secret));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, asked)
}

async fn failure(link: &mut Connection, task: TaskInfo) -> String {
    let status = link.run_to_end(task).await;
    let message = status.message.clone().unwrap_or_default().to_string();
    assert_eq!(status.state, TaskState::Failed, "{status:?}");
    assert_eq!(status.reason, Some(Reason::ContainerLaunchFailed), "{status:?}");
    message
}

fn assert_finished(status: &TaskStatus) {
    assert_eq!(status.state, TaskState::Finished, "{status:?}");
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

async fn becomes_empty(dir: &Path) {
    soon(async {
        while !is_empty(dir) {
            // waits: for a directory to be removed by a thread of the agent
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn files_and_archives_are_the_tasks_when_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let files = vec![
        ("/plain", b"plain text".to_vec()),
        ("/run", b"#!/bin/sh\necho run\n".to_vec()),
        ("/a.tar.gz", tar(gzip)),
        ("/b.zip", zip()),
        ("/c.txt.gz", gzip(b"packed")),
    ];
    let (server, _) = serve(files).await;
    let mut master = Master::start().await;
    let agent = Agent::start(fetching(&master, dir.path())).await;
    let mut link = master.admit().await;
    let at = |path: &str| uri(format!("http://{server}{path}"));
    let uris = vec![
        FetchUri { output_file: Some("sub/renamed".into()), ..at("/plain") },
        FetchUri { executable: true, ..at("/run") },
        at("/a.tar.gz"),
        at("/b.zip"),
        at("/c.txt.gz"),
        FetchUri { extract: false, output_file: Some("whole.gz".into()), ..at("/c.txt.gz") },
        FetchUri { output_file: Some("followed".into()), ..at("/moved") },
        uri(format!("http://me:secret@{server}/private")),
    ];
    let line = "set -e; [ \"$(cat sub/renamed)\" = 'plain text' ]; [ \"$(./run)\" = run ]
        [ \"$(bin/tool)\" = tool ]; [ \"$(./link)\" = tool ]; [ ! -u bin/tool ]; [ -f .wh.kept ]
        [ \"$(zipped/run)\" = zipped ]; [ \"$(cat c.txt)\" = packed ]; [ ! -e whole ]
        [ \"$(cat followed)\" = 'plain text' ]; [ \"$(cat private)\" = private ]
        for file in . sub sub/renamed run bin bin/tool link zipped/run c.txt a.tar.gz; do
            [ $(stat -c %u $file) = $(id -u) ]
        done
        touch bin/mine; pwd";
    assert_finished(&link.run_to_end(task("t", line, uris)).await);
    assert!(is_empty(&dir.path().join("fetching")));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn what_cannot_be_fetched_fails_the_task_and_is_named_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let files = vec![
        ("/bad.tar.gz", b"this is no archive".to_vec()),
        ("/a.tar.xz", b"x".to_vec()),
        ("/big", vec![0; 200_000]),
        ("/bomb.gz", gzip(&vec![0; 1_000_000])),
    ];
    let (server, _) = serve(files).await;
    let mut master = Master::start().await;
    let mut config = fetching(&master, dir.path());
    config.fetch.largest_bytes = 100_000;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cases = [
        (
            format!("http://u:secret@{server}/none?k=secret"),
            "/none?...: the server answered with HTTP status 404",
        ),
        (format!("http://{server}/private"), "HTTP status 401"),
        (format!("http://{closed}/f"), "connecting to 127.0.0.1"),
        (format!("http://{server}/bad.tar.gz"), "cannot be unpacked"),
        (format!("http://{server}/a.tar.xz"), "packed with xz, which is not unpacked"),
        (format!("http://{server}/big"), "larger than the 100000 bytes allowed"),
        (format!("http://{server}/bomb.gz"), "cannot be unpacked"),
        (format!("https://{server}/f"), "fetching https://"),
        ("hdfs://u:secret@h/f".to_owned(), "\"hdfs\" is not fetched"),
        ("/etc/hostname".to_owned(), "(--fetch-from)"),
    ];
    for (number, (value, expected)) in cases.into_iter().enumerate() {
        let asked = uri(value.as_str());
        let message = failure(&mut link, task(&format!("t{number}"), "true", vec![asked])).await;
        assert!(message.contains(expected), "{value}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    becomes_empty(&dir.path().join("fetching")).await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn files_of_the_host_are_those_of_allowed_directories() {
    let dir = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let at = |name: &str| files.path().join(name);
    // The user who fetches has to find it.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(files.path(), open).unwrap();
    std::fs::write(at("a.tar"), tar(<[u8]>::to_vec)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("out")).unwrap();
    std::os::unix::fs::symlink("a.tar", at("in.tar")).unwrap();
    let mut master = Master::start().await;
    let mut config = fetching(&master, dir.path());
    config.fetch.from = vec![files.path().to_owned()];
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let named = |name: &str| uri(at(name).to_str().unwrap());
    let with_scheme = uri(format!("file://{}", at("in.tar").display()));
    let ok = task("t", "bin/tool && [ -f in.tar ]", vec![with_scheme]);
    assert_finished(&link.run_to_end(ok).await);
    let message = failure(&mut link, task("out", "true", vec![named("out")])).await;
    assert!(message.contains("a link leads out"), "{message}");
    let message = failure(&mut link, task("none", "true", vec![named("none")])).await;
    assert!(message.contains("No such file"), "{message}");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_kept_file_is_fetched_once_asked_about_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (server, asked) = serve(vec![("/f", b"kept".to_vec())]).await;
    let mut master = Master::start().await;
    let agent = Agent::start(fetching(&master, dir.path())).await;
    let mut link = master.admit().await;
    let kept = || FetchUri { cache: true, ..uri(format!("http://{server}/f")) };
    let line = "[ \"$(cat f)\" = kept ]";
    link.run((0..4).map(|n| task(&format!("t{n}"), line, vec![kept()])).collect());
    for _ in 0..4 {
        assert_finished(&link.end().await);
    }
    let counts = || (asked[0].load(Ordering::SeqCst), asked[1].load(Ordering::SeqCst));
    // Those that came later may have asked whether it is as it was.
    assert_eq!(counts().0, 1);
    let before = counts().1;
    assert_finished(&link.run_to_end(task("again", line, vec![kept()])).await);
    assert_eq!(counts(), (1, before + 1));
    let cache = dir.path().join("fetched");
    let of_content = |path: &Path| path.extension().is_none();
    let found = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let file = found.into_iter().find(|path| of_content(path)).unwrap();
    std::fs::write(&file, "kapt").unwrap();
    assert_finished(&link.run_to_end(task("damaged", line, vec![kept()])).await);
    assert_eq!(counts().0, 2);
    agent.stop(Stop::EndTasks).await;
}

/// Sends from /hop to where `to` says; counts who asks there with a tag, and is as it was to them.
/// The tag of /one and /two is the same, and means something else.
async fn hopping(to: Arc<std::sync::Mutex<&'static str>>) -> (SocketAddr, Arc<[AtomicUsize; 3]>) {
    let tagged: Arc<[AtomicUsize; 3]> = Arc::default();
    let mut router = axum::Router::new();
    for (number, path) in ["/hop", "/one", "/two"].into_iter().enumerate() {
        let (tagged, to) = (Arc::clone(&tagged), Arc::clone(&to));
        let handler = move |headers: HeaderMap| async move {
            if headers.contains_key("if-none-match") || headers.contains_key("if-modified-since") {
                tagged[number].fetch_add(1, Ordering::SeqCst);
                return StatusCode::NOT_MODIFIED.into_response();
            }
            let to = *to.lock().unwrap();
            match path {
                "/hop" => (StatusCode::FOUND, [("location", to)]).into_response(),
                path => ([("etag", "\"tag\"")], path).into_response(),
            }
        };
        router = router.route(path, get(handler));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, tagged)
}

#[tokio::test]
async fn only_the_url_that_gave_a_tag_is_asked_about_it() {
    let dir = tempfile::tempdir().unwrap();
    let to = Arc::new(std::sync::Mutex::new("/one"));
    let (server, tagged) = hopping(Arc::clone(&to)).await;
    let mut master = Master::start().await;
    let agent = Agent::start(fetching(&master, dir.path())).await;
    let mut link = master.admit().await;
    let counts = || tagged.each_ref().map(|count| count.load(Ordering::SeqCst));
    for (number, (path, expected)) in
        [("/one", [0, 0, 0]), ("/one", [0, 1, 0]), ("/two", [0, 1, 0]), ("/two", [0, 1, 1])]
            .into_iter()
            .enumerate()
    {
        *to.lock().unwrap() = path;
        let asked = FetchUri { cache: true, ..uri(format!("http://{server}/hop")) };
        let line = format!("[ \"$(cat hop)\" = {path} ]");
        let task = task(&format!("t{number}"), &line, vec![asked]);
        assert_finished(&link.run_to_end(task).await);
        assert_eq!(counts(), expected, "{number}");
    }
    agent.stop(Stop::EndTasks).await;
}

/// A server that begins an answer and does not go on; it tells when the other side is gone.
async fn stalling() -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let count = stream.read(&mut request).await.unwrap();
                assert_ne!(count, 0, "it asks");
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
                stream.write_all(head.as_bytes()).await.unwrap();
                let _ = tell.send("begun");
                while !matches!(stream.read(&mut request).await, Ok(0) | Err(_)) {}
                let _ = tell.send("gone");
            });
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_task_is_killed_while_its_files_come_and_nothing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (server, mut told) = stalling().await;
    let mut master = Master::start().await;
    let agent = Agent::start(fetching(&master, dir.path())).await;
    let mut link = master.admit().await;
    for (id, cache) in [("plain", false), ("kept", true)] {
        let asked = FetchUri { cache, ..uri(format!("http://{server}/f")) };
        link.run(vec![task(id, "true", vec![asked])]);
        assert_eq!(soon(told.recv()).await, Some("begun"));
        link.kill(id);
        let status = link.end().await;
        assert_eq!(status.state, TaskState::Killed, "{status:?}");
        assert_eq!(status.reason, Some(Reason::TaskKilledDuringLaunch));
        // Its connection is closed by its end.
        assert_eq!(soon(told.recv()).await, Some("gone"));
        becomes_empty(&dir.path().join("fetching")).await;
        becomes_empty(&dir.path().join("fetched")).await;
    }
    agent.stop(Stop::EndTasks).await;
}

/// What the kernel says of a child of this process that fetches.
fn fetcher() -> String {
    let own = std::process::id().to_string();
    let mut found = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        (value(&status, "PPid") == own && command.ends_with(b"\0fetch\0")).then_some(status)
    });
    found.next().expect("it fetches")
}

fn value<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| *known == name).expect("the kernel tells it");
    value.split_whitespace().next().unwrap_or_default()
}

#[tokio::test]
async fn who_fetches_has_no_rights() {
    let dir = tempfile::tempdir().unwrap();
    let (server, mut told) = stalling().await;
    let mut master = Master::start().await;
    let agent = Agent::start(fetching(&master, dir.path())).await;
    let link = master.admit().await;
    let root = rustix::process::geteuid().is_root();
    // As nobody, since the task is root's.
    link.run(vec![task("t", "true", vec![uri(format!("http://{server}/f"))])]);
    assert_eq!(soon(told.recv()).await, Some("begun"));
    let status = fetcher();
    assert_eq!((value(&status, "NoNewPrivs"), value(&status, "Seccomp")), ("1", "2"));
    if root {
        assert_eq!((value(&status, "Uid"), value(&status, "Gid")), ("65534", "65534"));
        assert_eq!((value(&status, "Groups"), value(&status, "CapPrm")), ("", "0000000000000000"));
    }
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (server, mut told) = stalling().await;
    let mut master = Master::start().await;
    let mut config = fetching(&master, dir.path());
    config.fetch.stall = Duration::from_millis(300);
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let asked = uri(format!("http://{server}/f"));
    let message = failure(&mut link, task("t", "true", vec![asked])).await;
    assert!(message.contains("nothing came for 300ms"), "{message}");
    assert_eq!(soon(told.recv()).await, Some("begun"));
    assert_eq!(soon(told.recv()).await, Some("gone"));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_leaves_no_fetching_process_and_tells_of_the_task() {
    let dir = tempfile::tempdir().unwrap();
    let (server, mut told) = stalling().await;
    let mut master = Master::start().await;
    let mut killed = tokio::process::Command::new(env!("CARGO_BIN_EXE_agent"))
        .arg(&master.address)
        .arg(dir.path())
        .arg(env!("CARGO_BIN_EXE_supervise"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let link = master.admit().await;
    link.run(vec![task("t", "true", vec![uri(format!("http://{server}/f"))])]);
    assert_eq!(soon(told.recv()).await, Some("begun"));
    assert!(!is_empty(&dir.path().join("fetching")));
    killed.kill().await.unwrap();
    assert_eq!(soon(told.recv()).await, Some("gone"));
    let mut config = fetching(&master, dir.path());
    config.resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let status = link.end().await;
    assert!(status.state.is_terminal() && status.state != TaskState::Finished, "{status:?}");
    assert!(is_empty(&dir.path().join("fetching")));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn files_of_a_launch_that_never_was_go_though_the_supervisor_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(fetching(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(task("lives", "exec sleep 1000", Vec::new())).await;
    agent.abort().await;
    // As an agent leaves it that is killed between the fetch and the launch.
    let sandboxes = dir.path().join("sandboxes");
    std::fs::create_dir(sandboxes.join("fetched-never")).unwrap();
    std::fs::write(sandboxes.join("fetched-never/file"), "fetched").unwrap();
    let names = || {
        let names = std::fs::read_dir(&sandboxes).unwrap().flatten().map(|entry| entry.file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let mut others = names();
    assert!(others.remove(std::ffi::OsStr::new("fetched-never")) && !others.is_empty());

    let again = Config { gc_delay: Duration::ZERO, ..fetching(&master, dir.path()) };
    let agent = Agent::start(again).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1, "the supervisor that was there before");
    // What it has in reserve, and what is the task's, stays.
    crate::survival::until(|| names() == others).await;
    link.kill("lives");
    assert_eq!(link.end().await.state, TaskState::Killed);
    agent.stop(Stop::EndTasks).await;
}
