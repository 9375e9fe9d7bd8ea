use std::task::Waker;

use super::{Consumer, State};
use crate::{
    aftermath::Aftermath,
    clock::Nanos,
    cursor::Cursor,
    wakers::{Place, Prepared},
};

/// Where a handle is parked.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(super) route: Place,
    pub(super) full: Place,
    pub(super) consumer: Place,
}

/// [`Places`] with a waker to park at each.
pub(super) struct Parking<'a> {
    pub(super) route: Prepared<'a>,
    pub(super) full: Prepared<'a>,
    pub(super) consumer: Prepared<'a>,
}

impl Places {
    #[inline]
    pub(super) fn prepare(&mut self, waker: &Waker) -> Parking<'_> {
        Parking {
            route: self.route.prepare(waker),
            full: self.full.prepare(waker),
            consumer: self.consumer.prepare(waker),
        }
    }
}

impl Consumer {
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
}

impl State {
    /// Parks a handle; returns the deadline at which it has to wake by itself,
    /// which is not after `expiry`.
    pub(super) fn wait(
        &mut self,
        place: Prepared<'_>,
        expiry: Nanos,
        after: &mut Aftermath,
    ) -> Option<Nanos> {
        let due = self.schedule.next_deadline(&self.window);
        let deadline = due.unwrap_or(Nanos::MAX).min(expiry);
        self.waiting.park(place, after);
        self.watched = self.watched.max(deadline);
        (deadline < Nanos::MAX).then_some(deadline)
    }

    /// Tells the waiting handles of a deadline that some of them do not watch.
    pub(super) fn announce(&mut self, deadline: Nanos, after: &mut Aftermath) {
        if deadline < self.watched {
            self.tell(after);
        }
    }

    /// Wakes the waiting handles, to look for themselves.
    pub(super) fn tell(&mut self, after: &mut Aftermath) {
        self.waiting.wake(after);
        self.watched = 0;
    }
}
