//! Calls of the operator API.

use super::{At, need, present, w};
use crate::DecodeError;
use crate::operator::Call;
use std::sync::Arc;
use w::master::call::{Explain, Teardown, Type};

impl From<&Call> for w::master::Call {
    fn from(call: &Call) -> Self {
        let (kind, mut out) = (kind(call), Self::default());
        out.r#type = Some(kind as i32);
        match call {
            Call::Teardown(id) => out.teardown = Some(Teardown { framework_id: Some(id.into()) }),
            Call::Explain(id) => out.explain = Some(Explain { framework_id: Some(id.into()) }),
            Call::GetHealth
            | Call::GetVersion
            | Call::GetMaster
            | Call::GetState
            | Call::GetAgents
            | Call::GetFrameworks
            | Call::GetTasks
            | Call::GetRoles
            | Call::NotBuilt(_) => {}
        }
        out
    }
}

fn kind(call: &Call) -> Type {
    match call {
        Call::GetHealth => Type::GetHealth,
        Call::GetVersion => Type::GetVersion,
        Call::GetMaster => Type::GetMaster,
        Call::GetState => Type::GetState,
        Call::GetAgents => Type::GetAgents,
        Call::GetFrameworks => Type::GetFrameworks,
        Call::GetTasks => Type::GetTasks,
        Call::GetRoles => Type::GetRoles,
        Call::Teardown(_) => Type::Teardown,
        Call::Explain(_) => Type::Explain,
        Call::NotBuilt(name) => Type::from_str_name(name).unwrap_or(Type::Unknown),
    }
}

impl TryFrom<w::master::Call> for Call {
    type Error = DecodeError;
    fn try_from(call: w::master::Call) -> Result<Self, DecodeError> {
        let kind = call.r#type.and_then(|number| Type::try_from(number).ok());
        Ok(match present(kind, "type")? {
            Type::GetHealth => Self::GetHealth,
            Type::GetVersion => Self::GetVersion,
            Type::GetMaster => Self::GetMaster,
            Type::GetState => Self::GetState,
            Type::GetAgents => Self::GetAgents,
            Type::GetFrameworks => Self::GetFrameworks,
            Type::GetTasks => Self::GetTasks,
            Type::GetRoles => Self::GetRoles,
            Type::Teardown => {
                let id = present(call.teardown, "teardown")?.framework_id;
                Self::Teardown(need(id, "framework_id").at("teardown")?)
            }
            Type::Explain => {
                let id = present(call.explain, "explain")?.framework_id;
                Self::Explain(need(id, "framework_id").at("explain")?)
            }
            other => Self::NotBuilt(Arc::from(other.as_str_name())),
        })
    }
}
