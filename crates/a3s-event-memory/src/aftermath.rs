use std::{mem, task::Waker};

use a3s_event_core::types::Event;

/// What a locked section leaves to be done once its locks are released: waking
/// runs foreign code, and freeing an event may take longer than a publish.
#[derive(Default)]
pub(crate) struct Aftermath {
    woken: Few<Waker>,
    evicted: Few<Event>,
}

/// A list that allocates from the second element on.
struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl Aftermath {
    /// Runs `locked`, which releases its locks before it returns, then does
    /// what is left.
    pub(crate) fn after<R>(locked: impl FnOnce(&mut Self) -> R) -> R {
        let mut left = Self::default();
        let result = locked(&mut left);
        if left.woken.first.is_none() && left.evicted.first.is_none() {
            // Mostly there is nothing, and no destructor needs to find that out.
            mem::forget(left);
        } else {
            left.work_off();
        }
        result
    }

    fn work_off(self) {
        self.woken.first.into_iter().for_each(Waker::wake);
        self.woken.more.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn wake(&mut self, waker: Waker) {
        self.woken.push(waker);
    }

    pub(crate) fn free(&mut self, event: Event) {
        self.evicted.push(event);
    }
}

impl<T> Few<T> {
    fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.more.push(element),
        }
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            more: Vec::new(),
        }
    }
}
