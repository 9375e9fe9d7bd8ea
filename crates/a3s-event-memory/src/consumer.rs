mod answer;
mod settings;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use a3s_event_core::{
    Result, provider::ConsumerInfo, subject::SubjectPattern, types::SubscribeOptions,
};

use crate::{
    aftermath::Aftermath,
    clock::Nanos,
    cursor::{Cursor, Fetch, Fetched},
    schedule::Schedule,
    store::Store,
    wakers::{Place, Prepared, Wakers},
    window::{Pending, Phase, Window},
};

pub(crate) use settings::{Settings, difference};

/// A consumer of the stream: a position, the unanswered deliveries and what has
/// to come again. Durables are shared by handles, an ephemeral one has a single
/// handle.
#[derive(Debug)]
pub(crate) struct Consumer {
    store: Arc<Store>,
    /// The name of a durable.
    name: Option<Box<str>>,
    filter: SubjectPattern,
    settings: Settings,
    // Locked before the store, never after it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the consumer is removed.
    cursor: Option<Cursor>,
    /// Fetched and not handed over: delivered to nobody yet.
    ready: VecDeque<Fetched>,
    window: Window,
    schedule: Schedule,
    /// Positions to deliver again, in this order.
    again: VecDeque<u64>,
    /// Handles that wait, to be told of anything but new events.
    waiting: Wakers,
    /// The latest of the deadlines at which they wake by themselves: an earlier
    /// one has to be told to them.
    watched: Nanos,
    /// What the cursor had missed, once it is gone.
    missed: u64,
    /// The gap at which the next warning is due.
    next_warning: u64,
}

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

/// Where a handle is parked.
#[derive(Debug, Default)]
pub(crate) struct Places {
    route: Place,
    full: Place,
    consumer: Place,
}

/// [`Places`] with a waker to park at each.
struct Parking<'a> {
    route: Prepared<'a>,
    full: Prepared<'a>,
    consumer: Prepared<'a>,
}

impl Places {
    fn prepare(&mut self, waker: &Waker) -> Parking<'_> {
        Parking {
            route: self.route.prepare(waker),
            full: self.full.prepare(waker),
            consumer: self.consumer.prepare(waker),
        }
    }
}

impl Consumer {
    pub(crate) fn new(
        store: Arc<Store>,
        name: Option<&str>,
        filter: SubjectPattern,
        options: &SubscribeOptions,
        after: &mut Aftermath,
    ) -> Result<Self> {
        let settings = Settings::new(options);
        let cursor = store.open_cursor(&filter, &options.deliver_policy, after)?;
        Ok(Self {
            name: name.map(Into::into),
            filter,
            state: Mutex::new(State {
                cursor: Some(cursor),
                ready: VecDeque::new(),
                window: Window::default(),
                schedule: settings.schedule(),
                again: VecDeque::new(),
                waiting: Wakers::default(),
                watched: 0,
                missed: 0,
                next_warning: 1,
            }),
            settings,
            store,
        })
    }

    pub(crate) const fn filter(&self) -> &SubjectPattern {
        &self.filter
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The durable's name, or what else to call it.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("ephemeral")
    }

    pub(crate) const fn is_durable(&self) -> bool {
        self.name.is_some()
    }

    /// Takes the next delivery, or parks `waker` at `places`.
    pub(crate) fn take(&self, places: &mut Places, waker: &Waker) -> Result<Taken, Without> {
        self.store.expire_due();
        let parking = places.prepare(waker);
        Aftermath::after(|after| {
            let state = &mut *self.lock();
            self.take_from(state, parking, after)
        })
    }

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

    /// An event of a batch was evicted before it was handed over.
    pub(crate) fn lost_fetched(&self) {
        if let Some(cursor) = &mut self.lock().cursor {
            cursor.lost_fetched();
        }
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

    /// Takes what has to come again by `now`.
    fn take_again(&self, state: &mut State, now: Nanos, after: &mut Aftermath) -> Option<Taken> {
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
    fn queue_due(&self, state: &mut State, now: Nanos, after: &mut Aftermath) {
        let mut due = Vec::new();
        state.schedule.collect(&state.window, now, &mut due);
        for position in due {
            self.queue(state, position, after);
        }
    }

    /// Queues a delivery to come again, unless it came as often as it may.
    fn queue(&self, state: &mut State, position: u64, after: &mut Aftermath) {
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

    /// Whether one more delivery may be unanswered.
    fn has_room(&self, state: &mut State) -> bool {
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
    fn forget_evicted(&self, state: &mut State) {
        while let Some((position, oldest)) = state.window.next_from(0)
            && self.store.is_evicted(oldest.sequence)
        {
            state.window.remove(position);
        }
    }

    fn warn_of_gap(&self, state: &mut State, after: &mut Aftermath) {
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

    /// How many events retention removed before the consumer got to them.
    pub(crate) fn missed(&self) -> u64 {
        let state = self.lock();
        state.cursor.as_ref().map_or(state.missed, Cursor::missed)
    }

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

    /// Gives up the places of a handle.
    pub(crate) fn leave(&self, places: &mut Places) {
        Aftermath::after(|after| {
            let mut state = self.lock();
            state.waiting.leave(&mut places.consumer, after);
            let route = state.cursor.as_ref().map(Cursor::route);
            let (place, full) = (&mut places.route, &mut places.full);
            self.store.leave(route, place, full, after);
        });
        *places = Places::default();
    }

    /// Removes the consumer: its position and all deliveries are forgotten.
    /// Returns whether it was there.
    pub(crate) fn remove(&self) -> bool {
        Aftermath::after(|after| {
            let mut state = self.lock();
            let Some(cursor) = state.cursor.take() else {
                return false;
            };
            state.missed = cursor.missed();
            state.ready.clear();
            state.window = Window::default();
            state.schedule = self.settings.schedule();
            state.again.clear();
            state.tell(after);
            self.store.close_cursor(&cursor, after);
            true
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No section under the lock panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Parks a handle; returns the deadline at which it has to wake by itself,
    /// which is not after `expiry`.
    fn wait(&mut self, place: Prepared<'_>, expiry: Nanos, after: &mut Aftermath) -> Option<Nanos> {
        let due = self.schedule.next_deadline(&self.window);
        let deadline = due.unwrap_or(Nanos::MAX).min(expiry);
        self.waiting.park(place, after);
        self.watched = self.watched.max(deadline);
        (deadline < Nanos::MAX).then_some(deadline)
    }

    /// Tells the waiting handles of a deadline that some of them do not watch.
    fn announce(&mut self, deadline: Nanos, after: &mut Aftermath) {
        if deadline < self.watched {
            self.tell(after);
        }
    }

    /// Wakes the waiting handles, to look for themselves.
    fn tell(&mut self, after: &mut Aftermath) {
        self.waiting.wake(after);
        self.watched = 0;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker};

    use a3s_event_core::types::{Event, SubscribeOptions};
    use serde_json::Value;

    use super::{Consumer, Places};
    use crate::{MemoryProvider, aftermath::Aftermath};

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
