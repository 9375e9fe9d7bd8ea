use std::{mem, task::Waker};

use a3s_event_core::types::Event;

/// What a locked section leaves to be done once its locks are released: wakers
/// and log subscribers are foreign code, which may come back to the provider,
/// and freeing an event may take longer than a publish.
#[derive(Default)]
pub(crate) struct Aftermath {
    woken: Few<Waker>,
    evicted: Few<Event>,
    rare: Option<Box<Rare>>,
}

/// What is seldom left.
#[derive(Default)]
struct Rare {
    discarded: Vec<Waker>,
    logged: Vec<Box<dyn FnOnce()>>,
}

/// A list that allocates from the second element on.
struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl Aftermath {
    /// Runs `locked`, which releases its locks before it returns, then does
    /// what is left. The caller holds no lock.
    #[inline]
    pub(crate) fn after<R>(locked: impl FnOnce(&mut Self) -> R) -> R {
        let mut left = Self::default();
        let result = locked(&mut left);
        if left.woken.first.is_none() && left.evicted.first.is_none() && left.rare.is_none() {
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
        if let Some(rare) = self.rare {
            rare.logged.into_iter().for_each(|log| log());
        }
    }

    pub(crate) fn wake(&mut self, wakers: impl ExactSizeIterator<Item = Waker>) {
        self.woken.extend(wakers);
    }

    /// Drops a waker that waits no longer.
    pub(crate) fn discard(&mut self, waker: Waker) {
        self.rare().discarded.push(waker);
    }

    pub(crate) fn free(&mut self, event: Event) {
        self.evicted.push(event);
    }

    pub(crate) fn log(&mut self, log: impl FnOnce() + 'static) {
        self.rare().logged.push(Box::new(log));
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl<T> Few<T> {
    fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.more.push(element),
        }
    }

    fn extend(&mut self, mut elements: impl ExactSizeIterator<Item = T>) {
        if self.first.is_none() {
            self.first = elements.next();
        }
        self.more.extend(elements);
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
