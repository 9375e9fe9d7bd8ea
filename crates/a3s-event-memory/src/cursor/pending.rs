use super::Cursor;
use crate::{
    routes::{Route, RouteId},
    store::Inner,
};

impl Cursor {
    /// How many matches are left, where they are counted.
    pub(super) fn outstanding(&self, route: &Route) -> Option<u64> {
        let known = self.backlog? + route.end() - self.end_at_start;
        Some(known.saturating_sub(self.taken + self.missed))
    }

    /// How many events wait at the position, where that is known.
    pub(crate) fn pending(&self, inner: &Inner) -> Option<u64> {
        match self.route {
            RouteId::Everything => {
                let following = (inner.log.last() + 1).saturating_sub(self.next);
                Some(self.snapshot.len() as u64 + following)
            }
            RouteId::Narrow(id) => self.pending_on(inner.routes.route(id)),
        }
    }

    pub(super) fn pending_on(&self, route: &Route) -> Option<u64> {
        self.outstanding(route)
            .or_else(|| Some(route.end().saturating_sub(self.index?)))
    }

    /// How many retained events wait at the position. Counted one by one only
    /// where the number is not known: in the middle of older history, or where
    /// retention took some of them.
    pub(crate) fn retained_pending(&self, inner: &Inner) -> u64 {
        let first = inner.log.first();
        let from = self.next.max(first);
        let RouteId::Narrow(id) = self.route else {
            let following = (inner.log.last() + 1).saturating_sub(from);
            return following + self.retained_snapshot(first);
        };
        if self.next >= first
            && let Some(pending) = self.pending(inner)
        {
            return pending;
        }
        let mut pending = self.retained_snapshot(first);
        let selected = inner.subjects.selected(inner.routes.route(id).pattern());
        for subject in selected {
            let mut sequence = inner.subjects.get(subject).last;
            while sequence >= from
                && let Some(slot) = inner.log.get(sequence)
            {
                pending += 1;
                sequence = slot.previous;
            }
        }
        pending
    }

    fn retained_snapshot(&self, first: u64) -> u64 {
        let retained = self.snapshot.iter().filter(|&&sequence| sequence >= first);
        retained.count() as u64
    }
}
