//! RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME and SHRINK_VOLUME of an ACCEPT.
//!
//! Each is checked against what remains of the offers, and noted in the call's draft; what it makes
//! remains for the operations after it, but for volumes that grow or shrink. A wrong one is answered with
//! OPERATION_ERROR if it has an id, and the others go on.

use super::Accepted;
use crate::effect::Effect;
use crate::operation::draft::Draft;
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
        draft: &mut Draft,
        out: &mut Vec<Effect>,
    ) {
        let (agent, role) = (accepted.agent, &accepted.role);
        match self.check_operation(framework, draft, role, &operation, remaining) {
            Ok(checked) => {
                let conversion = &checked.conversion;
                remaining.subtract(&conversion.consumed).expect("it was seen to be there");
                if operation.change.is_speculative() {
                    remaining.add(&conversion.converted);
                }
                if let ResourceChange::Destroy { volumes } = &operation.change {
                    // What is shared may be in other offers as well.
                    self.rescind_holders(agent, &volumes.shared(), out);
                }
                self.change(Some(framework), draft, operation, &checked);
            }
            Err(refused) => {
                let name = operation.change.name();
                let problem = format!("Invalid {name} operation: {refused}");
                draft.refuse(framework, operation.id, problem);
            }
        }
    }
}

/// What of the offered resources remains as it was offered: that alone was refused.
pub(super) fn unchanged(remaining: &Resources, offered: &Resources) -> Resources {
    let as_offered = |piece: &Piece| {
        let same = offered.of_flavor(&piece.name, &piece.flavor);
        let most = same.iter().map(Piece::size).max()?;
        let value = match &piece.value {
            Value::Scalar(milli) if !piece.flavor.is_whole() => Value::Scalar(most.min(*milli)),
            Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) => piece.value.clone(),
        };
        let piece = Piece { value, ..piece.clone() };
        offered.contains(&[piece.clone()].into_iter().collect()).then_some(piece)
    };
    remaining.pieces().iter().filter_map(as_offered).collect()
}
