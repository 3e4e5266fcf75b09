//! Reservations, volumes and shared resources: what they add up to, and what operations make of
//! them.

use proptest::prelude::*;
use proto::{
    ChangeInvalid, Disk, DiskKind, DiskSource, Flavor, Persistence, Piece, Reservation,
    ReservationKind, ResourceChange, ResourceName, Resources, Role, Special, Value, VolumeId,
    VolumeMount, testing,
};

/// A failure is printed with its smallest input; nothing is written beside the tests.
fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn reservation(name: &str) -> Reservation {
    let kind = ReservationKind::Dynamic;
    Reservation { kind, role: role(name), principal: Some("p".into()), labels: Vec::new() }
}

fn disk(milli: u64, reservations: &[&str], disk: Option<Disk>, shared: bool) -> Piece {
    let reservations = reservations.iter().map(|name| reservation(name)).collect();
    let special = Special { reservations, disk, shared, provider: None };
    let flavor = Flavor::new(false, special);
    Piece { name: ResourceName::new("disk"), flavor, value: Value::Scalar(milli) }
}

fn volume(id: &str, milli: u64, shared: bool) -> Piece {
    let persistence = Some(Persistence { id: VolumeId::new(id).unwrap(), principal: None });
    let mount = Some(VolumeMount { container_path: "data".into(), read_only: false });
    disk(milli, &["eng"], Some(Disk { source: None, persistence, mount }), shared)
}

fn all(pieces: impl IntoIterator<Item = Piece>) -> Resources {
    pieces.into_iter().collect()
}

#[test]
fn reserved_and_unreserved_do_not_mix() {
    let plain = Resources::cpus_mem(4000, 8000);
    let eng = Resources::cpus_mem(1000, 0).push_reservation(&reservation("eng"));
    let prod = eng.push_reservation(&reservation("eng/prod"));
    let sum = plain.plus(&eng).plus(&prod);
    assert_eq!((sum.cpus(), sum.pieces().len()), (6000, 4));
    assert!(!sum.contains(&Resources::cpus_mem(5000, 0)));
    assert_eq!(sum.unreserved(), plain);
    assert_eq!(sum.reserved_to(&role("eng")), eng);
    assert_eq!(sum.allocatable_to(&role("eng")), plain.plus(&eng));
    assert_eq!(sum.allocatable_to(&role("eng/prod")), sum);
    assert_eq!(sum.allocatable_to(&role("engine")), plain);
    assert_eq!(prod.pop_reservation(), eng);
    assert_eq!(prod.to_unreserved().plus(&eng.to_unreserved()), Resources::cpus_mem(2000, 0));
    let roles: Vec<&str> = sum.reservation_roles().map(Role::as_str).collect();
    assert_eq!(roles, ["eng", "eng/prod"]);
    assert_eq!(prod.to_string(), "cpus(reservations: [(DYNAMIC,eng,p),(DYNAMIC,eng/prod,p)]):1");
}

#[test]
fn labels_and_principals_tell_reservations_apart() {
    let cpus = Resources::cpus_mem(1000, 0);
    let other = Reservation { principal: Some("q".into()), ..reservation("eng") };
    let labels = vec![("k".into(), Some("v".into()))];
    let labelled = Reservation { labels, ..reservation("eng") };
    let sum = cpus
        .push_reservation(&reservation("eng"))
        .plus(&cpus.push_reservation(&other))
        .plus(&cpus.push_reservation(&labelled));
    assert_eq!(sum.pieces().len(), 3);
    assert!(!sum.contains(&Resources::cpus_mem(2000, 0).push_reservation(&other)));
}

#[test]
fn volumes_are_whole() {
    let (a, b) = (volume("a", 1000, false), volume("b", 1000, false));
    let mut both = all([a.clone(), b.clone()]);
    assert_eq!(both.pieces().len(), 2);
    let half = Piece { value: Value::Scalar(500), ..a.clone() };
    assert!(!both.contains(&all([half.clone()])));
    assert!(both.subtract(&all([half])).is_err());
    // How a task mounts it makes no difference.
    let unmounted = Piece {
        flavor: a.flavor.with(|special| special.disk.as_mut().unwrap().mount = None),
        ..a.clone()
    };
    assert!(both.subtract(&all([unmounted])).is_ok());
    assert_eq!(both, all([b]));
    // Two of one name, on two agents say, stay two.
    let twins = all([a.clone(), a.clone()]);
    assert_eq!((twins.pieces().len(), twins.scalar("disk")), (2, 2000));
    assert!(twins.contains(&twins) && !all([a]).contains(&twins));
    let mount = Disk { source: Some(DiskSource::new(DiskKind::Mount, "/d")), ..Disk::default() };
    let mount = disk(2000, &[], Some(mount), false);
    assert!(!all([mount.clone()]).contains(&all([Piece { value: Value::Scalar(1), ..mount }])));
}

#[test]
fn shared_volumes_count_their_users_and_their_space_once() {
    let shared = volume("s", 1000, true);
    let one = all([shared.clone()]);
    let mut used = one.plus(&one).plus(&one);
    assert_eq!((used.pieces().len(), used.scalar("disk")), (3, 1000));
    assert_eq!(used.quantities().iter().map(|(_, milli)| milli).sum::<u64>(), 1000);
    assert!(used.subtract(&one).is_ok() && used.contains(&one));
    assert!(used.subtract(&one).is_ok() && used.subtract(&one).is_ok());
    assert!(used.is_empty() && used.subtract(&one).is_err());
    let mixed = one.plus(&Resources::cpus_mem(1, 1));
    assert_eq!((mixed.shared(), mixed.non_shared()), (one, Resources::cpus_mem(1, 1)));
}

#[test]
fn operations_consume_and_convert() {
    let cpus = Resources::cpus_mem(1000, 0);
    let reserved = cpus.push_reservation(&reservation("eng"));
    let refined =
        cpus.push_reservation(&reservation("eng")).push_reservation(&reservation("eng/a"));
    let change = |change: ResourceChange| {
        let conversion = change.conversion().unwrap();
        (conversion.consumed, conversion.converted)
    };
    let none = Resources::new();
    let reserve = |source: &Resources, resources: &Resources| ResourceChange::Reserve {
        source: source.clone(),
        resources: resources.clone(),
    };
    assert_eq!(change(reserve(&none, &reserved)), (cpus.clone(), reserved.clone()));
    assert_eq!(change(reserve(&none, &refined)), (reserved.clone(), refined.clone()));
    let other = cpus.push_reservation(&reservation("ops"));
    assert_eq!(change(reserve(&other, &refined)), (other, refined));
    let unreserve = ResourceChange::Unreserve { resources: reserved.clone() };
    assert_eq!(change(unreserve), (reserved, cpus));

    let space = all([disk(1000, &["eng"], None, false)]);
    let shared = all([volume("v", 1000, true)]);
    let create = ResourceChange::Create { volumes: shared.clone() };
    assert_eq!(change(create), (space.clone(), shared.clone()));
    let destroy = ResourceChange::Destroy { volumes: shared.clone() };
    assert_eq!(change(destroy), (shared, space));

    let small = volume("v", 1000, false);
    let (grown, addition) = (volume("v", 1500, false), disk(500, &["eng"], None, false));
    let grow = ResourceChange::Grow { volume: small.clone(), addition: addition.clone() };
    assert!(!grow.is_speculative());
    assert_eq!(change(grow), (all([small.clone(), addition.clone()]), all([grown.clone()])));
    let shrink = ResourceChange::Shrink { volume: grown.clone(), subtract_milli: 500 };
    assert_eq!(change(shrink), (all([grown]), all([small, addition])));
}

#[test]
fn operations_that_make_no_sense() {
    let invalid = |change: ResourceChange| change.conversion().unwrap_err().to_string();
    let reserve = |resources| ResourceChange::Reserve { source: Resources::new(), resources };
    let cpus = Resources::cpus_mem(1000, 0);
    assert_eq!(invalid(reserve(Resources::new())), "no resources are named");
    assert_eq!(invalid(reserve(cpus.clone())), "cpus is not reserved");
    let fixed = Reservation { kind: ReservationKind::Static, ..reservation("eng") };
    assert_eq!(
        invalid(ResourceChange::Unreserve { resources: cpus.push_reservation(&fixed) }),
        "cpus(reservations: [(STATIC,eng,p)]) is reserved by the agent's configuration"
    );
    let more = Resources::cpus_mem(2000, 0);
    let change = ResourceChange::Reserve {
        source: more,
        resources: cpus.push_reservation(&reservation("eng")),
    };
    assert_eq!(change.conversion(), Err(ChangeInvalid::SourceDiffers));
    let volumes = all([disk(1000, &["eng"], None, false)]);
    assert_eq!(
        invalid(ResourceChange::Create { volumes }),
        "disk(reservations: [(DYNAMIC,eng,p)]) is not a persistent volume"
    );
    let volume = volume("v", 1000, false);
    let addition = disk(500, &["ops"], None, false);
    assert_eq!(
        invalid(ResourceChange::Grow { volume: volume.clone(), addition }),
        "disk(reservations: [(DYNAMIC,ops,p)]) is not space of the volume's kind"
    );
    assert_eq!(
        invalid(ResourceChange::Shrink { volume: volume.clone(), subtract_milli: 1000 }),
        "a volume of 1 MB cannot shrink by 1 MB"
    );
    let shared = Piece { flavor: volume.flavor.with(|special| special.shared = true), ..volume };
    assert_eq!(
        invalid(ResourceChange::Shrink { volume: shared, subtract_milli: 1 }),
        "disk(reservations: [(DYNAMIC,eng,p)])[v:data]<SHARED> can neither grow nor shrink"
    );
}

proptest! {
    #![proptest_config(cases())]

    /// However resources are cut by who reserved them, the parts make up the whole.
    #[test]
    fn parts_make_up_the_whole(a in testing::resources()) {
        prop_assert_eq!(a.unreserved().plus(&a.reserved()), a.clone());
        prop_assert_eq!(a.revocable().plus(&a.non_revocable()), a.clone());
        prop_assert_eq!(a.shared().plus(&a.non_shared()), a.clone());
        let mut sum = a.unreserved();
        for role in a.reservation_roles() {
            sum.add(&a.reserved_to(role));
        }
        prop_assert_eq!(&sum, &a);
        prop_assert_eq!(a.has_reserved(), !a.reserved().is_empty());
    }

    #[test]
    fn reservations_are_undone(a in testing::resources(), b in testing::resources()) {
        let top = reservation("zz");
        let pushed = a.push_reservation(&top);
        prop_assert_eq!(pushed.pop_reservation(), a.clone());
        prop_assert_eq!(pushed.reserved_to(&role("zz")), pushed.clone());
        prop_assert_eq!(pushed.quantities(), a.quantities());
        prop_assert_eq!(a.plus(&b).push_reservation(&top), pushed.plus(&b.push_reservation(&top)));
    }

    /// What an operation takes and what it puts there is the same amount, and undoing it is
    /// possible.
    #[test]
    fn operations_keep_amounts(change in testing::resource_change(), rest in testing::resources()) {
        if let Ok(conversion) = change.conversion() {
            let amount = |r: &Resources| r.scalar("disk") + r.scalar("cpus") + r.scalar("mem");
            let shared = !conversion.converted.shared().is_empty()
                || !conversion.consumed.shared().is_empty();
            prop_assert!(shared || amount(&conversion.consumed) == amount(&conversion.converted));
            let before = rest.plus(&conversion.consumed);
            let mut after = before.clone();
            prop_assert!(after.subtract(&conversion.consumed).is_ok());
            after.add(&conversion.converted);
            prop_assert!(after.contains(&conversion.converted));
            prop_assert!(after.subtract(&conversion.converted).is_ok());
        }
    }
}
