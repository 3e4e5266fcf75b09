//! Cpus of tasks' own: who asks for whole ones gets them alone, the others share the rest.
//!
//! What is whose is a value of the cgroups' tree and lives as long as this process, which is as
//! long as any task; so an agent that comes back finds it as it was.

use super::cgroup::{CgroupError, whole};
use super::server::Supervisor;

impl Supervisor {
    /// Makes room for the coming task of a berth.
    pub(super) fn pin(&mut self, index: usize, cpu_shares: u64) -> Result<(), CgroupError> {
        let Some(cpus) = self.tree.as_mut().and_then(|tree| tree.cpus.as_mut()) else {
            return Ok(());
        };
        if !cpus.take(index, whole(cpu_shares)) {
            return Ok(());
        }
        // The others leave first.
        self.spread()?;
        let own = self.tree.as_ref().and_then(|tree| tree.cpus.as_ref()).map(|cpus| cpus.of(index));
        let group = self.berths[index].as_mut().and_then(|berth| berth.group.as_mut());
        match (group, own) {
            (Some(group), Some(own)) => group.run_on(&own),
            _ => Ok(()),
        }
    }

    /// The task of a berth is no more; what it had is the others' again.
    pub(super) fn unpin(&mut self, index: usize) {
        let cpus = self.tree.as_mut().and_then(|tree| tree.cpus.as_mut());
        if cpus.is_some_and(|cpus| cpus.give_back(index))
            && let Err(error) = self.spread()
        {
            super::log(&format!("cpus that were given back stay unused by some tasks: {error}"));
        }
    }

    /// Tells all that have no cpus of their own where they run now.
    fn spread(&mut self) -> Result<(), CgroupError> {
        let Some(cpus) = self.tree.as_ref().and_then(|tree| tree.cpus.as_ref()) else {
            return Ok(());
        };
        let rest = cpus.rest();
        for (index, berth) in self.berths.iter_mut().enumerate() {
            let group = berth.as_mut().and_then(|berth| berth.group.as_mut());
            if let Some(group) = group.filter(|_| !cpus.holds(index)) {
                group.run_on(&rest)?;
            }
        }
        Ok(())
    }
}
