//! Every message survives the wire, and nothing that arrives can panic the reader.

use super::*;
use crate::supervisor::task::{
    Credentials, Device, Enclosure, Ended, LaunchError, Launched, Limitation, Mount, MountSource,
    Network, NetworkPod, PortMap, Pressure, Program, Recovered, Rlimit, Root, SandboxChoice,
    SandboxFate, Traffic, Usage, Victim, VolumeLink, WaitStatus,
};

fn id() -> ContainerId {
    ContainerId::new("job-1.0").unwrap()
}

fn volume() -> VolumeLink {
    VolumeLink {
        name: "volume v of role r".into(),
        path: "data".into(),
        target: "/volumes/v".into(),
        shared: true,
    }
}

fn spec() -> TaskSpec {
    TaskSpec {
        id: id(),
        program: Program::Exec { file: "sh".into(), argv: vec!["sh".into(), "-c".into()] },
        environment: vec!["A=1".into(), String::new()],
        credentials: Some(Credentials { uid: 7, gid: 8, groups: vec![9, 10] }),
        rlimits: vec![Rlimit { resource: 7, soft: 1, hard: u64::MAX }],
        sandbox: SandboxChoice::At("/x y".into()),
        limits: Limits {
            cpu_shares: 2,
            cpu_quota_us: Some(5),
            memory_bytes: None,
            pids: Some(9),
            memory_soft_bytes: Some(7),
            disk_bytes: Some(7),
        },
        volumes: Vec::new(),
        enclosure: None,
        network: None,
        record: vec![0, 255, 3],
        shared: None,
    }
}

fn enclosure() -> Box<Enclosure> {
    let mount = |target: &str, source| Mount { target: target.into(), read_only: true, source };
    Box::new(Enclosure {
        root: Root::Image("/images/i".into()),
        read_only: true,
        hostname: "h".into(),
        directory: "/w".into(),
        mounts: vec![
            mount("/a", MountSource::Host("/b".into())),
            mount("/c", MountSource::Sandbox("d".into())),
            mount("/e", MountSource::Tmpfs(7)),
        ],
        capabilities: 1 << 40 | 3,
        shm_bytes: 9,
        root_allowed: true,
        pod: Some("p".into()),
        devices: vec![Device { name: "nvidia0".into(), major: 195, minor: 1 }],
    })
}

fn ended() -> Ended {
    Ended {
        status: WaitStatus::Signaled(9),
        limitation: Some(Limitation::Memory {
            usage_bytes: 3,
            limit_bytes: 4,
            victim: Some(Victim { name: "v".into(), pid: 5 }),
        }),
        kill_requested: true,
        pids_refused: 2,
        cpu_time: Duration::from_nanos(5),
        max_rss_bytes: 6,
        lasted: Duration::from_secs(7),
        ended_unix_ns: 8,
        stdout_bytes: 9,
        stderr_bytes: 10,
        lost_bytes: 11,
        sandbox: SandboxFate::Kept("/k".into()),
    }
}

fn launched() -> Launched {
    Launched { pid: 3, started_boot_ns: 4, sandbox: "/s".into(), address: None, layer: None }
}

fn network() -> Box<Network> {
    let map = |udp| PortMap { host: 0xfffe, inside: 80, udp };
    Box::new(Network {
        subnet: [10, 200, 0, 0].into(),
        prefix: 16,
        bits_a_second: Some(1 << 40),
        ports: vec![map(true), map(false)],
        masquerade: true,
        link_local: true,
        cluster: true,
        pod: None,
    })
}

fn shared_network() -> Box<Network> {
    let ports = network().ports;
    let pod = NetworkPod { name: "p".into(), bits_a_second: Some(7), ports };
    Box::new(Network { pod: Some(pod), ..*network() })
}

fn orders() -> Vec<Order> {
    let mut shell = spec();
    shell.program = Program::Shell("echo ü".into());
    shell.credentials = None;
    shell.sandbox = SandboxChoice::Pooled;
    vec![
        Order::Hello,
        Order::Launch(Box::new(spec())),
        Order::Launch(Box::new(shell)),
        Order::Launch(Box::new(TaskSpec { shared: Some(5), ..spec() })),
        Order::Launch(Box::new(TaskSpec { volumes: vec![volume()], ..spec() })),
        Order::Launch(Box::new(TaskSpec { shared: Some(5), volumes: vec![volume()], ..spec() })),
        Order::Launch(Box::new(TaskSpec { enclosure: Some(enclosure()), ..spec() })),
        Order::Launch(Box::new(TaskSpec {
            enclosure: Some(Box::new(Enclosure { root: Root::Host, ..*enclosure() })),
            shared: Some(5),
            volumes: vec![volume()],
            ..spec()
        })),
        Order::Launch(Box::new(TaskSpec { network: Some(network()), ..spec() })),
        Order::Launch(Box::new(TaskSpec {
            enclosure: Some(enclosure()),
            network: Some(Box::new(Network { bits_a_second: None, ..*network() })),
            shared: Some(5),
            volumes: vec![volume()],
            ..spec()
        })),
        Order::Launch(Box::new(TaskSpec { network: Some(shared_network()), ..spec() })),
        Order::Share { key: 5, bytes: [1, 2].into() },
        Order::Unshare { key: 5 },
        Order::Signal { id: id(), signal: 15 },
        Order::Kill { id: id(), grace: Duration::from_millis(1500) },
        Order::Update { id: id(), limits: Limits::default() },
        Order::Usage { id: id() },
        Order::Look {
            number: 7,
            timeout: Duration::from_secs(20),
            spec: Box::new(TaskSpec { record: Vec::new(), ..spec() }),
        },
        Order::Forget { id: id() },
        Order::Shutdown,
        Order::Logs(LogPolicy { part_bytes: 1 << 40, parts: 7 }),
        Order::Close(Closed {
            here: [1, u16::MAX].into(),
            there: ["10.0.0.1:5050".parse().unwrap(), "10.0.0.1:5051".parse().unwrap()].into(),
        }),
        Order::Sample { all: true },
        Order::Exceeded {
            id: id(),
            limitation: Limitation::Disk { usage_bytes: 3, limit_bytes: 2 },
        },
        Order::Enter {
            number: 9,
            stdio: Stdio::Terminal("/dev/pts/3".into()),
            spec: Box::new(TaskSpec { enclosure: Some(enclosure()), ..spec() }),
        },
        Order::Enter {
            number: 9,
            stdio: Stdio::Pipes(["/a", "/b", "/c"].map(Into::into)),
            spec: Box::new(spec()),
        },
        Order::SignalSession { number: 9, signal: 15 },
    ]
}

fn usages() -> Vec<(ContainerId, Usage)> {
    let second = Duration::from_secs(1);
    let pressure = Some(Pressure { cpu: second, memory: 2 * second, io: 3 * second });
    let traffic = Some(Traffic { sent_bytes: 9, received_bytes: 10 });
    let usage =
        Usage { cpu_quota_us: Some(7), read_bytes: 8, pressure, traffic, ..Usage::default() };
    vec![(id(), usage), (id(), Usage::default())]
}

fn reports() -> Vec<Report> {
    let known = |ended, shared| {
        let record = vec![1];
        let launched = launched();
        let (kill_requested, remains) = (true, false);
        let shared_record = None;
        let known = Recovered {
            id: id(),
            record,
            shared: shared_record,
            launched,
            ended,
            kill_requested,
            remains,
        };
        Report::Known { known: Box::new(known), shared }
    };
    let remains = |ended| match known(ended, None) {
        Report::Known { known, shared } => {
            let known = Box::new(Recovered { remains: true, record: Vec::new(), ..*known });
            Report::Known { known, shared }
        }
        other => other,
    };
    let failed = |error| Report::LaunchFailed { id: id(), error };
    let usage = Usage { pids: 4, memory_limit_bytes: Some(3), ..Usage::default() };
    vec![
        Report::Welcome { pid: 1, isolation: "v1".into(), warning: Some("w".into()) },
        Report::Welcome { pid: 1, isolation: "v2".into(), warning: None },
        known(None, None),
        remains(None),
        remains(Some(ended())),
        known(Some(ended()), None),
        known(Some(ended()), Some(7)),
        Report::Shared { key: 7, bytes: [].into() },
        Report::Complete,
        Report::Launched { id: id(), launched: launched() },
        Report::Launched {
            id: id(),
            launched: Launched {
                address: Some([10, 200, 0, 2].into()),
                layer: Some("/l".into()),
                ..launched()
            },
        },
        failed(LaunchError::AlreadyExists),
        failed(LaunchError::Spawn { step: "execve x".into(), errno: 2 }),
        failed(LaunchError::Refused("no".into())),
        failed(LaunchError::Impossible("never".into())),
        Report::Ended { id: id(), ended: Box::new(ended()) },
        Report::Usage { id: id(), usage: Some(usage) },
        Report::Usage { id: id(), usage: None },
        Report::Updated { id: id(), problem: Some("r".into()) },
        Report::Updated { id: id(), problem: None },
        Report::Looked { id: id(), number: 7, result: Ok(WaitStatus::Exited(3)) },
        Report::Looked { id: id(), number: 8, result: Err(LaunchError::AlreadyExists) },
        Report::Refused { reason: "busy".into() },
        Report::ShutdownRefused { running: 3 },
        Report::LogCut { id: id() },
        Report::Sampled { begun_boot_ns: 5, usages: usages(), complete: true },
        Report::Entered { id: id(), number: 9, result: Ok(77) },
        Report::Entered { id: id(), number: 9, result: Err(LaunchError::AlreadyExists) },
        Report::Left { number: 9, status: WaitStatus::Signaled(9) },
    ]
}

#[test]
fn every_message_survives_the_wire() {
    for order in orders() {
        let mut bytes = Vec::new();
        order.encode(&mut bytes);
        assert_eq!(frame_length(&bytes), Ok(Some(bytes.len())));
        assert_eq!(Order::decode(&bytes), Ok(order));
    }
    for report in reports() {
        let mut bytes = Vec::new();
        report.encode(&mut bytes);
        assert_eq!(frame_length(&bytes), Ok(Some(bytes.len())));
        assert_eq!(Report::decode(&bytes), Ok(report));
    }
}

#[test]
fn truncated_and_altered_frames_are_refused_or_read_but_never_panic() {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for order in orders() {
        frames.push(Vec::new());
        order.encode(frames.last_mut().unwrap());
    }
    for report in reports() {
        frames.push(Vec::new());
        report.encode(frames.last_mut().unwrap());
    }
    for frame in frames {
        for cut in HEADER..frame.len() {
            assert!(Order::decode(&frame[..cut]).is_err());
            assert!(Report::decode(&frame[..cut]).is_err());
        }
        for position in 5..frame.len() {
            for value in [0, 1, 2, 127, 128, 255] {
                let mut altered = frame.clone();
                altered[position] = value;
                let _ = Order::decode(&altered);
                let _ = Report::decode(&altered);
            }
        }
    }
}

#[test]
fn lengths_and_versions_are_checked_before_anything_is_read() {
    assert_eq!(frame_length(&[1, 0, 0]), Ok(None));
    assert_eq!(frame_length(&[1, 0, 0, 0, VERSION, 1]), Ok(None));
    assert_eq!(frame_length(&[0, 0, 0, 0, 9, 1]), Err(WireError::Version(9)));
    let long = u32::to_le_bytes(u32::MAX);
    let header = [long[0], long[1], long[2], long[3], VERSION, 1];
    assert!(matches!(frame_length(&header), Err(WireError::TooLong(_))));
}
