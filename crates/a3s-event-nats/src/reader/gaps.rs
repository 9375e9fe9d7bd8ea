//! Gaps in the sequences that a subscription receives.

use std::mem;

use crate::convert::Delivered;

/// Where a subscription is in the stream, and what it had to skip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaps {
    /// Nothing below it is handed over.
    pub(super) first: u64,
    /// The highest sequence that arrived, or the one before the start.
    pub(super) position: u64,
    /// The number of the last delivery within the consumer; 0 before the first.
    pub(super) delivery: u64,
    pub(super) missed: u64,
    /// Whether every sequence of the stream is for this subscription, so that
    /// a gap is a loss.
    everything: bool,
}

impl Gaps {
    pub(crate) const fn new(first: u64, position: u64, everything: bool) -> Self {
        Self {
            first,
            position,
            delivery: 0,
            missed: 0,
            everything,
        }
    }

    /// Takes note of a delivery. What other handles of a durable got is the
    /// gap in the numbers of the deliveries; the rest was removed.
    pub(super) fn note(&mut self, delivered: &Delivered) {
        let last = mem::replace(&mut self.delivery, delivered.consumer_sequence);
        let (from, to) = (self.position, delivered.sequence);
        if to <= from {
            return;
        }
        self.position = to;
        if !self.everything || delivered.times > 1 || to <= self.first {
            return;
        }
        let elsewhere = delivered.consumer_sequence.saturating_sub(last + 1);
        let gone = (to - from - 1).saturating_sub(elsewhere);
        if gone > 0 {
            self.missed += gone;
            tracing::warn!(gone, from, to, "events were removed before they were read");
        }
    }

    pub(super) const fn forget_consumer(&mut self) {
        self.delivery = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn delivery(sequence: u64, consumer_sequence: u64) -> Delivered {
        Delivered {
            times: 1,
            sequence,
            consumer_sequence,
            pending: 0,
        }
    }

    #[test]
    fn gaps_are_counted_where_every_sequence_matters() {
        let mut gaps = Gaps::new(0, 0, true);
        gaps.note(&delivery(1, 1));
        gaps.note(&delivery(2, 2));
        gaps.note(&delivery(10, 3));
        assert_eq!(gaps.missed, 7);
        // Another handle took two of them.
        gaps.note(&delivery(14, 6));
        assert_eq!(gaps.missed, 8);
        let mut filtered = Gaps::new(0, 0, false);
        filtered.note(&delivery(9, 1));
        assert_eq!(filtered.missed, 0);
    }
}
