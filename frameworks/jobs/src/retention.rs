//! Ended jobs are kept for a while and then forgotten, the oldest first.

use driver::Engine;
use driver::core::{GroupId, Scheduler};

/// How much of the past is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Ended jobs.
    pub(crate) jobs: usize,
    /// Their units, summed up.
    pub(crate) units: u64,
}

impl Retention {
    /// Forgets what is too much.
    pub(crate) async fn apply(self, engine: &Engine) {
        let Ok(surplus) = engine.read(move |scheduler, _| self.surplus(scheduler)).await else {
            return;
        };
        for job in surplus {
            tracing::debug!(%job, "forgotten");
            if let Err(error) = engine.forget(job).await {
                tracing::debug!(%error, "not forgotten");
            }
        }
    }

    /// The ended jobs that are too many, counted from the newest end.
    fn surplus(self, scheduler: &Scheduler) -> Vec<GroupId> {
        let mut ended: Vec<_> = scheduler
            .groups()
            .filter_map(|group| Some((group.ended?, u64::from(group.counts.total()), group.id)))
            .collect();
        ended.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.2.cmp(&a.2)));
        let mut units = 0;
        let first = ended.iter().enumerate().position(|(kept, (_, count, _))| {
            units += count;
            kept > 0 && (kept >= self.jobs || units > self.units)
        });
        let surplus = first.map(|first| ended.split_off(first)).unwrap_or_default();
        surplus.into_iter().map(|(_, _, id)| id).collect()
    }
}
