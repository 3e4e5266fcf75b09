//! Why a request is not done: a status code, and sentences.

use crate::api::{Errors, Problem};
use driver::AskError;
use driver::core::Refusal as EngineRefusal;

/// A refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status code of HTTP.
    pub(crate) status: u16,
    pub(crate) errors: Errors,
}

impl Refusal {
    pub(crate) fn new(status: u16, path: &str, problem: impl Into<String>) -> Self {
        let problem = Problem { path: path.to_owned(), problem: problem.into() };
        Self::all(status, vec![problem])
    }

    pub(crate) fn all(status: u16, errors: Vec<Problem>) -> Self {
        Self { status, errors: Errors { errors } }
    }

    pub(crate) fn no_job(name: &str) -> Self {
        let problem = format!("there is no job '{}'", name.escape_debug());
        Self::new(404, "", problem)
    }

    pub(crate) fn ending() -> Self {
        Self::new(503, "", "the jobs framework is ending; try again once it is back")
    }
}

impl Refusal {
    /// No master has taken the record in time.
    pub(crate) fn no_master() -> Self {
        let problem = "the masters have not taken the record of it yet: does one lead? It is done \
                       as soon as they have; ask again, with the same token if it is a submit";
        Self::new(503, "", problem)
    }
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Self {
        let AskError::Refused(refusal) = error else { return Self::ending() };
        let status = match &refusal {
            EngineRefusal::UnknownGroup(_) | EngineRefusal::UnknownUnit { .. } => 404,
            EngineRefusal::NotScalable(_)
            | EngineRefusal::StillLiving(_)
            | EngineRefusal::TokenTaken(_) => 409,
            EngineRefusal::Spec(_) => 400,
            EngineRefusal::NoRoom { .. } | EngineRefusal::MastersFull(_) => 507,
        };
        Self::new(status, "", refusal.to_string())
    }
}
