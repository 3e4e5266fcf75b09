//! What the engine is asked, and what it is not.

use super::*;
use crate::containerizer::{
    Allocation, ContainerId, Mount as Asked, Root, SandboxChoice, VolumeLink,
};
use proto::PortMapping;

fn launch() -> Launch {
    Launch {
        id: ContainerId::new("c1").unwrap(),
        program: Program::Shell("exit 3".into()),
        environment: vec![("A".into(), "b".into()), ("MESOS_SANDBOX".into(), "mine".into())],
        user: None,
        rlimits: vec![Rlimit { resource: libc::RLIMIT_NOFILE, soft: 10, hard: u64::MAX }],
        sandbox: SandboxChoice::Pooled,
        allocation: Allocation {
            cpus_milli: 500,
            memory_bytes: Some(32 << 20),
            cpu_limit_milli: None,
            memory_soft_bytes: None,
            pids: Some(10),
            disk_bytes: None,
        },
        volumes: vec![VolumeLink {
            name: "v".into(),
            path: "data".into(),
            target: "/w/volumes/v".into(),
            shared: false,
        }],
        enclosure: None,
        network: None,
        docker: None,
        identity: None,
        record: Vec::new(),
        shared: None,
    }
}

fn task() -> DockerTask {
    DockerTask {
        gpus: Vec::new(),
        image: "busybox:1".into(),
        force_pull: false,
        network: "bridge".into(),
        ports: vec![PortMapping { host_port: 31000, container_port: 80, udp: false }],
        labels: vec![("tepui.agent".into(), "forged".into()), ("l".into(), "m".into())],
        directory: None,
        stop_signal: None,
        init: None,
        users: None,
    }
}

fn walls() -> Enclosure {
    let mount =
        |target: &str, read_only, source| Asked { target: target.into(), read_only, source };
    Enclosure {
        root: Root::Host,
        read_only: true,
        hostname: "h".into(),
        directory: SANDBOX.into(),
        mounts: vec![
            mount("/srv", true, MountSource::Host("/data:odd".into())),
            mount("/cache", false, MountSource::Sandbox("cache".into())),
            mount("/scratch", false, MountSource::Tmpfs(4096)),
        ],
        capabilities: 1 | 1 << 5,
        shm_bytes: 8 << 20,
        root_allowed: false,
        pod: None,
        devices: Vec::new(),
    }
}

fn limits() -> Limits {
    Limits {
        cpu_shares: 512,
        cpu_quota_us: Some(50_000),
        memory_bytes: Some(32 << 20),
        pids: Some(10),
        memory_soft_bytes: Some(16 << 20),
        disk_bytes: None,
    }
}

fn body(task: &DockerTask) -> ContainerCreateBody {
    let sandbox = Path::new("/w/sandboxes/docker-c1");
    create(&launch(), task, &walls(), &limits(), "7:8", sandbox, "agent-1").unwrap()
}

#[test]
fn limits_walls_and_names_are_the_agents() {
    let body = body(&task());
    let config = body.host_config.unwrap();
    assert_eq!((config.memory, config.memory_swap), (Some(32 << 20), Some(32 << 20)));
    assert_eq!(config.memory_reservation, Some(16 << 20));
    assert_eq!(
        (config.cpu_shares, config.cpu_quota, config.cpu_period),
        (Some(512), Some(50_000), Some(100_000))
    );
    assert_eq!(config.pids_limit, Some(10));
    assert_eq!(config.cap_drop.unwrap(), ["ALL"]);
    assert_eq!(config.cap_add.unwrap(), ["CHOWN", "KILL"]);
    assert_eq!(config.security_opt.unwrap(), ["no-new-privileges"]);
    assert_eq!((config.privileged, config.readonly_rootfs), (Some(false), Some(true)));
    assert_eq!(config.auto_remove, Some(false));
    let limit = &config.ulimits.unwrap()[0];
    assert_eq!(
        (limit.name.as_deref(), limit.soft, limit.hard),
        (Some("nofile"), Some(10), Some(-1))
    );
    let labels = body.labels.unwrap();
    // What a task may say of itself is not whose it is.
    assert_eq!(
        (&*labels[AGENT_LABEL], &*labels[CONTAINER_LABEL], &*labels["l"]),
        ("agent-1", "c1", "m")
    );
    assert_eq!((body.user.as_deref(), body.hostname.as_deref()), (Some("7:8"), Some("h")));
    assert_eq!(body.env.unwrap(), ["A=b", "MESOS_SANDBOX=mine", "MESOS_CONTAINER_NAME=mesos-c1"]);
    assert_eq!(body.entrypoint.unwrap(), ["/bin/sh", "-c", "exit 3"]);
}

#[test]
fn mounts_are_handed_on_whole_and_never_as_text_with_colons() {
    let config = body(&task()).host_config.unwrap();
    assert_eq!(config.binds, None);
    let mounts = config.mounts.iter().flatten();
    let binds = mounts.filter(|mount| mount.typ == Some(MountType::BIND));
    let alone = |mount: &Mount| mount.bind_options.as_ref().and_then(|o| o.non_recursive);
    assert!(binds.clone().all(|mount| alone(mount) == Some(true)) && binds.count() == 4);
    let told: Vec<_> = config
        .mounts
        .unwrap()
        .into_iter()
        .map(|mount| {
            (mount.source.unwrap_or_default(), mount.target.unwrap(), mount.read_only.unwrap())
        })
        .collect();
    let wanted = [
        ("/w/sandboxes/docker-c1", SANDBOX, false),
        ("/w/volumes/v", "/mnt/mesos/sandbox/data", false),
        ("/data:odd", "/srv", true),
        ("/w/sandboxes/docker-c1/cache", "/cache", false),
        ("", "/scratch", false),
    ];
    let wanted: Vec<_> = wanted.map(|(s, t, r)| (s.to_owned(), t.to_owned(), r)).into();
    assert_eq!(told, wanted);
}

#[test]
fn ports_lead_in_and_the_hosts_network_has_the_hosts_name() {
    let config = body(&task()).host_config.unwrap();
    let bindings = config.port_bindings.unwrap();
    let to = &bindings["80/tcp"].as_ref().unwrap()[0];
    assert_eq!(to.host_port.as_deref(), Some("31000"));
    let host = DockerTask { network: "host".into(), ports: Vec::new(), ..task() };
    let body = body(&host);
    assert_eq!((body.hostname, body.host_config.unwrap().port_bindings), (None, None));
}

#[test]
fn arguments_follow_the_images_entry_point() {
    let with = |argv: &[&str]| {
        let argv = argv.iter().map(|text| (*text).to_owned()).collect();
        let launch = Launch { program: Program::Exec { file: String::new(), argv }, ..launch() };
        create(&launch, &task(), &walls(), &limits(), "7", Path::new("/s"), "a").unwrap()
    };
    let body = with(&["serve", "-p"]);
    assert_eq!((body.entrypoint, body.cmd.unwrap()), (None, vec!["serve".into(), "-p".into()]));
    assert_eq!((with(&[]).entrypoint, with(&[]).cmd), (None, None));
}

#[test]
fn what_cannot_be_passed_on_is_refused() {
    let refused = |launch: &Launch| {
        create(launch, &task(), &walls(), &limits(), "7", Path::new("/s"), "a").unwrap_err()
    };
    let mut wrong = launch();
    wrong.environment.push(("A=B".into(), "c".into()));
    assert!(refused(&wrong).contains("A=B"));
    let mut wrong = launch();
    wrong.rlimits.push(Rlimit { resource: libc::RLIMIT_AS, soft: 1, hard: 1 });
    assert!(refused(&wrong).contains("RLMT_AS"));
}

#[test]
fn nobody_is_root_by_a_way_round() {
    for (asked, of_image) in [
        (None, ""),
        (None, "root"),
        (None, "0"),
        (None, "0:5"),
        (Some("0"), "7"),
        (Some("root"), "7"),
        (Some("app"), "7"),
        (Some(""), ""),
        (Some("-1"), "7"),
        (Some("4294967296"), "7"),
        (None, ":7"),
    ] {
        let refusal = user(asked, of_image, STRANGERS).unwrap_err();
        assert!(refusal.contains("--allow-root"), "{asked:?} {of_image:?}: {refusal}");
        assert!(user(asked, of_image, Rights { root: true, ..STRANGERS }).is_ok());
        assert!(user(asked, of_image, Rights { mapped: true, ..STRANGERS }).is_ok());
    }
    assert_eq!(user(None, "70007:70007", STRANGERS), Ok("70007:70007".into()));
    // The image may have it in any group.
    assert_eq!(user(Some("70009"), "root", STRANGERS), Ok("70009:70009".into()));
    assert_eq!((owner("7:8"), owner("9"), owner("app")), (Some((7, 8)), Some((9, 9)), None));
}

const STRANGERS: Rights<'static> = Rights { mapped: false, root: false, users: None };

#[test]
fn a_group_is_the_users_own_or_allowed_by_the_operator() {
    for asked in ["70007:0", "70007:6", "70007:70008", "70007:disk", "70007:"] {
        let refusal = user(Some(asked), "", STRANGERS).unwrap_err();
        assert!(refusal.contains("command.user"), "{asked}: {refusal}");
        assert!(user(None, asked, STRANGERS).is_err(), "{asked} of an image");
    }
    let named = ["70007:70008".to_owned(), "70009".to_owned()];
    let listed = Rights { users: Some(&named), ..STRANGERS };
    assert_eq!(user(Some("70007:70008"), "", listed), Ok("70007:70008".into()));
    assert_eq!(user(Some("70007"), "", listed), Ok("70007:70008".into()));
    assert_eq!(user(Some("70009"), "", listed), Ok("70009:70009".into()));
    for asked in ["70007:70007", "70009:70008", "70010", "70009:0"] {
        let refusal = user(Some(asked), "", listed).unwrap_err();
        assert!(refusal.contains("--task-users"), "{asked}: {refusal}");
    }
    // With a list root must be on it, too.
    let listed = Rights { root: true, ..listed };
    assert!(user(Some("0"), "", listed).unwrap_err().contains("--task-users"));
}
