//! Whether any agent could ever take a unit, with figures.
//!
//! It compares with all that an agent has, not with what is free: what is merely busy is waited
//! for, what can never fit is refused at once.

use crate::api::Problem;
use driver::core::{RuleTest, Template};
use proto::operator::AgentView;
use proto::{AttributeValue, Value};
use std::collections::{BTreeMap, BTreeSet};

/// An agent's totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Its host name if no other agent has the same, else its id.
    pub(crate) name: String,
    /// Scalars in thousandths.
    pub(crate) totals: BTreeMap<String, u64>,
    pub(crate) ports: u64,
    /// Names and values of its attributes, host name and domain included.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Agent {
    pub(crate) fn all(views: &[AgentView]) -> Vec<Self> {
        let mut hosts: BTreeMap<&str, u32> = BTreeMap::new();
        for view in views {
            *hosts.entry(&view.info.hostname).or_default() += 1;
        }
        views.iter().map(|view| Self::new(view, hosts[&*view.info.hostname] == 1)).collect()
    }

    fn new(view: &AgentView, host_is_unique: bool) -> Self {
        let info = &view.info;
        let id = info.id.as_ref().filter(|_| !host_is_unique);
        let mut agent = Self {
            name: id.map_or_else(|| info.hostname.to_string(), ToString::to_string),
            ports: info.resources.ranges("ports").count(),
            ..Self::default()
        };
        for piece in info.resources.pieces() {
            if let Value::Scalar(milli) = piece.value {
                *agent.totals.entry(piece.name.as_str().to_owned()).or_default() += milli;
            }
        }
        agent.attributes.insert("hostname".to_owned(), info.hostname.to_string());
        if let Some(domain) = &info.domain {
            agent.attributes.insert("region".to_owned(), domain.region.to_string());
            agent.attributes.insert("zone".to_owned(), domain.zone.to_string());
        }
        for attribute in &info.attributes {
            let value = match &attribute.value {
                AttributeValue::Text(text) => text.to_string(),
                AttributeValue::Scalar(milli) => show(*milli),
                AttributeValue::Ranges(ranges) => ranges.to_string(),
            };
            agent.attributes.insert(attribute.name.to_string(), value);
        }
        agent
    }

    fn has(&self, name: &str) -> u64 {
        self.totals.get(name).copied().unwrap_or(0)
    }

    fn could_take(&self, template: &Template) -> bool {
        self.ports >= u64::from(template.ports)
            && template.resources.iter().all(|(name, milli)| self.has(name) >= *milli)
    }
}

/// What no agent could ever give. Nothing when there are no agents: some may come.
pub(crate) fn impossible(template: &Template, agents: &[Agent]) -> Vec<Problem> {
    if agents.is_empty() || agents.iter().any(|agent| agent.could_take(template)) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (name, wanted) in &template.resources {
        let largest = agents.iter().rev().max_by_key(|agent| agent.has(name));
        let Some(largest) = largest.filter(|agent| agent.has(name) < *wanted) else { continue };
        let (needs, has) = (amount(name, *wanted), amount(name, largest.has(name)));
        let problem = if largest.has(name) == 0 {
            format!("needs {needs}; no agent has any")
        } else {
            format!("needs {needs}; the largest agent has {has} ({})", largest.name)
        };
        problems.push(Problem { path: format!("task.{name}"), problem });
    }
    let most_ports = agents.iter().rev().max_by_key(|agent| agent.ports);
    if let Some(most) = most_ports.filter(|agent| agent.ports < u64::from(template.ports)) {
        let wanted = template.ports;
        let problem = format!("needs {wanted} ports; the most are {} ({})", most.ports, most.name);
        problems.push(Problem { path: "task.ports".to_owned(), problem });
    }
    if problems.is_empty() {
        let all: Vec<String> =
            template.resources.iter().map(|(name, milli)| amount(name, *milli)).collect();
        let problem = format!("needs {} on one agent; no agent has all of it", all.join(" and "));
        problems.push(Problem { path: "task".to_owned(), problem });
    }
    problems
}

/// Hard rules that no agent of now can meet; one that can may come, so these are no refusals.
pub(crate) fn warnings(template: &Template, agents: &[Agent]) -> Vec<String> {
    if agents.is_empty() {
        return vec!["no agent is registered with the master".to_owned()];
    }
    let hard = template.rules.iter().filter(|rule| rule.weight.is_none());
    hard.filter_map(|rule| match &rule.test {
        RuleTest::In(name, wanted) => {
            let found: BTreeSet<&str> = values(agents, name).collect();
            let met = wanted.iter().any(|value| found.contains(value.as_str()));
            let wanted = wanted.join(" or ");
            (!met).then(|| match found.is_empty() {
                true => format!("no agent has the attribute '{name}'"),
                false => {
                    let found: Vec<&str> = found.into_iter().take(10).collect();
                    format!("no agent has {name} {wanted}; there are {}", found.join(", "))
                }
            })
        }
        RuleTest::Exists(name)
        | RuleTest::UniqueAttribute(name)
        | RuleTest::AtLeast(name, _)
        | RuleTest::AtMost(name, _) => {
            let none = values(agents, name).next().is_none();
            none.then(|| format!("no agent has the attribute '{name}'"))
        }
        RuleTest::NotIn(..)
        | RuleTest::Absent(_)
        | RuleTest::UniqueHost
        | RuleTest::Spread(_)
        | RuleTest::ExclusiveHost => None,
    })
    .collect()
}

fn values<'a>(agents: &'a [Agent], name: &'a str) -> impl Iterator<Item = &'a str> {
    agents.iter().filter_map(move |agent| agent.attributes.get(name).map(String::as_str))
}

fn amount(name: &str, milli: u64) -> String {
    let number = show(i64::try_from(milli).unwrap_or(i64::MAX));
    match name {
        "mem" => format!("{number} MB of memory"),
        "disk" => format!("{number} MB of disk"),
        other => format!("{number} {other}"),
    }
}

/// Thousandths as a decimal number.
fn show(milli: i64) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let (whole, part) = (milli.unsigned_abs() / 1000, milli.unsigned_abs() % 1000);
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let text = format!("{sign}{whole}.{part:03}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use driver::core::Rule;

    fn agent(name: &str, cpus: u64, mem: u64, zone: &str) -> Agent {
        Agent {
            name: name.to_owned(),
            totals: [("cpus", cpus), ("mem", mem)].map(|(n, m)| (n.to_owned(), m)).into(),
            ports: 10,
            attributes: [("zone".to_owned(), zone.to_owned())].into(),
        }
    }

    fn needs(cpus: u64, mem: u64) -> Template {
        let resources = [("cpus", cpus), ("mem", mem)].map(|(n, m)| (n.to_owned(), m)).into();
        Template { resources, ..Template::default() }
    }

    fn said(template: &Template, agents: &[Agent]) -> Vec<String> {
        impossible(template, agents).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_more_than_any_agent_has_is_refused_with_figures() {
        let agents = [agent("a1", 4000, 1_000_000, "a"), agent("a2", 1500, 8_000_000, "b")];
        assert_eq!(said(&needs(4000, 1_000_000), &agents), Vec::<String>::new());
        assert_eq!(
            said(&needs(64_000, 9_000_000), &agents),
            [
                "task.cpus: needs 64 cpus; the largest agent has 4 cpus (a1)",
                "task.mem: needs 9000 MB of memory; the largest agent has 8000 MB of memory (a2)",
            ]
        );
        assert_eq!(
            said(&needs(2500, 8_000_000), &agents),
            ["task: needs 2.5 cpus and 8000 MB of memory on one agent; no agent has all of it"]
        );
        let mut ports = needs(1, 1);
        ports.ports = 11;
        ports.resources.insert("gpus".to_owned(), 1000);
        assert_eq!(
            said(&ports, &agents),
            [
                "task.gpus: needs 1 gpus; no agent has any",
                "task.ports: needs 11 ports; the most are 10 (a1)",
            ]
        );
        assert_eq!(said(&needs(64_000, 1), &[]), Vec::<String>::new());
    }

    #[test]
    fn rules_that_no_agent_meets_are_warned_of() {
        let agents = [agent("a1", 4000, 1000, "a"), agent("a2", 4000, 1000, "b")];
        let mut template = needs(1, 1);
        let zone = |value: &str| RuleTest::In("zone".into(), vec![value.into()]);
        let rules = [zone("b"), zone("q"), RuleTest::Exists("gpu".into())];
        template.rules = rules.map(|test| Rule { test, weight: None }).into();
        assert_eq!(
            warnings(&template, &agents),
            ["no agent has zone q; there are a, b", "no agent has the attribute 'gpu'"]
        );
    }
}
