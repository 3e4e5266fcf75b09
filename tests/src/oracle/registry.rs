//! A replica of the registry that sees the operations only.
//!
//! I11: whoever applies the same operations holds the same facts, and a snapshot rebuilds them.

use super::{Verdict, broken};
use master_core::{Effect, Registry, RegistryOp};

/// The replica.
#[derive(Debug, Default)]
pub(super) struct Replica(Registry);

impl Replica {
    /// A master starts with what was durable.
    pub(super) fn begin(&mut self, registry: &Registry) -> Verdict {
        let mut rebuilt = Registry::new();
        for op in registry.facts() {
            rebuilt.apply(&op);
        }
        if rebuilt != *registry {
            return broken("I11", "a snapshot of the registry does not rebuild it");
        }
        self.0 = rebuilt;
        Ok(())
    }

    /// Follows a step and compares.
    pub(super) fn check(&mut self, effects: &[Effect], registry: &Registry) -> Verdict {
        let ops = effects.iter().filter_map(|effect| match effect {
            Effect::Persist(op) => Some(op),
            _ => None,
        });
        self.follow(ops, registry)
    }

    pub(super) fn follow<'a>(
        &mut self,
        ops: impl Iterator<Item = &'a RegistryOp>,
        registry: &Registry,
    ) -> Verdict {
        let mut changed = false;
        for op in ops {
            self.0.apply(op);
            changed = true;
        }
        if changed && self.0 != *registry {
            return broken("I11", "the operations do not lead to the master's registry");
        }
        Ok(())
    }
}
