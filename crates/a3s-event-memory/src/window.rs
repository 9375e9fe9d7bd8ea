use std::collections::VecDeque;

use crate::clock::Nanos;

/// Deliveries per segment.
const SEGMENT: usize = 256;

/// The unanswered deliveries of a consumer, by position.
///
/// Positions count up for ever and are never used again, so an answer finds its
/// delivery without hashing and a late one finds nothing. Settled stretches are
/// freed even behind one that stays unanswered.
#[derive(Debug, Default)]
pub(crate) struct Window {
    segments: VecDeque<Option<Segment>>,
    /// The number of the first segment.
    base: u64,
    /// The position that the next delivery gets.
    end: u64,
    spare: Vec<Option<Pending>>,
    len: usize,
}

#[derive(Debug)]
struct Segment {
    // Grows to SEGMENT entries and is freed when all of them are settled.
    entries: Vec<Option<Pending>>,
    unanswered: usize,
}

/// A delivery that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) sequence: u64,
    /// When it is to be delivered again, unless it is queued already.
    pub(crate) deadline: Nanos,
    pub(crate) deliveries: u32,
    pub(crate) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Delivered once and never extended: deadlines are in order of positions.
    First,
    /// Delivered again, or extended.
    Waiting,
    /// Refused, to come again at the deadline.
    Delayed,
    /// To come again as soon as somebody asks.
    Queued,
}

impl Window {
    /// How many deliveries are unanswered.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next delivery opens a segment.
    pub(crate) const fn opens_segment(&self) -> bool {
        self.end.is_multiple_of(SEGMENT as u64)
    }

    pub(crate) fn push(&mut self, pending: Pending) -> u64 {
        let position = self.end;
        // A segment goes only once it is full, so the last one has room until then.
        if self.opens_segment() {
            let mut entries = std::mem::take(&mut self.spare);
            if position > 0 {
                // The first one grows on demand: most consumers stay below it.
                entries.reserve_exact(SEGMENT);
            }
            self.segments.push_back(Some(Segment {
                entries,
                unanswered: 0,
            }));
        }
        if let Some(Some(last)) = self.segments.back_mut() {
            last.entries.push(Some(pending));
            last.unanswered += 1;
            self.len += 1;
            self.end += 1;
        }
        position
    }

    pub(crate) fn get(&self, position: u64) -> Option<&Pending> {
        let (segment, index) = self.locate(position)?;
        self.segments
            .get(segment)?
            .as_ref()?
            .entries
            .get(index)?
            .as_ref()
    }

    pub(crate) fn get_mut(&mut self, position: u64) -> Option<&mut Pending> {
        let (segment, index) = self.locate(position)?;
        self.segments
            .get_mut(segment)?
            .as_mut()?
            .entries
            .get_mut(index)?
            .as_mut()
    }

    /// Settles a delivery.
    pub(crate) fn remove(&mut self, position: u64) -> Option<Pending> {
        let (number, index) = self.locate(position)?;
        let slot = self.segments.get_mut(number)?;
        let segment = slot.as_mut()?;
        let pending = segment.entries.get_mut(index)?.take()?;
        segment.unanswered -= 1;
        self.len -= 1;
        if segment.unanswered == 0 && segment.entries.len() == SEGMENT {
            if let Some(mut freed) = slot.take() {
                freed.entries.clear();
                self.spare = freed.entries;
            }
            while let Some(None) = self.segments.front() {
                self.segments.pop_front();
                self.base += 1;
            }
        }
        Some(pending)
    }

    #[cfg(test)]
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The sequence of the oldest unanswered delivery; beyond all if there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.next_from(0)
            .map_or(u64::MAX, |(_, oldest)| oldest.sequence)
    }

    /// The first unanswered delivery at `position` or later.
    pub(crate) fn next_from(&self, position: u64) -> Option<(u64, &Pending)> {
        let start = position.max(self.base * SEGMENT as u64);
        let (first, mut index) = self.locate(start)?;
        for (number, segment) in self.segments.iter().enumerate().skip(first) {
            if let Some(segment) = segment {
                for (at, entry) in segment.entries.iter().enumerate().skip(index) {
                    if let Some(pending) = entry {
                        let position = (self.base + number as u64) * SEGMENT as u64 + at as u64;
                        return Some((position, pending));
                    }
                }
            }
            index = 0;
        }
        None
    }

    fn locate(&self, position: u64) -> Option<(usize, usize)> {
        let number = (position / SEGMENT as u64).checked_sub(self.base)?;
        let index = (position % SEGMENT as u64) as usize;
        Some((usize::try_from(number).ok()?, index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Pending, Phase, Window};

    fn pending(sequence: u64) -> Pending {
        Pending {
            sequence,
            deadline: 0,
            deliveries: 1,
            phase: Phase::First,
        }
    }

    #[test]
    fn settled_stretches_are_freed_behind_one_that_stays() {
        let mut window = Window::default();
        let stuck = window.push(pending(0));
        for sequence in 1..10_000 {
            let position = window.push(pending(sequence));
            assert_eq!(
                window.remove(position).map(|gone| gone.sequence),
                Some(sequence)
            );
        }
        let kept = window.segments.iter().flatten().count();
        assert!(kept <= 2, "{kept}");
        assert_eq!(window.next_from(0).map(|(at, _)| at), Some(stuck));
        assert!(window.next_from(stuck + 1).is_none());
        assert_eq!(window.len(), 1);
    }

    proptest! {
        #[test]
        fn positions_stay_valid_in_any_order_of_answers(
            removals in prop::collection::vec(any::<prop::sample::Index>(), 0..900),
        ) {
            let mut window = Window::default();
            let mut open: Vec<(u64, u64)> = (0..900).map(|sequence| (window.push(pending(sequence)), sequence)).collect();
            for removal in removals {
                if open.is_empty() {
                    break;
                }
                let (position, sequence) = open.swap_remove(removal.index(open.len()));
                prop_assert_eq!(window.remove(position).map(|gone| gone.sequence), Some(sequence));
                prop_assert!(window.remove(position).is_none());
            }
            prop_assert_eq!(window.len(), open.len());
            for (position, sequence) in &open {
                prop_assert_eq!(window.get(*position).map(|kept| kept.sequence), Some(*sequence));
            }
            let first = open.iter().map(|(position, _)| *position).min();
            prop_assert_eq!(window.next_from(0).map(|(position, _)| position), first);
            let next = window.end;
            prop_assert_eq!(window.push(pending(1000)), next);
        }
    }
}
