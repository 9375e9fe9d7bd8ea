use super::{Consumer, State};

impl Consumer {
    /// Whether one more delivery may be unanswered.
    pub(super) fn has_room(&self, state: &mut State) -> bool {
        let Some(bound) = self.settings.max_ack_pending else {
            return true;
        };
        if (state.window.len() as u64) < bound {
            return true;
        }
        self.forget_evicted(state);
        (state.window.len() as u64) < bound
    }

    /// What retention took does not count any more; it is the oldest.
    pub(super) fn forget_evicted(&self, state: &mut State) {
        while let Some((position, oldest)) = state.window.next_from(0)
            && self.store.is_evicted(oldest.sequence)
        {
            state.window.remove(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker};

    use a3s_event_core::types::{Event, SubscribeOptions};
    use serde_json::Value;

    use crate::{
        MemoryProvider,
        aftermath::Aftermath,
        consumer::{Consumer, Places},
    };

    #[test]
    fn an_event_that_nobody_answers_keeps_no_places_once_it_is_evicted() {
        let provider = MemoryProvider::builder().max_events(100).build().unwrap();
        let store = provider.store();
        let filter = store.prefix().unwrap().everything().clone();
        let options = SubscribeOptions {
            max_ack_pending: Some(-1),
            ..SubscribeOptions::default()
        };
        let open = |after: &mut Aftermath| {
            Consumer::new(Arc::clone(store), Some("c"), filter, &options, after)
        };
        let consumer = Aftermath::after(open).unwrap();
        let mut places = Places::default();
        let event = Event::new("events.a.x", "a", "", "", Value::Null);
        for sequence in 1..=100_000 {
            store.publish(&event).unwrap();
            let taken = consumer.take(&mut places, Waker::noop()).unwrap();
            assert_eq!(taken.fetched.sequence, sequence);
            if sequence > 1 {
                consumer.lock().window.remove(taken.position);
            }
        }
        let segments = consumer.lock().window.segments();
        assert!(segments <= 2, "{segments}");
    }
}
