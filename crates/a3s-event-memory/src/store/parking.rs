use super::Store;
use crate::{
    aftermath::Aftermath,
    clock::Nanos,
    routes::RouteId,
    wakers::{Place, Prepared},
};

impl Store {
    /// Parks at `place` until retention has taken sequence `oldest`. Returns when
    /// that will be by its age, or `None` if it has already, or if the store was
    /// closed: nobody would wake it.
    pub(crate) fn park_full(
        &self,
        place: Prepared<'_>,
        oldest: u64,
        after: &mut Aftermath,
    ) -> Option<Nanos> {
        let mut inner = self.lock();
        if oldest < inner.log.first() || self.is_closed() {
            return None;
        }
        inner.routes.park_full(place, oldest, after);
        Some(self.expiry(inner.log.get(oldest)))
    }

    /// Gives up the places of a handle on `route`.
    pub(crate) fn leave(
        &self,
        route: Option<RouteId>,
        place: &mut Place,
        full: &mut Place,
        after: &mut Aftermath,
    ) {
        let mut inner = self.lock();
        if let Some(route) = route {
            inner.routes.wakers(route).leave(place, after);
        }
        inner.routes.leave_full(full, after);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use crate::{MemoryProvider, aftermath::Aftermath, store::tests::publish, wakers::Place};

    #[test]
    fn nobody_parks_for_room_that_was_made_meanwhile() {
        let provider = MemoryProvider::builder().max_events(1).build().unwrap();
        let store = provider.store();
        publish(store);
        let park = |oldest| {
            let mut place = Place::default();
            let place = place.prepare(Waker::noop());
            Aftermath::after(|after| store.park_full(place, oldest, after))
        };
        assert!(park(1).is_some());
        publish(store);
        assert!(park(1).is_none(), "its eviction is over and wakes nobody");
        assert!(park(2).is_some());
        store.close();
        assert!(park(2).is_none(), "closing is over and wakes nobody");
    }
}
