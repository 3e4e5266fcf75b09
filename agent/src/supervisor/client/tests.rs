//! What an agent makes of a supervisor that dies, or speaks otherwise, while it connects.

use super::{Connected, Options, StartError, start};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connects to the socket `socket` of `dir`; a command that is run says so and fails.
async fn connect(dir: &Path) -> Result<Connected, StartError> {
    let command = ["sh", "-c", "echo it was run >&2; exit 3"].map(Into::into);
    let (socket, sandboxes) = (dir.join("socket"), dir.join("sandboxes"));
    let options = Options {
        socket,
        dir: dir.to_owned(),
        sandboxes,
        name: "test".to_owned(),
        away_grace: Duration::ZERO,
        cgroups: false,
        extras: super::super::options::Extras::default(),
        foreground: false,
    };
    start(&command, &options).await
}

/// Takes one connection at the socket of `dir` and leaves it, with the listener, to `serve`.
fn supervisor(
    dir: &Path,
    serve: impl FnOnce(UnixStream, UnixListener) + Send + 'static,
) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(dir.join("socket")).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0, listener))
}

#[tokio::test]
async fn a_supervisor_that_dies_while_the_agent_connects_is_replaced() {
    for heard in [0, 1, 6] {
        let dir = tempfile::tempdir().unwrap();
        let dying = supervisor(dir.path(), move |mut stream, listener| {
            // With bytes left unread the connection is reset, otherwise closed.
            stream.read_exact(&mut vec![0; heard]).unwrap();
            drop(stream);
            drop(listener);
        });
        let error = connect(dir.path()).await.err().unwrap();
        assert!(
            matches!(&error, StartError::GaveUp(said) if said.contains("it was run")),
            "{error}"
        );
        dying.join().unwrap();
    }
}

#[tokio::test]
async fn a_supervisor_of_another_version_is_refused_with_both_versions_and_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let (over, is_over) = (Arc::new(AtomicBool::new(false)), dir.path().join("socket"));
    let seen = over.clone();
    let old = supervisor(dir.path(), move |first, listener| {
        let more = std::iter::from_fn(|| listener.accept().ok().map(|(stream, _)| stream));
        for mut stream in std::iter::once(first).chain(more) {
            if seen.load(Ordering::SeqCst) {
                return;
            }
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).unwrap();
            assert_eq!(hello, [0, 0, 0, 0, super::wire::VERSION, 1], "it hears what we speak");
            // An old supervisor's welcome.
            stream.write_all(&[1, 0, 0, 0, 1, 64, 0]).unwrap();
        }
    });
    let error = connect(dir.path()).await.err().unwrap();
    assert!(matches!(error, StartError::OtherVersion { .. }), "{error}");
    let said = error.to_string();
    let own = format!("protocol version 1, this side speaks {}", super::wire::VERSION);
    for part in [&*own, "Its tasks go on", "tepui drain", "--kill-tasks-on-exit"] {
        assert!(said.contains(part), "'{part}' is missing: {said}");
    }
    over.store(true, Ordering::SeqCst);
    UnixStream::connect(is_over).unwrap();
    old.join().unwrap();
}
