//! The start of a framework whose records are at the masters: subscribe under its id, which ends
//! any instance before this one; move the head, so that nothing more can be acknowledged by such a
//! one; and read everything after that.
//!
//! Meanwhile nothing is decided, killed or acknowledged: without its records the framework knows
//! none of its tasks.

use crate::core::{
    ConnectionId, Driver, Effect, Journal, Notice, Options, Records, Room, Signal, head_key,
    taken_over,
};
use crate::state::{StateError, StateStore, nonce};
use crate::turn::keeper::Keeper;
use crate::turn::{Core, Loop, RunError};
use clock::Clock;
use proto::scheduler::{Event, StateAsk, StateEntry, StateFence, StateOutcome};
use proto::{FrameworkId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

type Asked = (StateAsk, oneshot::Sender<StateOutcome>);

/// Takes the framework over, and gives its records and the journal to go on with. It waits for a
/// leading master as long as it takes.
pub(crate) async fn take_over(
    options: Options,
    id: &FrameworkId,
) -> Result<(Journal, Records), RunError> {
    let clock = Clock::start();
    let mut driver = Driver::new(options, clock.now().as_nanos(), Some(id.clone()), []);
    // The head is not ours yet; another instance that comes in between does not end this one.
    driver.set_fence(None);
    let (orders, orders_out) = mpsc::unbounded_channel::<Asked>();
    let core = Reader { driver, states: BTreeMap::new(), next_request: 0 };
    let task = Loop::new(core, clock, Keeper::Nobody, orders_out).start()?;
    let state = StateStore::new(move |ask, reply| orders.send((ask, reply)).is_ok());
    let taken = take(&state).await;
    // Its loop ends with the last handle, and says why if it ended before.
    drop(state);
    task.await.map_err(|_| RunError::Ended)??;
    let (version, kept) = taken?;
    let head = kept.iter().find(|entry| &*entry.key == head_key());
    if head.is_some_and(|head| head.version != version) {
        return Err(RunError::TakenOver);
    }
    Ok(Journal::open(kept, version, nonce())?)
}

/// The version of the head that is this instance's, and all that is kept after that.
async fn take(state: &StateStore) -> Result<(u64, Vec<StateEntry>), RunError> {
    let failed = |error| match error {
        StateError::Refused(why) => RunError::NoRoom(why),
        StateError::Conflict { .. } | StateError::Ended => RunError::Ended,
    };
    let version = loop {
        let held = state.get(head_key()).await.map_err(failed)?;
        let value = taken_over(held.as_ref().map(|held| &*held.value))?;
        match state.put(head_key(), value, held.map_or(0, |held| held.version)).await {
            Ok(version) => break version,
            // Another instance has moved it in between: it is fenced with the next try.
            Err(StateError::Conflict { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    };
    Ok((version, state.list("").await.map_err(failed)?))
}

/// Subscribes, asks, and does not listen to anything else.
struct Reader {
    driver: Driver,
    states: BTreeMap<u64, oneshot::Sender<StateOutcome>>,
    next_request: u64,
}

impl Reader {
    fn heed(signals: Vec<Signal>, effects: &mut Vec<Effect>) {
        for signal in signals {
            if let Signal::Stopped(why) = signal {
                effects.push(Effect::Notice(Notice::Stopped(why)));
            }
        }
    }
}

impl Core for Reader {
    type Order = Asked;

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let signals = self.driver.tick(now, effects);
        Self::heed(signals, effects);
    }

    fn connected(&mut self, now: Time, connection: ConnectionId, effects: &mut Vec<Effect>) {
        self.driver.connected(now, connection, effects);
    }

    fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        let signals = self.driver.closed(now, connection, leader);
        Self::heed(signals, effects);
    }

    fn event(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: Event,
        effects: &mut Vec<Effect>,
    ) {
        let signals = self.driver.event(now, connection, event, effects);
        Self::heed(signals, effects);
    }

    fn order(&mut self, _: Time, (ask, reply): Asked, effects: &mut Vec<Effect>) {
        self.next_request += 1;
        self.states.insert(self.next_request, reply);
        self.driver.ask_state(self.next_request, ask, effects);
    }

    fn deadline(&self) -> Option<Time> {
        self.driver.deadline()
    }

    fn deliver(&mut self, effect: Effect) -> Result<(), RunError> {
        match effect {
            Effect::Notice(Notice::Stopped(why)) => Err(RunError::Stopped(why)),
            Effect::State { request, outcome } => {
                if let Some(reply) = self.states.remove(&request) {
                    // Who asked may have gone; what was done stays done.
                    let _ = reply.send(outcome);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn ask_state(&mut self, _: Time, request: u64, ask: StateAsk, effects: &mut Vec<Effect>) {
        self.driver.ask_state(request, ask, effects);
    }

    /// It makes no records.
    fn kept(&mut self, _: Option<StateFence>, _: Room) {}
}
