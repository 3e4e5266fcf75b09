//! Why a job or a unit of it waits, as the jobs framework tells.

use super::Found;
use crate::failure::{Code, Failure};
use crate::jobs_api::{self, Target};
use crate::{Server, discover};
use serde_json::Value;

/// What became of the question.
pub(super) enum Search {
    /// It is a job.
    Found(Found),
    /// It is none, or nobody runs jobs here.
    Unknown,
    /// The jobs framework cannot be asked.
    Unreachable(Failure),
}

/// Asks the jobs framework, if there is one.
pub(super) async fn found(server: &Server, name: &str) -> Result<Search, Failure> {
    let Ok(target) = name.parse::<Target>() else { return Ok(Search::Unknown) };
    let failure = match discover::jobs_if_any(server).await {
        Ok(None) => return Ok(Search::Unknown),
        Ok(Some(jobs)) => match jobs_api::why(&jobs, &target).await {
            Ok(why) => return Ok(Search::Found(told(&target, why))),
            Err(failure) => failure,
        },
        Err(failure) => failure,
    };
    match failure.code {
        code if code == Code::NotFound as u8 || code == Code::Usage as u8 => Ok(Search::Unknown),
        code if code == Code::Unavailable as u8 => Ok(Search::Unreachable(failure)),
        _ => Err(failure),
    }
}

fn told(target: &Target, why: Value) -> Found {
    let name = target.index.map_or(target.job.clone(), |index| format!("{}/{index}", target.job));
    let heading = format!("{name} is {}", why["state"].as_str().unwrap_or("unknown"));
    let mut text = super::indented(&heading, &sentences(&why["reasons"]));
    let master = sentences(&why["master"]);
    if !master.is_empty() {
        text += &super::indented("the master says:", &master);
    }
    Found { text, json: why }
}

fn sentences(list: &Value) -> Vec<&str> {
    list.as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}
