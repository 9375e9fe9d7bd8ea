use std::time::Duration;

use a3s_event_core::{
    EventError, Result,
    provider::{Answer, Settle, Settled},
};

use super::Consumer;
use crate::{aftermath::Aftermath, clock::nanos, window::Phase};

impl Settle for Consumer {
    fn settle(&self, delivery: u64, answer: Answer) -> Settled {
        Settled::Now(self.answer(delivery, &answer))
    }
}

impl Consumer {
    fn answer(&self, position: u64, answer: &Answer) -> Result<()> {
        if self.store.is_closed() {
            return Err(EventError::closed("the memory provider"));
        }
        match answer {
            Answer::Nak => self.refuse(position, None),
            Answer::NakAfter(delay) => self.refuse(position, Some(*delay)),
            Answer::InProgress => self.extend(position),
            // Ack, confirmed ack and term: settled for good.
            _ => self.settle_for_good(position),
        }
        Ok(())
    }

    fn settle_for_good(&self, position: u64) {
        let mut state = self.lock();
        let bound = self.settings.max_ack_pending;
        let was_full = bound.is_some_and(|bound| state.window.len() as u64 >= bound);
        state.window.remove(position);
        // The last answer ends the handles that wait for nothing else.
        let is_over = state.window.is_empty() && self.store.is_sealed();
        if was_full || is_over {
            Aftermath::after(|after| {
                // Released before anybody is woken.
                let mut state = state;
                state.tell(after);
            });
        }
    }

    /// Lets the event come again, at once or after `delay`.
    fn refuse(&self, position: u64, delay: Option<Duration>) {
        Aftermath::after(|after| {
            let state = &mut *self.lock();
            let now = self.store.clock.now();
            // What became due before the refusal comes before it.
            self.queue_due(state, now, after);
            let Some(pending) = state.window.get(position) else {
                return;
            };
            match delay {
                // The last refusal says when. What came as often as it may does
                // not come then, but keeps its place until it would.
                Some(delay) => {
                    if pending.phase == Phase::Queued {
                        state.again.retain(|&queued| queued != position);
                    }
                    let at = now.saturating_add(nanos(delay));
                    state.schedule.delay(&mut state.window, position, at);
                }
                None => self.queue(state, position, after),
            }
            state.tell(after);
        });
    }

    /// Starts the wait for an answer anew.
    fn extend(&self, position: u64) {
        Aftermath::after(|after| {
            let state = &mut *self.lock();
            let pending = state.window.get(position);
            if pending.is_some_and(|pending| pending.phase != Phase::Queued) {
                let now = self.store.clock.now();
                let deadline = state.schedule.wait_again(&mut state.window, position, now);
                // Earlier than before where an earlier delivery of a delayed
                // event asks.
                state.announce(deadline, after);
            }
        });
    }
}
