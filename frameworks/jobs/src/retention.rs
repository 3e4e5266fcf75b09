//! Ended jobs are kept for a while and then forgotten, the oldest first; sooner where a new job has
//! no room for its records otherwise.

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

    /// Forgets the older half of the ended jobs, and one at least. False if there are none.
    pub(crate) async fn make_room(engine: &Engine) -> bool {
        let ended = engine.read(|scheduler, _| {
            let ended = scheduler.groups().filter_map(|group| Some((group.ended?, group.id)));
            let mut ended: Vec<_> = ended.collect();
            ended.sort();
            ended.truncate(ended.len().div_ceil(2));
            ended
        });
        let Ok(ended) = ended.await else { return false };
        let any = !ended.is_empty();
        for (_, job) in ended {
            tracing::info!(%job, "forgotten, to make room for a new one");
            if let Err(error) = engine.forget(job).await {
                tracing::debug!(%error, "not forgotten");
            }
        }
        any
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
