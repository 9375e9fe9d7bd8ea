use super::{Consumer, State, Taken};
use crate::{
    aftermath::Aftermath,
    clock::Nanos,
    cursor::Fetched,
    window::{Pending, Phase},
};

impl Consumer {
    /// Takes what has to come again by `now`.
    pub(super) fn take_again(
        &self,
        state: &mut State,
        now: Nanos,
        after: &mut Aftermath,
    ) -> Option<Taken> {
        self.queue_due(state, now, after);
        while let Some(position) = state.again.pop_front() {
            let queued = |pending: &&mut Pending| pending.phase == Phase::Queued;
            let Some(pending) = state.window.get_mut(position).filter(queued) else {
                continue;
            };
            let sequence = pending.sequence;
            let cursor = state.cursor.as_ref()?;
            let Some((event, behind)) = self.store.event(sequence, cursor, after) else {
                // Retention wins over delivery.
                state.window.remove(position);
                continue;
            };
            pending.deliveries = pending.deliveries.saturating_add(1);
            let deliveries = u64::from(pending.deliveries);
            let deadline = state.schedule.wait_again(&mut state.window, position, now);
            state.announce(deadline, after);
            let pending = behind.map(|behind| behind + state.ready.len() as u64);
            return Some(Taken {
                fetched: Fetched {
                    sequence,
                    event,
                    pending,
                },
                deliveries,
                position,
            });
        }
        None
    }

    /// Queues what is due by `now`.
    pub(super) fn queue_due(&self, state: &mut State, now: Nanos, after: &mut Aftermath) {
        let mut due = Vec::new();
        state.schedule.collect(&state.window, now, &mut due);
        for position in due {
            self.queue(state, position, after);
        }
    }

    /// Queues a delivery to come again, unless it came as often as it may.
    pub(super) fn queue(&self, state: &mut State, position: u64, after: &mut Aftermath) {
        let Some(pending) = state.window.get_mut(position) else {
            return;
        };
        if pending.phase == Phase::Queued {
            return;
        }
        if self.settings.is_exhausted(pending.deliveries) {
            let (sequence, deliveries) = (pending.sequence, pending.deliveries);
            let consumer = self.label().to_owned();
            after.log(move || {
                tracing::warn!(
                    consumer,
                    sequence,
                    deliveries,
                    "an event used up its deliveries and is not delivered again"
                );
            });
            state.window.remove(position);
            return;
        }
        pending.phase = Phase::Queued;
        state.again.push_back(position);
    }
}
