//! What the core wants people to know, in the log.

use agent_core::Note;

/// One line for each note.
pub(super) fn say(note: &Note) {
    match note {
        Note::Registered { agent_id, again } => {
            tracing::info!(%agent_id, again, "registered with the master");
        }
        Note::LinkLost { reason, retry_after } => {
            tracing::warn!(%reason, ?retry_after, "no connection to the master");
        }
        Note::Refused { message, gone: false } => {
            tracing::error!(%message, "the master refuses this agent");
        }
        Note::Refused { message, gone: true } => {
            tracing::error!(%message, "the master has removed this agent: its tasks end");
        }
        Note::Recovered { running, ended, lost } => {
            tracing::info!(running, ended, lost, "tasks taken back");
        }
        Note::SupervisorLost { tasks } => {
            tracing::error!(tasks, "the supervisor was lost, and its tasks with it");
        }
        Note::LaunchRefused { framework_id, task_id, message } => {
            tracing::warn!(%framework_id, %task_id, %message, "launch refused");
        }
        Note::DiskPressure { pressed: true, used_ppm } => {
            tracing::warn!(used = %percent(*used_ppm), "the disk is almost full: none of it is offered");
        }
        Note::DiskPressure { pressed: false, used_ppm } => {
            tracing::info!(used = %percent(*used_ppm), "the disk has room again, and is offered");
        }
        Note::Unkillable { framework_id, task_id } => {
            tracing::error!(
                %framework_id,
                %task_id,
                "the processes of a task were killed and do not end: it keeps its resources"
            );
        }
        Note::UnkillableExecutor { framework_id, executor_id } => {
            tracing::error!(
                %framework_id,
                %executor_id,
                "the processes of an executor were killed and do not end: it keeps its resources"
            );
        }
        Note::Ignored { message } => tracing::debug!(%message, "ignored"),
        Note::OldEpoch { epoch, newest, retry_after } => {
            tracing::warn!(epoch, newest, ?retry_after, "left a master that no longer leads");
        }
        Note::OtherCluster { own, found } => tracing::error!(%own, %found, "another cluster"),
    }
}

fn percent(ppm: u32) -> String {
    format!("{}.{} %", ppm / 10_000, ppm / 1_000 % 10)
}
