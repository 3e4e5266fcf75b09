//! `tepui exec` and `tepui attach`: people in containers of tasks, with pipes and with a terminal.

use crate::cluster::{Cluster, program};
use crate::http::{get, post};
use crate::program::{Running, Said, said};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// `tepui exec` with this on its standard input.
fn exec(cluster: &Cluster, arguments: &[&str], input: &str) -> Said {
    exec_at(&cluster.masters(), arguments, input)
}

/// The same, with masters named.
fn exec_at(master: &str, arguments: &[&str], input: &str) -> Said {
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

/// So many answers of a master's `/sessions` that were streams, or ends of sessions.
fn carried(leader: &str) -> u64 {
    let metrics = get(leader, "/metrics").unwrap().body;
    let of_sessions = |line: &&str| line.contains("route=\"/sessions\",") && line.contains("200");
    let counts = metrics.lines().filter(of_sessions).filter_map(|line| line.split(' ').nth(1));
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[test]
fn sessions_go_by_way_of_any_master() {
    let mut cluster = Cluster::start_with_three_masters(1, "cpus:2;mem:1024");
    let id = cluster.submit(&json!({
        "kind": "service", "name": "web",
        "task": { "command": "sleep 1000", "cpus": 0.1, "mem": 32 },
    }));
    cluster.wait_running(&id, 1);
    let (_, leader) = cluster.leading();
    // More than all the buffers on the way, in both directions.
    let many: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    for master in cluster.masters().split(',') {
        let before = carried(&leader);
        let ran = exec_at(master, &["-i", "web", "--", "cat"], &many);
        assert_eq!((ran.code, ran.out == many, ran.err.as_str()), (0, true, ""));
        let by_master = carried(&leader) - before;
        assert!(by_master >= 3, "containers, the session, its end: {by_master}");
    }
    for (path, status, words) in
        [("/sessions", 400, "name the agent"), ("/sessions?agent_id=S", 404, "no agent S is known")]
    {
        let answer = post(&leader, path, r#"{"type":"GET_CONTAINERS"}"#).unwrap();
        assert_eq!((answer.status, answer.body.contains(words)), (status, true), "{answer:?}");
    }
    let answer = post(&leader, "/sessions?agent_id=S", r#"{"type":"GET_STATE"}"#).unwrap();
    assert_eq!((answer.status, answer.body.contains("only calls about sessions")), (400, true));
    assert_eq!(get(&leader, "/sessions?agent_id=S").unwrap().status, 405);
}

#[test]
fn an_operator_says_who_opens_sessions_by_way_of_a_master() {
    let more = ["--sessions-from", "nowhere"];
    let cluster = Cluster::start_with_options(&more, 1, "cpus:2;mem:1024");
    let id = cluster.submit(&json!({
        "kind": "service", "name": "web",
        "task": { "command": "sleep 1000", "cpus": 0.1, "mem": 32 },
    }));
    cluster.wait_running(&id, 1);
    let master = cluster.masters();
    let before = carried(&master);
    // The agent takes it from its own machine.
    let ran = exec(&cluster, &["web", "--", "echo", "here"], "");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "here\n", ""));
    assert_eq!(carried(&master) - before, 1, "what containers there are it may know");
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
    input.write_all(b"stty size; echo $TERM; sh -c 'cat here; exec sleep 1000'\n").unwrap();
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
