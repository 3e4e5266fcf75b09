//! The framework's figures in Prometheus' text format. No job's name is a label.

use crate::api::JobState;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::show;
use driver::core::Scheduler;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;

#[derive(Debug, Default)]
struct Figures {
    registered: bool,
    /// Bytes used and promised.
    room: Option<(usize, usize)>,
    offers: usize,
    jobs: BTreeMap<&'static str, u64>,
    units: BTreeMap<&'static str, u64>,
    attempts: u64,
    attempt_outcomes: BTreeMap<&'static str, u64>,
}

/// All figures.
pub(crate) async fn text(service: &Service) -> Result<String, Refusal> {
    let figures = service
        .engine
        .read(|scheduler, _| {
            let mut figures = Figures {
                registered: scheduler.is_subscribed(),
                room: scheduler.room(),
                offers: scheduler.offers().count(),
                ..Figures::default()
            };
            for group in scheduler.groups() {
                *figures.jobs.entry(show::state(&group).name()).or_default() += 1;
                let counts = group.counts;
                for (state, count) in [
                    ("pending", counts.pending),
                    ("launched", counts.launched),
                    ("running", counts.running),
                    ("killing", counts.killing),
                    ("unreachable", counts.unreachable),
                    ("succeeded", counts.succeeded),
                    ("failed", counts.failed),
                    ("killed", counts.killed),
                ] {
                    *figures.units.entry(state).or_default() += u64::from(count);
                }
                figures.attempts += group.tally.attempts;
                for (outcome, count) in group.tally.attempt_outcomes {
                    *figures.attempt_outcomes.entry(outcome).or_default() += count;
                }
            }
            figures
        })
        .await?;
    let submitted = service.counters.submitted.load(Ordering::Relaxed);
    let refused = service.counters.refused.load(Ordering::Relaxed);
    Ok(figures.text(submitted, refused))
}

impl Figures {
    fn text(mut self, submitted: u64, refused: u64) -> String {
        for state in [JobState::Pending, JobState::Running, JobState::Succeeded, JobState::Failed] {
            self.jobs.entry(state.name()).or_default();
        }
        let mut text = Text::default();
        text.plain(
            "tepui_jobs_registered",
            "gauge",
            "Whether a master talks to the framework.",
            u64::from(self.registered),
        );
        text.plain(
            "tepui_jobs_offers",
            "gauge",
            "Offers at hand.",
            u64::try_from(self.offers).unwrap_or(u64::MAX),
        );
        if let Some((used, promised)) = self.room {
            let bytes = [
                ("tepui_jobs_state_bytes", "Bytes of records at the masters.", used),
                ("tepui_jobs_state_promised_bytes", "Bytes promised to living units.", promised),
                ("tepui_jobs_state_limit_bytes", "The most of both.", Scheduler::ROOM_BYTES),
            ];
            for (name, help, bytes) in bytes {
                text.plain(name, "gauge", help, u64::try_from(bytes).unwrap_or(u64::MAX));
            }
        }
        text.labelled("tepui_jobs_jobs", "gauge", "Jobs that are kept.", "state", &self.jobs);
        text.labelled("tepui_jobs_units", "gauge", "Their units.", "state", &self.units);
        text.plain(
            "tepui_jobs_attempts",
            "gauge",
            "Attempts launched for jobs that are kept.",
            self.attempts,
        );
        text.labelled(
            "tepui_jobs_attempts_ended",
            "gauge",
            "How they ended.",
            "outcome",
            &self.attempt_outcomes,
        );
        let help = "Submits taken on since the start, repeated ones and dry runs included.";
        text.plain("tepui_jobs_submits_total", "counter", help, submitted);
        let help = "Submits refused since the start.";
        text.plain("tepui_jobs_submits_refused_total", "counter", help, refused);
        text.0
    }
}

#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn plain(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn labelled(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: &BTreeMap<&'static str, u64>,
    ) {
        self.head(name, kind, help);
        for (key, value) in values {
            self.line(format_args!("{name}{{{label}=\"{key}\"}} {value}"));
        }
    }
}
