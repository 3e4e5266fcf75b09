//! RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME and SHRINK_VOLUME of an ACCEPT.
//!
//! Each is checked against what remains of the offers, and done at once; what it makes remains for
//! the operations after it, but for volumes that grow or shrink. A wrong one is answered with
//! OPERATION_ERROR if it has an id, and the others go on.

use super::Accepted;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::{Piece, ResourceChange, ResourceOperation, Resources, Value};

impl Master {
    pub(super) fn accept_change(
        &mut self,
        framework: FrameworkOrd,
        accepted: &Accepted,
        operation: ResourceOperation,
        remaining: &mut Resources,
        out: &mut Vec<Effect>,
    ) {
        let (agent, role) = (accepted.agent, &accepted.role);
        match self.check_operation(framework, agent, role, &operation, remaining) {
            Ok(conversion) => {
                remaining.subtract(&conversion.consumed).expect("it was seen to be there");
                if operation.change.is_speculative() {
                    remaining.add(&conversion.converted);
                }
                if let ResourceChange::Destroy { volumes } = &operation.change {
                    // What is shared may be in other offers as well.
                    self.rescind_holders(agent, &volumes.shared(), out);
                }
                self.change(Some(framework), agent, operation, &conversion, out);
            }
            Err(refused) => {
                let name = operation.change.name();
                let agent_id = Some(self.agents[agent].id.clone());
                let problem = format!("Invalid {name} operation: {refused}");
                self.refuse_operation(framework, operation.id, agent_id, &problem, out);
            }
        }
    }
}

/// What of the offered resources remains as it was offered: that alone was refused.
pub(super) fn unchanged(remaining: &Resources, offered: &Resources) -> Resources {
    let as_offered = |piece: &Piece| {
        let same = |other: &&Piece| other.name == piece.name && other.flavor == piece.flavor;
        let most = offered.pieces().iter().filter(same).map(Piece::size).max()?;
        let value = match &piece.value {
            Value::Scalar(milli) if !piece.flavor.is_whole() => Value::Scalar(most.min(*milli)),
            Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) => piece.value.clone(),
        };
        let piece = Piece { value, ..piece.clone() };
        offered.contains(&[piece.clone()].into_iter().collect()).then_some(piece)
    };
    remaining.pieces().iter().filter_map(as_offered).collect()
}
