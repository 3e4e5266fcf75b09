//! Weights and quotas by the operator API.

use crate::testing::*;
use proto::operator::Call;
use proto::{QuotaConfig, Weight};

fn weight(name: &str, weight_milli: u64) -> Weight {
    Weight { role: role(name), weight_milli }
}

fn config(name: &str, guarantees: &str, limits: &str) -> QuotaConfig {
    let quota = quota(guarantees, limits);
    QuotaConfig { role: role(name), guarantees: quota.guarantees, limits: quota.limits }
}

#[test]
fn weights_are_set_together_or_not_at_all() {
    let mut c = Cluster::default();
    let wrong = vec![weight("a", 2000), weight("b", 0)];
    expect(
        &c.operator(Call::UpdateWeights(wrong)),
        &["UPDATE_WEIGHTS refused (400): the weight of role 'b' must be more than zero"],
    );
    assert!(c.master.registry().weights().is_empty());
    let lines = c.operator(Call::UpdateWeights(vec![weight("a", 2000), weight("b", 3000)]));
    expect(&lines, &["registry: weight a 2000", "registry: weight b 3000", "answer: Ok"]);
    let lines = c.operator(Call::GetWeights);
    assert!(lines[0].contains("2000") && lines[0].contains("3000"), "{lines:?}");
}

#[test]
fn quotas_are_set_together_or_not_at_all() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let wrong = vec![config("a", "cpus:1", ""), config("*", "cpus:1", "")];
    let lines = c.operator(Call::UpdateQuota { force: false, configs: wrong });
    assert!(lines[0].starts_with("UPDATE_QUOTA refused (400)"), "{lines:?}");
    assert!(c.master.registry().quotas().is_empty());
    let right = vec![config("a", "cpus:1", "cpus:2")];
    let lines = c.operator(Call::UpdateQuota { force: false, configs: right });
    assert_eq!(lines.last().unwrap(), "answer: Ok", "{lines:?}");
    assert!(c.master.registry().quotas().contains_key(&role("a")));
}

#[test]
fn the_old_way_sets_and_removes_one() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let guarantee = quota("cpus:1", "").guarantees;
    let set = Call::SetQuota { force: false, role: role("a"), guarantee };
    assert_eq!(c.operator(set.clone()).last().unwrap(), "answer: Ok");
    let limits = c.master.registry().quotas()[&role("a")].limits.clone();
    assert_eq!(limits.values().copied().collect::<Vec<_>>(), [1000]);
    let lines = c.operator(set);
    assert!(lines[0].contains("refused (400)"), "{lines:?}");
    assert_eq!(c.operator(Call::RemoveQuota(role("a"))).last().unwrap(), "answer: Ok");
    let lines = c.operator(Call::RemoveQuota(role("a")));
    assert!(lines[0].contains("refused (400)"), "{lines:?}");
}
