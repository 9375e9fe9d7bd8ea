use a3s_event_core::subject::SubjectPattern;
use slab::Slab;

use crate::{
    aftermath::Aftermath,
    segmented::SegmentedDeque,
    tree::TokenTree,
    wakers::{Place, Prepared, Wakers},
};

/// Where readers of one filter wait, and what was published for them.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Readers of the whole stream: they follow the log itself.
    everything: Wakers,
    narrow: Slab<Route>,
    by_pattern: TokenTree,
    /// Changes whenever a narrow route comes or goes.
    generation: u64,
    /// How many sequences a narrow route remembers.
    capacity: usize,
    /// Readers whose consumer may not have one more unanswered event.
    full: Wakers,
    /// The lowest unanswered sequence among those consumers: once retention
    /// takes it, there is room.
    full_until: u64,
}

/// A filter that selects part of the stream.
#[derive(Debug)]
pub(crate) struct Route {
    pattern: SubjectPattern,
    readers: usize,
    /// The newest matching sequences.
    live: SegmentedDeque<u64>,
    /// How many matching sequences were forgotten; `live[i]` is match `base + i`
    /// since the route exists.
    base: u64,
    /// From this sequence on every match is in `live`.
    covered_from: u64,
    wakers: Wakers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteId {
    Everything,
    Narrow(u32),
}

impl Routes {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            everything: Wakers::default(),
            narrow: Slab::new(),
            by_pattern: TokenTree::new(),
            generation: 1,
            capacity,
            full: Wakers::default(),
            full_until: u64::MAX,
        }
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Joins the narrow route of `pattern`. A new one knows what comes after
    /// sequence `last`.
    pub(crate) fn join(&mut self, pattern: &SubjectPattern, last: u64) -> RouteId {
        let id = self.by_pattern.get(pattern.as_str()).unwrap_or_else(|| {
            let id = self.narrow.insert(Route {
                pattern: pattern.clone(),
                readers: 0,
                live: SegmentedDeque::new(),
                base: 0,
                covered_from: last + 1,
                wakers: Wakers::default(),
            }) as u32;
            self.by_pattern.insert(pattern.as_str(), id);
            self.generation += 1;
            id
        });
        self.narrow[id as usize].readers += 1;
        RouteId::Narrow(id)
    }

    /// Leaves a route; the last reader of a narrow one takes it along.
    pub(crate) fn leave(&mut self, id: RouteId, after: &mut Aftermath) {
        let RouteId::Narrow(id) = id else {
            return;
        };
        let route = &mut self.narrow[id as usize];
        route.readers -= 1;
        if route.readers == 0 {
            let mut route = self.narrow.remove(id as usize);
            // Handles of the consumer that was the last reader.
            route.wakers.wake(after);
            self.by_pattern.remove(route.pattern.as_str());
            self.generation += 1;
        }
    }

    pub(crate) fn route(&self, id: u32) -> &Route {
        &self.narrow[id as usize]
    }

    /// Collects the narrow routes that `subject` feeds.
    pub(crate) fn matching(&self, subject: &str, found: &mut Vec<u32>) {
        self.by_pattern
            .patterns_matching(subject, &mut |id| found.push(id));
    }

    /// Tells the routes in `fed` and the readers of everything about `sequence`,
    /// when `first` is the first one retained.
    pub(crate) fn feed(&mut self, fed: &[u32], sequence: u64, first: u64, after: &mut Aftermath) {
        self.everything.wake(after);
        for &id in fed {
            let route = &mut self.narrow[id as usize];
            route.remember(sequence, first, self.capacity);
            route.wakers.wake(after);
        }
    }

    pub(crate) fn wakers(&mut self, id: RouteId) -> &mut Wakers {
        match id {
            RouteId::Everything => &mut self.everything,
            RouteId::Narrow(id) => &mut self.narrow[id as usize].wakers,
        }
    }

    /// Parks a reader until retention has taken sequence `oldest`.
    pub(crate) fn park_full(&mut self, place: Prepared<'_>, oldest: u64, after: &mut Aftermath) {
        self.full.park(place, after);
        self.full_until = self.full_until.min(oldest);
    }

    pub(crate) fn leave_full(&mut self, place: &mut Place, after: &mut Aftermath) {
        self.full.leave(place, after);
    }

    /// Retention has taken everything before `first`.
    pub(crate) fn evicted_before(&mut self, first: u64, after: &mut Aftermath) {
        if self.full_until < first {
            self.full.wake(after);
            self.full_until = u64::MAX;
        }
    }

    pub(crate) fn wake_all(&mut self, after: &mut Aftermath) {
        self.everything.wake(after);
        self.full.wake(after);
        for (_, route) in &mut self.narrow {
            route.wakers.wake(after);
        }
    }
}

impl Route {
    /// Remembers a match, and forgets what is too much or no longer retained.
    fn remember(&mut self, sequence: u64, first: u64, capacity: usize) {
        self.live.push_back(sequence);
        // At most two go for one that comes: enough to never remember more than
        // was retained at once, and no publish pays for many.
        for _ in 0..2 {
            let oldest = self.live.front();
            let is_evicted = oldest.is_some_and(|&oldest| oldest < first);
            if !is_evicted && self.live.len() <= capacity {
                break;
            }
            if let Some(forgotten) = self.live.pop_front() {
                self.base += 1;
                self.covered_from = forgotten + 1;
            }
        }
    }

    #[cfg(test)]
    pub(crate) const fn remembered(&self) -> usize {
        self.live.len()
    }

    pub(crate) const fn pattern(&self) -> &SubjectPattern {
        &self.pattern
    }

    /// From this sequence on every match is remembered.
    pub(crate) const fn covered_from(&self) -> u64 {
        self.covered_from
    }

    /// The number of the first match that is remembered.
    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// The number of the next match: how many there were since the route exists.
    pub(crate) const fn end(&self) -> u64 {
        self.base + self.live.len() as u64
    }

    /// The sequence of match number `index`, if it is remembered.
    pub(crate) fn sequence(&self, index: u64) -> Option<u64> {
        let index = usize::try_from(index.checked_sub(self.base)?).ok()?;
        self.live.get(index).copied()
    }

    /// The sequences of the remembered matches from number `index` on.
    pub(crate) fn sequences_from(&self, index: u64) -> impl Iterator<Item = u64> {
        let index = usize::try_from(index.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.live.iter_from(index).copied()
    }

    /// The number of the first match, not before `from`, whose sequence is at
    /// least `sequence`.
    pub(crate) fn index_of(&self, from: u64, sequence: u64) -> u64 {
        let from = usize::try_from(from.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let index = self.live.partition_point(from, |&other| other < sequence);
        self.base + index as u64
    }
}
