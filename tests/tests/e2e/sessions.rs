//! `tepui exec` and `tepui attach`: people in containers of tasks, with pipes and with a terminal.

use crate::cluster::{Cluster, program};
use crate::program::{Running, Said, said};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// `tepui exec` with this on its standard input.
fn exec(cluster: &Cluster, arguments: &[&str], input: &str) -> Said {
    let master = cluster.masters();
    let mut command = Command::new("sh");
    // The shell gives it the input, so that nobody here has to.
    command.args(["-c", "printf %s \"$INPUT\" | \"$0\" exec --master \"$MASTER\" \"$@\""]);
    command.arg(program()).args(arguments).env("INPUT", input).env("MASTER", master);
    said(&mut command)
}

#[test]
fn a_command_runs_beside_a_task_with_input_output_and_exit_code() {
    let cluster = Cluster::start(1, "cpus:2;mem:1024", true);
    let go = cluster.dir("told").join("go");
    let wait = format!("until [ -e {} ]; do sleep 0.01; done", go.display());
    let id = cluster.submit(&json!({
        "kind": "batch", "name": "host",
        "task": {
            "command": format!("echo mine > here; {wait}; echo out; echo err >&2"),
            "cpus": 0.1, "mem": 32,
        },
    }));
    cluster.wait_running(&id, 1);
    let line = "cat here; cat; echo oops >&2; exit 7";
    let ran = exec(&cluster, &["-i", "host/0", "--", "sh", "-c", line], "one\ntwo\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "mine\none\ntwo\n", "oops\n"));
    // Without -i it reads nothing.
    let ran = exec(&cluster, &["host", "--", "cat"], "one\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let ran = exec(&cluster, &["host", "--", "sh", "-c", "kill -9 $$"], "");
    assert_eq!(ran.code, 128 + 9);
    exec(&cluster, &["host", "--", "/no/such"], "").expect(1, &["execve /no/such failed"]);
    exec(&cluster, &["nobody-s", "--", "true"], "").expect(3, &["no task nobody-s is running"]);
    exec(&cluster, &["-it", "host", "--", "sh"], "").expect(2, &["standard input is none"]);
    let mut attached = Running::start(&["attach", "host/0"], Some(&cluster.masters()));
    with_a_terminal(&cluster);
    std::fs::write(&go, "").unwrap();
    assert_eq!(attached.line(), "out");
    assert_eq!(attached.rest(), "");
    cluster.wait_ended(&id);
    exec(&cluster, &["host", "--", "true"], "").expect(3, &["is running"]);
}

/// A shell of its own in a terminal, which is as before when it has ended.
fn with_a_terminal(cluster: &Cluster) {
    let has = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        println!("not run: a terminal of one's own is made by 'script', which is not installed");
        return;
    }
    let line = format!(
        "stty rows 31 cols 97; stty -g; {} exec --master {} -it host -- sh; echo code $?; stty -g",
        program().display(),
        cluster.masters()
    );
    let mut script = Command::new("script")
        .args(["-q", "-e", "-f", "-c", &line, "/dev/null"])
        .env("TERM", "vt100")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = script.stdin.take().unwrap();
    // Typed before there is anybody to read it; terminals keep it.
    input.write_all(b"stty size; echo $TERM; cat here; sleep 1000\n").unwrap();
    let mut output = script.stdout.take().unwrap();
    let mut all = String::new();
    let mut piece = [0; 4096];
    let mut is_interrupted = false;
    loop {
        let n = std::io::Read::read(&mut output, &mut piece).unwrap();
        if n == 0 {
            break;
        }
        all += &String::from_utf8_lossy(&piece[..n]);
        if !is_interrupted && all.contains("\nmine\r\n") {
            // Ctrl-C ends the sleep alone.
            input.write_all(b"\x03exit 5\n").unwrap();
            is_interrupted = true;
        }
    }
    script.wait().unwrap();
    assert!(all.contains("31 97\r\n") && all.contains("vt100\r\n"), "{all}");
    assert!(all.contains("code 5\r\n"), "{all}");
    let settings: Vec<&str> = all.lines().filter(|line| line.matches(':').count() > 20).collect();
    assert!(settings.len() == 2 && settings[0] == settings[1], "{all}");
}
