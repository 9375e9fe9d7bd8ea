mod pending;

use std::collections::VecDeque;

use a3s_event_core::{
    subject::SubjectPattern,
    types::{DeliverPolicy, Event},
};

use crate::{routes::RouteId, store::Inner};

/// How many events one call fetches at most.
const BATCH: usize = 32;
/// How many slots one call looks at: a bound on how long it holds the store.
const SCAN: usize = 1024;

/// A reading position in the stream, for one filter.
///
/// It has two ways to go on. Where the filter's route remembers every match, it
/// follows the route. Where it is older, it looks through the log, a bounded
/// number of slots at a time.
#[derive(Debug)]
pub(crate) struct Cursor {
    route: RouteId,
    /// Everything before this sequence was handed over, missed or does not match.
    next: u64,
    /// The number of the next match on a narrow route, once it is known.
    index: Option<u64>,
    /// Sequences to hand over before anything else: the newest of each subject.
    snapshot: VecDeque<u64>,
    /// How many matches there were to read at the start; `None` if not counted.
    backlog: Option<u64>,
    /// The route's `end` at the start.
    end_at_start: u64,
    taken: u64,
    missed: u64,
    /// Retention took some that `missed` is told of once the route is joined.
    skipped: bool,
}

/// An event that was fetched and not handed over yet.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) sequence: u64,
    pub(crate) event: Event,
    /// How many wait behind it, where that is known.
    pub(crate) pending: Option<u64>,
}

/// How a fetch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    Found,
    /// There is nothing to read.
    CaughtUp,
    /// There may be more; ask again.
    Unfinished,
}

impl Cursor {
    /// Opens a position for `pattern`. With `everything` it reads the whole stream.
    /// Takes a step for each selected subject at most, and none for an event.
    pub(crate) fn open(
        inner: &mut Inner,
        pattern: &SubjectPattern,
        everything: bool,
        policy: &DeliverPolicy,
    ) -> Self {
        let (first, last) = (inner.log.first(), inner.log.last());
        let route = if everything {
            RouteId::Everything
        } else {
            inner.routes.join(pattern, last)
        };
        let mut cursor = Self {
            route,
            next: last + 1,
            index: None,
            snapshot: VecDeque::new(),
            backlog: Some(0),
            end_at_start: match route {
                RouteId::Everything => 0,
                RouteId::Narrow(id) => inner.routes.route(id).end(),
            },
            taken: 0,
            missed: 0,
            skipped: false,
        };
        match *policy {
            DeliverPolicy::ByStartSequence { sequence } if sequence > first => {
                cursor.next = sequence;
                cursor.backlog = None;
            }
            DeliverPolicy::ByStartTime { timestamp } => {
                cursor.next = inner.log.first_stored_at(timestamp);
                cursor.backlog = (cursor.next > last).then_some(0);
            }
            DeliverPolicy::Last => {
                let mut newest = 0;
                if everything {
                    newest = inner.log.front().map_or(0, |_| last);
                } else {
                    for id in inner.subjects.selected(pattern) {
                        newest = newest.max(inner.subjects.get(id).last);
                    }
                }
                if newest > 0 {
                    cursor.next = newest;
                    cursor.backlog = Some(1);
                }
            }
            DeliverPolicy::LastPerSubject => {
                let selected = inner.subjects.selected(pattern).into_iter();
                let mut newest: Vec<u64> = selected.map(|id| inner.subjects.get(id).last).collect();
                newest.sort_unstable();
                cursor.backlog = Some(newest.len() as u64);
                cursor.snapshot = newest.into();
            }
            DeliverPolicy::New => {}
            // `All`, which is also what a start sequence up to the first means.
            _ => {
                let mut matching = 0;
                if !everything {
                    for id in inner.subjects.selected(pattern) {
                        matching += inner.subjects.get(id).count;
                    }
                }
                cursor.next = first;
                cursor.backlog = Some(matching);
            }
        }
        if let RouteId::Narrow(id) = route {
            let route = inner.routes.route(id);
            // Known from the start, so that a gap is counted exactly whatever
            // the route forgets. Not beyond the end: what comes before that
            // position is not the reader's.
            if (route.covered_from()..=last + 1).contains(&cursor.next) {
                cursor.index = Some(route.index_of(route.base(), cursor.next));
            }
        }
        cursor
    }

    pub(crate) const fn route(&self) -> RouteId {
        self.route
    }

    pub(crate) const fn missed(&self) -> u64 {
        self.missed
    }

    /// An event that was fetched was evicted before it was handed over.
    pub(crate) const fn lost_fetched(&mut self) {
        self.taken = self.taken.saturating_sub(1);
        self.missed += 1;
    }

    /// Moves the next events to `fetched`.
    pub(crate) fn fetch(&mut self, inner: &mut Inner, fetched: &mut VecDeque<Fetched>) -> Fetch {
        self.fetch_snapshot(inner, fetched);
        let outcome = match self.route {
            RouteId::Everything => self.follow_log(inner, fetched),
            RouteId::Narrow(id) => self.follow_route(inner, id, fetched),
        };
        if fetched.is_empty() {
            outcome
        } else {
            Fetch::Found
        }
    }

    fn fetch_snapshot(&mut self, inner: &Inner, fetched: &mut VecDeque<Fetched>) {
        while fetched.len() < BATCH
            && let Some(sequence) = self.snapshot.pop_front()
        {
            match inner.log.get(sequence) {
                Some(slot) => {
                    self.taken += 1;
                    fetched.push_back(Fetched {
                        sequence,
                        event: slot.event.clone(),
                        pending: self.pending(inner),
                    });
                }
                None => self.missed += 1,
            }
        }
    }

    fn follow_log(&mut self, inner: &Inner, fetched: &mut VecDeque<Fetched>) -> Fetch {
        self.skip_evicted(inner.log.first());
        for slot in inner.log.iter_from(self.next).take(BATCH - fetched.len()) {
            let sequence = self.next;
            self.next += 1;
            fetched.push_back(Fetched {
                sequence,
                event: slot.event.clone(),
                pending: self.pending(inner),
            });
        }
        Fetch::CaughtUp
    }

    fn follow_route(
        &mut self,
        inner: &mut Inner,
        id: u32,
        fetched: &mut VecDeque<Fetched>,
    ) -> Fetch {
        let mut budget = SCAN;
        while fetched.len() < BATCH {
            let route = inner.routes.route(id);
            if self.next >= route.covered_from() {
                self.follow_live(inner, id, fetched);
                return Fetch::CaughtUp;
            }
            if self.outstanding(route) == Some(0) {
                // Nothing that matches is left, so there is nothing to look for.
                self.index = Some(route.end());
                self.next = inner.log.last() + 1;
                return Fetch::CaughtUp;
            }
            if budget == 0 {
                return Fetch::Unfinished;
            }
            self.scan(inner, id, fetched, &mut budget);
        }
        Fetch::Found
    }

    /// Follows what the route remembers, which is all from `next` on.
    fn follow_live(&mut self, inner: &Inner, id: u32, fetched: &mut VecDeque<Fetched>) {
        let route = inner.routes.route(id);
        self.skipped = false;
        let mut index = match self.index {
            Some(index) if index >= route.base() => index,
            Some(index) => {
                // All that was found in the log meanwhile was counted; the
                // rest of what the route forgot is gone.
                self.missed += route.base() - index;
                route.base()
            }
            None => route.index_of(route.base(), self.next),
        };
        let first = inner.log.first();
        if route
            .sequence(index)
            .is_some_and(|sequence| sequence < first)
        {
            let kept = route.index_of(index, first);
            self.missed += kept - index;
            index = kept;
        }
        let room = BATCH - fetched.len();
        for sequence in route.sequences_from(index).take(room) {
            index += 1;
            self.index = Some(index);
            self.next = sequence + 1;
            if let Some(slot) = inner.log.get(sequence) {
                self.taken += 1;
                fetched.push_back(Fetched {
                    sequence,
                    event: slot.event.clone(),
                    pending: self.pending_on(route),
                });
            }
        }
        self.index = Some(index);
        if index == route.end() {
            // Everything up to the end was looked at.
            let following = inner.log.last() + 1;
            if self.next > following {
                // What comes before a start position beyond the end is neither
                // the reader's nor missed by it: not known until it is reached.
                self.index = None;
            }
            self.next = self.next.max(following);
        }
    }

    /// Looks through the log for matches older than the route remembers.
    fn scan(
        &mut self,
        inner: &mut Inner,
        id: u32,
        fetched: &mut VecDeque<Fetched>,
        budget: &mut usize,
    ) {
        if self.index.is_none() {
            self.skip_evicted(inner.log.first());
        } else if self.next < inner.log.first() {
            // Known by their numbers: counted when the route is joined again.
            self.next = inner.log.first();
            self.skipped = true;
        }
        let until = inner.routes.route(id).covered_from();
        while self.next < until && *budget > 0 && fetched.len() < BATCH {
            let Some(slot) = inner.log.get(self.next) else {
                // Unreachable: a route covers at least what follows the log.
                self.next = until;
                return;
            };
            let sequence = self.next;
            self.next += 1;
            *budget -= 1;
            if !inner
                .subjects
                .routes(slot.subject, &inner.routes)
                .contains(&id)
            {
                continue;
            }
            self.taken += 1;
            self.index = self.index.map(|index| index + 1);
            fetched.push_back(Fetched {
                sequence,
                event: slot.event.clone(),
                pending: self.pending(inner),
            });
        }
    }

    /// Skips to `first` and counts what lies in between, matching or not.
    const fn skip_evicted(&mut self, first: u64) {
        if self.next < first {
            self.missed += first - self.next;
            self.next = first;
            // From here on the number of matches is not known.
            self.backlog = None;
        }
    }
}
