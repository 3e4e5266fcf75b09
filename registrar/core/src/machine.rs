//! What the log is for: a state that is the same wherever the same entries were applied.

use bytes::Bytes;

/// A deterministic state: nothing but the entries may change it, and the same entries in the same
/// order give the same state, snapshot and hash on every member.
pub trait StateMachine {
    /// What an entry came to, for whoever proposed it.
    type Outcome;

    /// Applies the entry at `index`. It was agreed upon and cannot be refused: an entry that makes
    /// no sense changes nothing, on every member alike.
    fn apply(&mut self, index: u64, entry: &Bytes) -> Self::Outcome;

    /// The whole state.
    fn snapshot(&self) -> Bytes;

    /// Replaces the state by one of `snapshot`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause; the state is then undefined and the member stops.
    fn restore(&mut self, snapshot: &Bytes) -> Result<(), String>;

    /// Tells states apart; equal for equal states.
    fn hash(&self) -> u64;
}
