use std::{collections::VecDeque, task::Waker};

use super::{Consumer, Places, Without};
use crate::{
    aftermath::Aftermath,
    cursor::{Fetch, Fetched},
};

impl Consumer {
    /// Takes what was fetched, or parks `waker` at `places`: for the only handle
    /// of an ephemeral consumer, which acknowledges by coming back and owes no
    /// answer. Nothing of what it takes has to be remembered.
    pub(crate) fn take_batch(
        &self,
        batch: &mut VecDeque<Fetched>,
        places: &mut Places,
        waker: &Waker,
    ) -> Result<(), Without> {
        let place = places.route.prepare(waker);
        Aftermath::after(|after| {
            let state = &mut *self.lock();
            debug_assert!(!self.is_durable() && state.window.is_empty() && batch.is_empty());
            if self.store.is_closed() {
                return Err(Without::Ended);
            }
            if state.ready.is_empty() {
                let Some(cursor) = &mut state.cursor else {
                    return Err(Without::Removed);
                };
                let (outcome, sealed) = self.store.fetch(cursor, &mut state.ready, place, after);
                self.warn_of_gap(state, after);
                if outcome == Fetch::CaughtUp {
                    return Err(if sealed {
                        Without::Ended
                    } else {
                        Without::Until(None)
                    });
                }
            }
            std::mem::swap(batch, &mut state.ready);
            Ok(())
        })
    }

    /// Takes back what the handle has left of a batch, before it reads in
    /// another way.
    pub(crate) fn return_batch(&self, batch: &mut VecDeque<Fetched>) {
        let state = &mut *self.lock();
        debug_assert!(state.ready.is_empty(), "a batch is fetched only when it is");
        std::mem::swap(batch, &mut state.ready);
    }
}
