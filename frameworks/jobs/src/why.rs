//! Why a job or a unit does not run: what the placer found, what it would find now, what is waited
//! for, and what the master says, in sentences.

use crate::admission;
use crate::api;
use crate::cluster::Picture;
use crate::refusal::Refusal;
use crate::service::Service;
use driver::core::{GroupView, Prospect, UnitState};

impl Service {
    /// Why a job has units that do not run, by the first of them.
    pub(crate) async fn why_job(&self, job: &str) -> Result<api::Why, Refusal> {
        let seen = self.seen(job).await?;
        let group = &seen.group;
        let state = crate::show::state(group).name().to_owned();
        let waits = |state| matches!(state, UnitState::Pending | UnitState::BackingOff);
        let counts = group.counts;
        if let Some(ended) = group.ended {
            let when = crate::timestamp::show(ended);
            let mut reasons = vec![format!("it is over since {when}")];
            let ends = group.tally.unit_outcomes.iter();
            let ends: Vec<String> = ends.map(|(name, count)| format!("{count} {name}")).collect();
            reasons.push(format!("its units: {}", ends.join(", ")));
            let shown = self.shown(&seen).await?;
            if let Some((unit, outcome)) =
                shown.failures.first().and_then(|unit| Some((unit, unit.outcome.as_ref()?)))
            {
                let said = unit.message.as_ref().map_or(String::new(), |said| format!(" ({said})"));
                reasons.push(format!("unit {}: {}{said}", unit.index, outcome.text));
            }
            let (job, master) = (group.id.to_string(), Vec::new());
            return Ok(api::Why { job, index: None, state, reasons, master });
        }
        if counts.pending == 0 {
            let mut reasons =
                vec![format!("none of its units waits: {} of {} live", counts.live(), group.count)];
            if group.count == 0 {
                reasons = vec!["it is scaled to no units".to_owned()];
            }
            let (job, master) = (group.id.to_string(), Vec::new());
            return Ok(api::Why { job, index: None, state, reasons, master });
        }
        let first = self.units(group.id.as_str(), waits, 0, 1).await?.units.pop();
        let Some(first) = first else { return self.why_job_again(group, state) };
        let mut why = self.why_unit(group.id.as_str(), first.index).await?;
        why.state = state;
        Ok(why)
    }

    /// It began to run while we looked.
    fn why_job_again(&self, group: &GroupView, state: String) -> Result<api::Why, Refusal> {
        Ok(api::Why {
            job: group.id.to_string(),
            index: None,
            state,
            reasons: vec!["its last waiting unit was just launched".to_owned()],
            master: Vec::new(),
        })
    }

    /// Why a unit does not run.
    pub(crate) async fn why_unit(&self, job: &str, index: u32) -> Result<api::Why, Refusal> {
        let unit = self.unit(job, index).await?.unit;
        let seen = self.seen(&unit.job).await?;
        let id = seen.group.id.clone();
        let (reasons, framework) = self
            .engine
            .read(move |scheduler, now| {
                (scheduler.why(&id, index, now), scheduler.framework_id().cloned())
            })
            .await?;
        let mut why = api::Why {
            job: unit.job,
            index: Some(index),
            state: unit.state,
            reasons: reasons.unwrap_or_default(),
            master: Vec::new(),
        };
        if unit.outcome.is_none() {
            why.reasons.extend(unit.message);
        }
        if why.state != "pending" {
            return Ok(why);
        }
        match self.cluster.look().await {
            Some(picture) => self.add_prospect(&seen.group, index, picture, &mut why).await?,
            None => {
                let masters = self.cluster.masters();
                why.reasons.push(format!("no master answers at {masters}"));
            }
        }
        if let Some(framework) = framework {
            why.master = self.cluster.explain(framework).await.unwrap_or_default();
        }
        Ok(why)
    }

    /// Adds what would become of the unit on the agents as they are now, and what they can never
    /// give. What can never be comes without a trial: it would say the same once more.
    async fn add_prospect(
        &self,
        group: &GroupView,
        index: u32,
        picture: Picture,
        why: &mut api::Why,
    ) -> Result<(), Refusal> {
        let template = &group.spec.template;
        let Picture { agents, free } = picture;
        let never = admission::impossible(template, &agents);
        why.reasons.extend(never.iter().map(ToString::to_string));
        why.reasons.extend(admission::warnings(template, &agents));
        if free.is_empty() || !never.is_empty() {
            return Ok(());
        }
        let left_out = agents.len() - free.len();
        let Some(prospect) = self.engine.prospect(group.id.clone(), index, free).await? else {
            return Ok(());
        };
        why.reasons.extend(prospect.sentences());
        if let (Prospect::Misfit { .. }, 1..) = (&prospect, left_out) {
            let all = agents.len();
            why.reasons.push(format!(
                "{left_out} of {all} agents are left out: drained, deactivated or out of reach"
            ));
        }
        Ok(())
    }
}
