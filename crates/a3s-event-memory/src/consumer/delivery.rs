use std::task::Waker;

use super::{
    Consumer, State,
    parking::{Parking, Places},
};
use crate::{
    aftermath::Aftermath,
    clock::Nanos,
    cursor::{Fetch, Fetched},
    window::{Pending, Phase},
};

/// An event that is handed over.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) fetched: Fetched,
    pub(crate) deliveries: u64,
    /// Where its answer goes.
    pub(crate) position: u64,
}

/// Why a handle that asks gets no event.
#[derive(Debug)]
pub(crate) enum Without {
    /// Ask again, there was more to look at than one call should.
    Unfinished,
    /// Parked. Ask again when woken, or at the deadline.
    Until(Option<Nanos>),
    /// Closed, or nothing can come any more.
    Ended,
    /// The consumer was removed.
    Removed,
}

impl Consumer {
    /// Takes the next delivery, or parks `waker` at `places`.
    pub(crate) fn take(&self, places: &mut Places, waker: &Waker) -> Result<Taken, Without> {
        self.store.expire_due();
        let parking = places.prepare(waker);
        Aftermath::after(|after| {
            let state = &mut *self.lock();
            self.take_from(state, parking, after)
        })
    }

    fn take_from(
        &self,
        state: &mut State,
        parking: Parking<'_>,
        after: &mut Aftermath,
    ) -> Result<Taken, Without> {
        if self.store.is_closed() {
            return Err(Without::Ended);
        }
        if state.cursor.is_none() {
            return Err(Without::Removed);
        }
        let now = self.store.clock.now();
        if !state.window.is_empty()
            && let Some(taken) = self.take_again(state, now, after)
        {
            return Ok(taken);
        }
        if state.window.opens_segment() {
            // One that nobody answers must not keep the places of all that follow.
            self.forget_evicted(state);
        }
        if !self.has_room(state) {
            let oldest = state.window.oldest();
            let Some(expiry) = self.store.park_full(parking.full, oldest, after) else {
                // Room was made, or all is over, since it was looked for.
                return Err(Without::Unfinished);
            };
            return Err(Without::Until(state.wait(parking.consumer, expiry, after)));
        }
        if let Some(fetched) = self.next_ready(state) {
            return Ok(state.hand_over(fetched, now, after));
        }
        let Some(cursor) = &mut state.cursor else {
            return Err(Without::Removed);
        };
        let (outcome, sealed) = self
            .store
            .fetch(cursor, &mut state.ready, parking.route, after);
        self.warn_of_gap(state, after);
        if let Some(fetched) = self.next_ready(state) {
            return Ok(state.hand_over(fetched, now, after));
        }
        let mut expiry = Nanos::MAX;
        if sealed && !state.window.is_empty() {
            // What ends the wait now is the last answer, or retention.
            self.forget_evicted(state);
            expiry = self.store.expires_at(state.window.oldest());
        }
        Err(match outcome {
            Fetch::Found | Fetch::Unfinished => Without::Unfinished,
            // Closed since it was looked at: nobody wakes a handle that parks now.
            Fetch::CaughtUp if sealed && (state.window.is_empty() || self.store.is_closed()) => {
                Without::Ended
            }
            // The only handle of an ephemeral consumer that owes no answer
            // has nothing to be told but new events.
            Fetch::CaughtUp if !self.is_durable() && state.window.is_empty() => {
                Without::Until(None)
            }
            Fetch::CaughtUp => Without::Until(state.wait(parking.consumer, expiry, after)),
        })
    }

    /// The next fetched event that retention has not taken meanwhile.
    fn next_ready(&self, state: &mut State) -> Option<Fetched> {
        loop {
            let fetched = state.ready.pop_front()?;
            if !self.store.is_evicted(fetched.sequence) {
                return Some(fetched);
            }
            if let Some(cursor) = &mut state.cursor {
                cursor.lost_fetched();
            }
        }
    }
}

impl State {
    fn hand_over(&mut self, fetched: Fetched, now: Nanos, after: &mut Aftermath) -> Taken {
        let deadline = self.schedule.first_deadline(now);
        self.announce(deadline, after);
        let position = self.window.push(Pending {
            sequence: fetched.sequence,
            deadline,
            deliveries: 1,
            phase: Phase::First,
        });
        Taken {
            fetched,
            deliveries: 1,
            position,
        }
    }
}
