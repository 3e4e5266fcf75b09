//! What the API says, as JSON: the shapes of requests and answers, for servers and clients alike.
//!
//! Times are RFC 3339 in UTC, to the millisecond; durations are seconds. Fields are only ever
//! added.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One thing that is wrong: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The field, such as `task.cpus` or `hard[1].in`; empty when it is none.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "{}: {}", self.path, self.problem)
        }
    }
}

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// All that is wrong.
    pub errors: Vec<Problem>,
}

/// The answer to a submit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// The job's id, `NAME-NUMBER`; empty after a dry run.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many units it has.
    pub units: u32,
    /// Whether it was only checked.
    pub dry_run: bool,
    /// Whether it was taken on before, under the same token.
    pub already: bool,
    /// What may keep it waiting.
    pub warnings: Vec<String>,
    /// The job, when the submit waited for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// None of its units had a place yet.
    Pending,
    /// Under way.
    Running,
    /// Being killed.
    Killing,
    /// Over: all units succeeded.
    Succeeded,
    /// Over: some unit ended neither well nor by a kill.
    Failed,
    /// Over: some unit was killed, and none failed.
    Killed,
}

impl JobState {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Killing => "killing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

/// How many units are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Wait for a place, or for the back-off before their next attempt.
    pub pending: u32,
    /// Have a place; no news of them yet.
    pub launched: u32,
    /// Run.
    pub running: u32,
    /// Are being killed.
    pub killing: u32,
    /// On agents out of reach.
    pub unreachable: u32,
    /// Over and well.
    pub succeeded: u32,
    /// Over and not well.
    pub failed: u32,
    /// Killed.
    pub killed: u32,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, `NAME-NUMBER`, unique for ever.
    pub id: String,
    /// Its name, unique among living jobs.
    pub name: String,
    /// `batch` or `service`.
    pub kind: String,
    /// The role whose resources it uses.
    pub role: String,
    /// How it stands.
    pub state: JobState,
    /// How many units it is to have.
    pub units: u32,
    /// Its units by their states.
    pub counts: Counts,
    /// Attempts launched so far.
    pub attempts: u64,
    /// How attempts ended, those that were followed by another too.
    pub attempt_outcomes: BTreeMap<String, u64>,
    /// How units ended for good.
    pub unit_outcomes: BTreeMap<String, u64>,
    /// When it was submitted.
    pub submitted: String,
    /// When its first attempt was launched.
    pub started: Option<String>,
    /// When its last unit ended.
    pub ended: Option<String>,
    /// From the submit to the first launch.
    pub waited_seconds: Option<f64>,
    /// From the first launch to the end, or to now.
    pub ran_seconds: Option<f64>,
    /// Once it ended: 0 if it succeeded; else the code of its first failed unit, in a shell's way
    /// (128 + n for a signal), or 1.
    pub exit_code: Option<i32>,
    /// The first hundred units that ended neither well nor by a kill.
    pub failures: Vec<Unit>,
    /// All units, when there are at most sixteen.
    pub units_shown: Vec<Unit>,
}

/// Jobs, oldest first, without their units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name, such as `oom_killed`.
    pub name: String,
    /// A sentence.
    pub text: String,
    /// The exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal, if it died of one.
    pub signal: Option<i32>,
    /// The memory limit that it hit, when known.
    pub limit_bytes: Option<u64>,
    /// What it used when it hit that limit, when known.
    pub usage_bytes: Option<u64>,
}

/// A unit of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// Its job's id.
    pub job: String,
    /// Its index, from 0.
    pub index: u32,
    /// The id of the task of its newest attempt.
    pub task: String,
    /// `pending`, `backing_off`, `launched`, `running`, `killing`, `unreachable`, or the name of
    /// its outcome.
    pub state: String,
    /// The number of its newest attempt, or of the next while it waits; from 0.
    pub attempt: u32,
    /// The id of the agent where it is or was.
    pub agent: Option<String>,
    /// Where that agent's API is, `HOST:PORT`.
    pub address: Option<String>,
    /// The directory of its task in that agent's file API.
    pub sandbox: Option<String>,
    /// When its living attempt was launched.
    pub launched: Option<String>,
    /// When that attempt was first known to run.
    pub running: Option<String>,
    /// How long its last attempt took, once it ended.
    pub took_seconds: Option<f64>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What was said of its end; while it waits for another attempt, how its last one ended (told
    /// with a job of few units and with a unit that is asked for, not in lists).
    pub message: Option<String>,
}

/// Some units of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitList {
    /// The units, by index.
    pub units: Vec<Unit>,
    /// The offset of the next page; absent after the last.
    pub next: Option<u32>,
}

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 0.
    pub attempt: u32,
    /// Its task's id.
    pub task: String,
    /// The id of its agent; absent when it never had a place.
    pub agent: Option<String>,
    /// The directory of its task in that agent's file API.
    pub sandbox: Option<String>,
    /// When it was launched.
    pub launched: Option<String>,
    /// When it was first known to run.
    pub running: Option<String>,
    /// When it ended.
    pub ended: String,
    /// From the launch to the end.
    pub took_seconds: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was said of its end.
    pub message: Option<String>,
}

/// A unit with its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitDetail {
    /// The unit.
    pub unit: Unit,
    /// Its ended attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// Why a job or a unit does not run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The job's id.
    pub job: String,
    /// The unit that is spoken of; of a job, the first that waits.
    pub index: Option<u32>,
    /// Its state.
    pub state: String,
    /// What this framework knows, in sentences, the most telling first.
    pub reasons: Vec<String>,
    /// What the master says of the framework's offers.
    pub master: Vec<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number; grows, also across restarts.
    pub number: u64,
    /// When it was noted.
    pub time: String,
    /// `subscribed`, `disconnected`, `refused`, `submitted`, `launched`, `running`, `killing`,
    /// `unreachable`, `retrying`, `ended`, `job_ended` or `stray`.
    pub kind: String,
    /// The job.
    pub job: Option<String>,
    /// The unit.
    pub index: Option<u32>,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// The id of the agent.
    pub agent: Option<String>,
    /// How the attempt ended.
    pub outcome: Option<Outcome>,
    /// More, for people.
    pub message: Option<String>,
}

/// Some events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Events {
    /// The events, by number.
    pub events: Vec<Event>,
    /// What to ask for next.
    pub next: u64,
    /// Whether events before these were lost: look at the jobs anew.
    pub gap: bool,
}

/// The answer of `/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether a master talks to the framework.
    pub registered: bool,
    /// The framework's id.
    pub framework_id: Option<String>,
    /// Living jobs.
    pub jobs: u32,
}
