//! Ways out of a container that take somebody outside as well: each tried alone, with a control.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::containerizer::{Containerizer, Launch, Program, Root, SandboxFate, WaitStatus};

use crate::enclosed::{busybox, enclosed, rig};
use crate::escapes::{PROBE, probe};
use crate::rig::{Agent, BOUND, file_of, filled, id, shell};

/// The probe within walls, with a word.
fn probing(name: &str, words: &[&str]) -> Launch {
    let mut launch = probe(name, Root::Host);
    let argv = ["probe"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    launch.program = Program::Exec { file: "/probe".into(), argv };
    launch
}

/// All rights that a launch can ask for.
fn all_rights() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    u64::from_str_radix(all.trim(), 16).unwrap()
}

/// What was said of a file in the end: `named`, `open` or `writable`.
fn said_of<'t>(text: &'t str, program: &str) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("S35 "));
    let of = lines.filter_map(|line| line.rsplit_once(": "));
    of.filter(|(name, _)| name.contains(program)).map(|(_, what)| what).collect()
}

/// Lets a watching probe end, and gives what it has seen.
async fn watched(agent: &mut Agent, name: &str, sandbox: &Path) -> String {
    std::fs::write(sandbox.join("stop"), "").unwrap();
    let ended = agent.ended(&id(name)).await;
    assert_eq!(ended.status, WaitStatus::Exited(0), "{ended:?}");
    let text = String::from_utf8(file_of(&ended, "stdout")).unwrap();
    agent.native.forget(&id(name));
    agent.native.flush();
    text
}

#[tokio::test]
async fn s35_who_goes_into_a_container_shows_it_nothing_of_the_supervisor() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    // As root of its own world, also with the right to trace whoever is in it.
    for (name, rights) in [("none", 0), ("all", all_rights())] {
        let mut launch = probing(name, &["watch"]);
        launch.user = Some("0".into());
        launch.enclosure.as_mut().unwrap().capabilities = rights;
        let mut session = launch.clone();
        let sandbox = agent.launched(launch).await.sandbox;
        filled(sandbox.join("stdout")).await;
        session.program = Program::Shell("exit 0".into());
        for number in 0..40 {
            let number = number + if rights == 0 { 0 } else { 100 };
            crate::sessions::run(&mut agent, &rig, session.clone(), number).await;
        }
        let text = watched(&mut agent, name, &sandbox).await;
        assert_eq!(said_of(&text, "supervise"), [""; 0], "{text}");
        assert_eq!(said_of(&text, "tepui-init"), [""; 0], "{text}");
        assert!(!text.contains("writable"), "{text}");
    }
    // The control: without walls it is found.
    let sandbox = agent.launched(shell("control", &format!("exec {PROBE} watch"))).await.sandbox;
    let wait = async {
        loop {
            let text = filled(sandbox.join("stdout")).await;
            if said_of(&text, "supervise").contains(&"open") {
                return;
            }
            // waits: between two looks at what a task prints
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("the supervisor is seen");
    watched(&mut agent, "control", &sandbox).await;
    rig.finish(agent).await;
}

/// As CVE-2019-5736: a program that says that it is whatever starts it, so that the supervisor's is
/// executed inside, where it can be opened. It cannot be written to.
#[tokio::test]
async fn s35_who_names_its_starter_as_its_program_gets_nothing_to_write_to() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let supervise = Path::new(env!("CARGO_BIN_EXE_supervise"));
    let state = || {
        let found = std::fs::metadata(supervise).unwrap();
        (found.len(), found.modified().unwrap())
    };
    let before = state();
    let mut launch = probing("watches", &["watch"]);
    launch.user = Some("0".into());
    launch.enclosure.as_mut().unwrap().capabilities = all_rights();
    let mut session = launch.clone();
    let argv = vec!["x".into()];
    session.program = Program::Exec { file: "/proc/self/exe".into(), argv };
    let sandbox = agent.launched(launch).await.sandbox;
    filled(sandbox.join("stdout")).await;
    let mut opened = false;
    for number in 0..100 {
        crate::sessions::run(&mut agent, &rig, session.clone(), number).await;
        let text = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
        opened |= said_of(&text, "supervise").contains(&"open");
        if opened && number > 10 {
            break;
        }
    }
    let text = watched(&mut agent, "watches", &sandbox).await;
    assert!(opened, "it was never there to be had: {text}");
    assert!(!text.contains("writable"), "{text}");
    assert_eq!(before, state());
    rig.finish(agent).await;
}

#[tokio::test]
async fn s34_who_replaces_the_files_of_names_leads_nobody_out() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let image = busybox(rig.dir.path());
    let victim = rig.dir.path().join("victim");
    std::fs::write(&victim, "mine\n").unwrap();
    // By a link, by what is removed and made anew, and by a name given to another file.
    let line = format!(
        "cd /etc; for f in hostname hosts resolv.conf; do rm $f; ln -s {0} $f; \
         echo theirs > $f; done; echo done",
        victim.display()
    );
    let mut launch = enclosed("replaces", &line, Root::Image(image.clone()));
    launch.user = Some("0".into());
    let ended = agent.run(launch).await;
    assert_eq!(file_of(&ended, "stdout"), b"done\n");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine\n");
    let next = enclosed("next", "cat /etc/hostname; ls -l /etc", Root::Image(image));
    let text = String::from_utf8(file_of(&agent.run(next).await, "stdout")).unwrap();
    assert!(text.starts_with("inside\n") && !text.contains("->"), "{text}");
    // The control: the same as a plain task on a directory of the host.
    let etc = rig.dir.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("hosts"), "").unwrap();
    let line = line.replace("cd /etc", &format!("cd {}", etc.display()));
    agent.run(shell("control", &line)).await;
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "theirs\n");
    rig.finish(agent).await;
}

/// The processes of this machine with this word among theirs.
fn with_word(word: &str) -> usize {
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = pids.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|w| w == word.as_bytes())).count()
}

#[tokio::test]
async fn s48_who_forks_twice_into_a_session_of_its_own_is_gone_with_its_task() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    for walls in [true, false] {
        let word = format!("orphan-{}-{walls}", rig.options.supervisor.name);
        let launch = match walls {
            true => probing(&word, &["orphan", &word]),
            false => shell(&word, &format!("exec {PROBE} orphan {word}")),
        };
        let sandbox: PathBuf = agent.launched(launch).await.sandbox;
        filled(sandbox.join("stdout")).await;
        // Itself and what it has left: the attempt is real.
        assert_eq!(with_word(&word), 2);
        std::fs::write(sandbox.join("go"), "").unwrap();
        let ended = agent.ended(&id(&word)).await;
        assert_eq!(ended.status, WaitStatus::Exited(0), "{ended:?}");
        // It was killed before the end was told; a slow kernel may still be taking it apart.
        let gone = async {
            while with_word(&word) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is killed");
        agent.native.forget(&id(&word));
        agent.native.flush();
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn s44_a_flood_keeps_what_its_ring_holds_and_others_start_meanwhile() {
    const PART: u64 = 1 << 20;
    let Some(mut rig) = rig() else { return };
    rig.options.logs = agent::LogPolicy { part_bytes: PART, parts: 3 };
    let mut agent = rig.agent().await;
    let flood = "exec head -c 300000000 /dev/zero";
    let sandbox = agent.launched(enclosed("flood", flood, Root::Host)).await.sandbox;
    let mut others = 0;
    let mut most = 0;
    let kept = |sandbox: &Path| -> u64 {
        let files = std::fs::read_dir(sandbox).into_iter().flatten().flatten();
        files.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    };
    for n in 0..20 {
        let ended = agent.run(enclosed(&format!("other-{n}"), "echo up", Root::Host)).await;
        others += usize::from(file_of(&ended, "stdout") == b"up\n");
        most = most.max(kept(&sandbox));
    }
    let ended = agent.ended(&id("flood")).await;
    assert_eq!(ended.status, WaitStatus::Exited(0));
    let SandboxFate::Kept(sandbox) = &ended.sandbox else { panic!("{ended:?}") };
    most = most.max(kept(sandbox));
    // The parts, the one that is written, and a line each by which one may be longer.
    let bound = 4 * (PART + (64 << 10)) + (64 << 10);
    println!("{most} of 300000000 bytes were kept at the most, of {bound} that may be");
    assert!(most <= bound && most > PART, "{most} of {bound}");
    assert_eq!(others, 20);
    // It was held up: 64 MiB a second are carried of one stream.
    assert!(ended.lasted > Duration::from_secs(4), "{:?}", ended.lasted);
    rig.finish(agent).await;
}
