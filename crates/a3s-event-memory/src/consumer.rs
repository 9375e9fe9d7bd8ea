mod ack_pending;
mod answer;
mod batch;
mod delivery;
mod lag;
mod parking;
mod redelivery;
mod settings;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use a3s_event_core::{Result, subject::SubjectPattern, types::SubscribeOptions};

use crate::{
    aftermath::Aftermath,
    clock::Nanos,
    cursor::{Cursor, Fetched},
    schedule::Schedule,
    store::Store,
    wakers::Wakers,
    window::Window,
};

pub(crate) use delivery::{Taken, Without};
pub(crate) use parking::Places;
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

impl Drop for Consumer {
    fn drop(&mut self) {
        self.remove();
    }
}
