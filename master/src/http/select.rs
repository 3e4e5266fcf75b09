//! Which part of a list a reader wants: some of its elements, by what they belong to and by their
//! place, and some fields of each. The same for every list and every way to ask.

use super::json::Fields;
use proto::operator::Selection;
use proto::{AgentId, FrameworkId, Role, TaskId};
use std::collections::BTreeSet;

/// What is wanted. An element fits that has all that is named here; what an element has nothing of
/// is no matter to it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) framework: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) fields: Fields,
    pub(crate) page: Page,
}

impl Wanted {
    /// Everything.
    pub(crate) fn all() -> Self {
        let page = Page { offset: 0, limit: usize::MAX };
        let fields = Fields::default();
        Self { framework: None, agent: None, task: None, role: None, fields, page }
    }

    pub(crate) fn of(selection: &Selection) -> Self {
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let fields = selection.fields.iter().map(|field| field.to_string());
        Self {
            framework: selection.framework_id.as_ref().map(|id| id.as_str().to_owned()),
            agent: selection.agent_id.as_ref().map(|id| id.as_str().to_owned()),
            task: selection.task_id.as_ref().map(|id| id.as_str().to_owned()),
            role: selection.role.as_ref().map(|role| role.as_str().to_owned()),
            fields: Fields::some(fields),
            page: Page {
                offset: number(selection.offset),
                limit: selection.limit.map_or(usize::MAX, number),
            },
        }
    }

    /// Whether that is everything, of everything.
    pub(crate) fn is_all(&self) -> bool {
        self.has_all_elements() && self.page.is_all() && self.fields.is_all()
    }

    fn has_all_elements(&self) -> bool {
        let named = [&self.framework, &self.agent, &self.task, &self.role];
        named.iter().all(|named| named.is_none())
    }

    pub(crate) fn agent(&self, id: &AgentId) -> bool {
        fits(self.agent.as_ref(), id.as_str())
    }

    pub(crate) fn framework(&self, id: &FrameworkId, roles: &BTreeSet<Role>) -> bool {
        let has = |role: &String| roles.iter().any(|own| own.as_str() == role);
        fits(self.framework.as_ref(), id.as_str()) && self.role.as_ref().is_none_or(has)
    }

    pub(crate) fn task(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
        agent: &AgentId,
        role: &Role,
    ) -> bool {
        fits(self.framework.as_ref(), framework.as_str())
            && fits(self.task.as_ref(), task.as_str())
            && self.agent(agent)
            && self.role(role)
    }

    /// An offer, or an operation: of whom, where.
    pub(crate) fn of_agent(&self, framework: Option<&FrameworkId>, agent: &AgentId) -> bool {
        let whose = framework.map_or("", FrameworkId::as_str);
        fits(self.framework.as_ref(), whose) && self.agent(agent)
    }

    pub(crate) fn role(&self, role: &Role) -> bool {
        fits(self.role.as_ref(), role.as_str())
    }
}

fn fits(wanted: Option<&String>, is: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == is)
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl Page {
    fn is_all(self) -> bool {
        self.offset == 0 && self.limit == usize::MAX
    }

    pub(crate) fn of<I: Iterator>(self, all: I) -> impl Iterator<Item = I::Item> {
        all.skip(self.offset).take(self.limit)
    }
}
