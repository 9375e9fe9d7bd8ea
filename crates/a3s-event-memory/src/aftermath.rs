use std::{cell::Cell, task::Waker};

use a3s_event_core::types::Event;

/// What a locked section leaves to be done once its locks are released: waking
/// runs foreign code, and freeing an event may take longer than a publish.
#[derive(Default)]
pub(crate) struct Aftermath {
    pub(crate) woken: Vec<Waker>,
    pub(crate) evicted: Vec<Event>,
}

impl Aftermath {
    /// Runs `locked`, which releases its locks before it returns, then does
    /// what is left.
    ///
    /// The lists are kept per thread, so that neither allocates.
    pub(crate) fn after<R>(locked: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static KEPT: Cell<Aftermath> = const {
                Cell::new(Aftermath { woken: Vec::new(), evicted: Vec::new() })
            };
        }
        // Taken out meanwhile: a waker may run code that comes here again.
        let mut left = KEPT.take();
        let result = locked(&mut left);
        for waker in left.woken.drain(..) {
            waker.wake();
        }
        left.evicted.clear();
        KEPT.set(left);
        result
    }
}
