use a3s_event_core::provider::ConsumerInfo;

use super::{Consumer, State};
use crate::{
    aftermath::Aftermath,
    cursor::{Cursor, Fetched},
};

impl Consumer {
    /// How far the consumer is behind.
    pub(crate) fn info(&self) -> ConsumerInfo {
        self.store.expire_due();
        Aftermath::after(|after| {
            let state = &mut *self.lock();
            self.forget_evicted(state);
            let pending = state.cursor.as_ref().map_or(0, |cursor| {
                let kept = |fetched: &&Fetched| !self.store.is_evicted(fetched.sequence);
                let fetched = state.ready.iter().filter(kept).count() as u64;
                fetched + self.store.pending(cursor, after)
            });
            ConsumerInfo::new(pending, state.window.len() as u64)
        })
    }

    /// How many events retention removed before the consumer got to them.
    pub(crate) fn missed(&self) -> u64 {
        let state = self.lock();
        state.cursor.as_ref().map_or(state.missed, Cursor::missed)
    }

    /// An event of a batch was evicted before it was handed over.
    pub(crate) fn lost_fetched(&self) {
        if let Some(cursor) = &mut self.lock().cursor {
            cursor.lost_fetched();
        }
    }

    pub(super) fn warn_of_gap(&self, state: &mut State, after: &mut Aftermath) {
        let missed = state.cursor.as_ref().map_or(0, Cursor::missed);
        if missed >= state.next_warning {
            // Doubled each time: a reader that never keeps up must not flood the log.
            state.next_warning = missed.saturating_mul(2);
            let consumer = self.label().to_owned();
            let filter = self.filter.clone();
            after.log(move || {
                tracing::warn!(
                    consumer,
                    filter = filter.as_str(),
                    missed,
                    "retention removed events before the consumer got to them"
                );
            });
        }
    }
}
