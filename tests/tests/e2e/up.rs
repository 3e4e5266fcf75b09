//! `tepui up`: a whole cluster from one command, tended and taken down again.

use crate::cluster::{mentioning, program, wait_for};
use crate::program::{Running, said, signal, tepui};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("tepui-e2e-").tempdir().unwrap())
    }

    fn dir(&self) -> String {
        self.0.path().join("up").display().to_string()
    }

    fn processes(&self) -> Vec<(u32, String)> {
        mentioning(&self.0.path().display().to_string())
    }

    /// The pid of the part whose command line has these words.
    fn part(&self, words: &str) -> Option<u32> {
        let of_up = |line: &str| line.contains(words) && line.contains("--exit-with-parent");
        self.processes().into_iter().find(|(_, line)| of_up(line)).map(|(pid, _)| pid)
    }
}

/// The identity file below a directory.
fn identity(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { identity(&path) } else { path.ends_with("identity").then_some(path) }
    })
}

fn up(place: &Place) -> Running {
    Running::start(
        &[
            "up",
            "--port",
            "0",
            "--agents",
            "2",
            "--resources",
            "cpus:1;mem:256",
            "--data",
            &place.dir(),
        ],
        None,
    )
}

/// The master's address in the ready line, which has exactly one form.
fn ready(up: &mut Running, place: &Place) -> String {
    let line = up.line();
    let rest = line.strip_prefix("ready master=").unwrap_or_else(|| panic!("'{line}'"));
    let (master, rest) = rest.split_once(' ').unwrap();
    assert_eq!(rest, format!("agents=2 data={}", place.dir()));
    let port = master.strip_prefix("127.0.0.1:").unwrap();
    assert!(port.parse::<u16>().unwrap() > 0);
    master.to_owned()
}

fn nothing_left(place: &Place) {
    wait_for("all processes to be gone", || place.processes().is_empty().then_some(()));
}

#[test]
fn what_up_started_ends_with_term_and_with_ctrl_c() {
    let place = Place::new();
    for (name, code) in [("TERM", 0), ("INT", 0)] {
        let mut up = up(&place);
        let master = ready(&mut up, &place);
        let run = ["run", "--master", &master, "--cpus", "0.1", "--mem", "16", "--", "echo", name];
        assert_eq!(tepui(&run).out, format!("{name}\n"));
        assert_eq!(up.end(name), code);
        assert_eq!(place.processes(), [], "left behind");
    }
}

/// Another user is refused by master and jobs, which may run tasks as root.
pub(crate) fn serves_nobody_else() {
    let place = Place::new();
    let mut up = up(&place);
    let master = ready(&mut up, &place);
    let mut run = Command::new("setpriv");
    run.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program()).args([
        "run", "--master", &master, "--user", "root", "--cpus", "0.1", "--mem", "16", "--", "id",
    ]);
    let refused = said(&mut run);
    assert!(refused.code != 0 && !refused.out.contains("uid="), "{refused:?}");
    assert!(refused.err.contains("--callers own"), "{refused:?}");
    let of = |words: &str| {
        let lines = place.processes().into_iter().map(|(_, line)| line);
        let line = lines.into_iter().find(|line| line.contains(words)).unwrap();
        line.split(" --listen ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    let jobs = of(" jobs serve");
    for (port, path) in [(&master, "/state"), (&jobs, "/metrics")] {
        let (address, port) = port.split_once(':').unwrap();
        let ask = format!("printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3");
        let line = format!("exec 3<>/dev/tcp/{address}/{port}; {ask}");
        let first = |before: &[&str]| {
            let words = [before, &["bash", "-c", &line]].concat();
            said(Command::new(words[0]).args(&words[1..])).out
        };
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        assert!(first(&nobody).contains(" 403 "), "{port}");
        assert!(first(&[]).contains(" 200 "), "{port}");
    }
    assert_eq!(up.end("TERM"), 0);
}

#[test]
fn what_up_started_ends_even_when_up_is_killed() {
    let place = Place::new();
    let mut up = up(&place);
    ready(&mut up, &place);
    up.end("KILL");
    nothing_left(&place);
}

#[test]
fn a_killed_part_is_started_again() {
    let place = Place::new();
    let mut up = up(&place);
    let master = ready(&mut up, &place);
    for words in [" master --listen", " agent --master", " jobs serve"] {
        let pid = wait_for("the part", || place.part(words));
        signal(pid, "KILL");
        wait_for("the part to be back", || place.part(words).filter(|again| *again != pid));
    }
    wait_for("the cluster to take work", || {
        let run = ["run", "--master", &master, "--cpus", "0.1", "--mem", "16", "--", "true"];
        (tepui(&run).code == 0).then_some(())
    });
    assert_eq!(up.end("TERM"), 0);
    assert_eq!(place.processes(), [], "left behind");
}

#[test]
fn a_port_in_use_is_named_with_the_fix() {
    let place = Place::new();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let said = tepui(&["up", "--port", &port, "--data", &place.dir()]);
    said.expect(5, &[&port, "--port"]);
    for part in ["master", "agent"] {
        let (listen, dir) = (format!("127.0.0.1:{port}"), place.dir());
        let place_flag = if part == "master" { "--data" } else { "--work-dir" };
        let said = tepui(&[part, "--listen", &listen, place_flag, &dir]);
        said.expect(5, &[&port]);
        assert!(said.err.contains("--listen"), "the flag to change is --listen: {said:?}");
    }
}

#[test]
fn a_data_directory_in_use_is_named_with_its_user() {
    let place = Place::new();
    let mut first = up(&place);
    ready(&mut first, &place);
    let said = tepui(&["up", "--port", "0", "--data", &place.dir()]);
    said.expect(5, &[&place.dir(), "in use"]);
    assert_eq!(first.end("TERM"), 0);
}

#[test]
fn two_agents_cannot_share_a_work_directory() {
    let place = Place::new();
    let mut first = up(&place);
    let master = ready(&mut first, &place);
    let work = format!("{}/agents-of-2/agent-1", place.dir());
    let said =
        tepui(&["agent", "--master", &master, "--listen", "127.0.0.1:0", "--work-dir", &work]);
    said.expect(5, &[&work, "in use"]);
    assert_eq!(first.end("TERM"), 0);
}

#[test]
fn data_of_another_cluster_are_refused() {
    let place = Place::new();
    let dir = place.dir();
    let arguments = ["master", "--listen", "127.0.0.1:0", "--data", &dir, "--cluster"];
    let first = Running::start(&[&arguments[..], &["blue"]].concat(), None);
    wait_for("the data", || identity(Path::new(&dir)));
    first.end("TERM");
    tepui(&[&arguments[..], &["green"]].concat()).expect(5, &[&dir, "blue", "green"]);
}

#[test]
fn data_of_a_newer_version_are_refused() {
    let place = Place::new();
    let mut first = up(&place);
    ready(&mut first, &place);
    assert_eq!(first.end("TERM"), 0);
    for part in ["master", "agents-of-2/agent-1", "jobs"] {
        let file = identity(&Path::new(&place.dir()).join(part)).expect("an identity");
        let text = fs::read_to_string(&file).unwrap();
        let (heading, rest) = text.split_once('\n').unwrap();
        let (name, _) = heading.rsplit_once(' ').unwrap();
        // With more in it: the number alone would be damage, which the copy makes up for.
        fs::write(&file, format!("{name} 99\nmore of-a-newer-version\n{rest}")).unwrap();
        let said = tepui(&[
            "up",
            "--port",
            "0",
            "--agents",
            "2",
            "--resources",
            "cpus:1;mem:256",
            "--data",
            &place.dir(),
        ]);
        said.expect(5, &[&place.dir(), "newer version"]);
        fs::write(&file, text).unwrap();
    }
    assert_eq!(place.processes(), [], "left behind");
}

#[test]
fn a_directory_that_cannot_be_is_named() {
    let place = Place::new();
    let file = place.0.path().join("file");
    fs::write(&file, "").unwrap();
    // Below a file: not even root can make it.
    let dir = file.join("data").display().to_string();
    let said = tepui(&["up", "--port", "0", "--data", &dir]);
    said.expect(1, &[&dir, "--data"]);
}

#[test]
fn agents_share_what_the_machine_has() {
    let place = Place::new();
    let mut up = up(&place);
    let master = ready(&mut up, &place);
    let all = tepui(&["why", "--master", &master, "--agent", "S0", "-o", "json"]).out
        + &tepui(&["why", "--master", &master, "--agent", "S1", "-o", "json"]).out;
    // Each has what was named, and 500 ports of its own.
    let has = |line: &&str| line.contains("It has cpus=1,disk=") && line.contains("ports=500.");
    assert_eq!(all.lines().filter(has).count(), 2, "{all}");
    let lines: Vec<String> = place
        .processes()
        .into_iter()
        .map(|(_, line)| line)
        .filter(|line| line.contains(" agent --master"))
        .collect();
    for ports in ["[31000-31499]", "[31500-31999]"] {
        let count = lines.iter().filter(|line| line.contains(ports)).count();
        assert_eq!(count, 1, "{ports}: {lines:?}");
    }
    assert_eq!(up.end("TERM"), 0);
}
