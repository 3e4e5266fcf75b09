//! `tepui run`: one task as if it ran in this terminal.

use crate::cluster::{Cluster, wait_for};
use crate::program::Running;
use std::path::Path;

#[test]
fn output_and_errors_come_through_apart() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let (code, out, err) =
        cluster.tepui(&["run", "--cpus", "0.1", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "out\n", "err\n"));
}

#[test]
fn the_exit_code_is_passed_on() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137)] {
        let (got, _, err) = cluster.tepui(&["run", "--cpus", "0.1", "--", "sh", "-c", script]);
        assert_eq!(got, code, "{script}: {err}");
    }
}

#[test]
fn what_cannot_be_started_is_said_with_the_reason() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    for (command, code, reason) in
        [("no-such-command", 127, "No such file"), ("/etc/passwd", 126, "Permission denied")]
    {
        let (got, out, err) = cluster.tepui(&["run", "--cpus", "0.1", "--", command]);
        assert_eq!((got, out.as_str()), (code, ""), "{err}");
        assert!(err.contains(command) && err.contains(reason), "{err}");
    }
    let (got, _, err) = cluster.tepui(&["run", "--cpus", "0.1", "--", "sh", "-c", "exit 127"]);
    assert_eq!((got, err.as_str()), (127, ""), "the command's own code needs no word");
}

#[test]
fn much_output_comes_whole() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let (code, out, err) = cluster.tepui(&["run", "--cpus", "0.1", "--", "seq", "1", "200000"]);
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert_eq!((code, out.len(), out == expected), (0, expected.len(), true), "{err}");
}

#[test]
fn ctrl_c_kills_the_task() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", true);
    let script = "echo $$; exec sleep 1000";
    let arguments = ["run", "--cpus", "0.1", "--", "sh", "-c", script];
    let mut run = Running::start(&arguments, Some(&cluster.master_address));
    let pid = run.line();
    let process = Path::new("/proc").join(&pid);
    assert!(!pid.is_empty() && process.exists(), "the task tells its pid, told '{pid}'");
    assert_eq!(run.end("INT"), 130);
    wait_for("the task to be gone", || (!process.exists()).then_some(()));
}

#[test]
fn without_a_master_the_exit_code_is_7_and_the_address_is_named() {
    let master = format!("127.0.0.1:{}", crate::cluster::free_port());
    let said = crate::program::tepui(&["run", "--master", &master, "--", "true"]);
    said.expect(7, &[&master]);
}
