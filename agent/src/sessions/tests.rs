//! What sessions there may be, what they are called, and that bytes go both ways.

use super::*;
use proto::ContainerId;

fn path(parent: &str, id: &str) -> ContainerPath {
    let id_of = |text| ContainerId::new(text).unwrap();
    ContainerPath { parent: Some(id_of(parent)), id: id_of(id) }
}

fn left(number: u64) -> ContainerEvent {
    ContainerEvent::Left { number, status: WaitStatus::Exited(3) }
}

#[tokio::test]
async fn a_session_is_known_by_its_name_until_others_have_come_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    let all = Sessions::new(dir.path().join("s"));
    let (session, stdio, _) = all.open(&path("c", "one"), None).unwrap();
    let Stdio::Pipes(pipes) = &stdio else { panic!("{stdio:?}") };
    assert!(pipes.iter().all(|pipe| pipe.exists()));
    let again = all.open(&path("c", "one"), None).unwrap_err();
    assert_eq!(again.to_string(), "there is a session c.one already");
    let container = crate::containerizer::ContainerId::new("c").unwrap();
    let entered = ContainerEvent::Entered { id: container, number: session.number, result: Ok(7) };
    assert_eq!(all.note(&entered), None);
    assert_eq!(all.running(), [path("c", "one")]);
    while pipes.iter().any(|pipe| pipe.exists()) {
        // Both sides have them open.
        tokio::task::yield_now().await;
    }
    assert!(session.take_input().is_some());
    assert!(session.take_input().is_none(), "one at a time");
    all.note(&left(session.number));
    assert_eq!(session.over().await, State::Over(WaitStatus::Exited(3)));
    assert!(all.running().is_empty());
    assert_eq!(all.note(&entered), Some(session.number), "it began when it was over");
    for n in 0..OVER {
        let (other, ..) = all.open(&path("c", &format!("s{n}")), None).unwrap();
        all.note(&left(other.number));
    }
    assert!(all.find(&path("c", "one")).is_none());
    assert!(all.find(&path("c", "s0")).is_some());
    let known = lock(&all.known);
    assert_eq!((known.all.len(), known.names.len()), (OVER, OVER));
}

#[tokio::test]
async fn there_are_so_many_of_one_container_and_so_many_in_all() {
    let dir = tempfile::tempdir().unwrap();
    let all = Sessions::new(dir.path().join("s"));
    let mut open = Vec::new();
    for container in 0..MOST / MOST_OF_ONE {
        for n in 0..MOST_OF_ONE {
            let made = all.open(&path(&format!("c{container}"), &format!("s{n}")), None);
            open.push(made.unwrap());
        }
        let one_more = all.open(&path(&format!("c{container}"), "more"), None).unwrap_err();
        let full = open.len() == MOST;
        assert!(matches!(one_more, OpenError::TooManyOfOne) || full, "{one_more}");
    }
    let other = all.open(&path("other", "s"), None).unwrap_err();
    assert!(matches!(other, OpenError::TooMany), "{other}");
    // One that could not be started counts no more, and its name is free.
    let failed = LaunchError::Impossible("it is a test".into());
    all.failed(open[0].0.number, failed);
    all.open(&path("c0", "s0"), None).unwrap();
}

#[tokio::test]
async fn a_session_whose_ends_cannot_be_made_takes_no_place() {
    let dir = tempfile::tempdir().unwrap();
    // A file is where the pipes' directory would be.
    std::fs::write(dir.path().join("s"), "").unwrap();
    let all = Sessions { dir: dir.path().join("s"), ..Sessions::new(dir.path().join("none")) };
    for _ in 0..=MOST_OF_ONE {
        let error = all.open(&path("c", "one"), None).unwrap_err();
        assert!(matches!(error, OpenError::Io(_)), "{error}");
    }
    all.open(&path("c", "one"), Some(None)).unwrap();
}

#[tokio::test]
async fn what_one_side_writes_the_other_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (stdio, ends) = ends::pipes(&dir.path().join("p")).unwrap();
    let Stdio::Pipes([stdin, stdout, _]) = stdio else { panic!("{stdio:?}") };
    let (theirs, mut out) = {
        let open = std::fs::OpenOptions::new().read(true).open(stdin).unwrap();
        (open, std::fs::OpenOptions::new().write(true).open(stdout).unwrap())
    };
    ends.input.write_all(b"in").await.unwrap();
    let mut buffer = [0; 8];
    assert_eq!(io::Read::read(&mut &theirs, &mut buffer).unwrap(), 2);
    io::Write::write_all(&mut out, b"out").unwrap();
    assert_eq!(ends.output.read(&mut buffer).await.unwrap(), 3);
    drop(out);
    assert_eq!(ends.output.read(&mut buffer).await.unwrap(), 0);
    drop(theirs);
    assert!(ends.input.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn a_terminal_has_the_size_that_it_is_told() {
    let size = |rows, columns| WindowSize { rows, columns };
    let (stdio, ends) = ends::terminal(Some(size(30, 100))).unwrap();
    let Stdio::Terminal(path) = stdio else { panic!("{stdio:?}") };
    let theirs = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let told = || {
        let mut stty = std::process::Command::new("stty");
        stty.arg("size").stdin(theirs.try_clone().unwrap());
        String::from_utf8(stty.output().unwrap().stdout).unwrap()
    };
    assert_eq!(told(), "30 100\n");
    ends::resize(&ends.input, size(24, 80)).unwrap();
    assert_eq!(told(), "24 80\n");
    drop(theirs);
    let mut buffer = [0; 8];
    assert_eq!(ends.output.read(&mut buffer).await.unwrap(), 0, "nobody has it any more");
}
