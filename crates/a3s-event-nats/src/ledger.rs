//! What a subscription with a consumer of its own has received and answered.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::convert::Delivered;

/// The deliveries of an ephemeral subscription, over all consumers that it had.
///
/// From it follow the place where another consumer has to go on, and what that
/// one delivers for nothing. The consumer has one reader, so a gap in the
/// numbers of its deliveries means that some were lost on their way; until they
/// come again, nobody has seen them.
#[derive(Debug)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    /// Received and not answered.
    unanswered: HashSet<u64>,
    /// The highest sequence received, or the one before the start.
    highest: u64,
    /// The number of the last delivery within the consumer.
    delivery: u64,
    /// Where deliveries were lost, in ascending order.
    losses: Vec<Loss>,
    /// Whether anything was received.
    begun: bool,
}

/// A range of sequences of which some were delivered and not received.
#[derive(Debug)]
struct Loss {
    after: u64,
    /// `None` until the next first delivery is received.
    before: Option<u64>,
    /// How many were lost at most: one of them may have been a redelivery.
    deliveries: u64,
    /// Those that have been received since.
    found: HashSet<u64>,
}

impl Loss {
    fn covers(&self, sequence: u64) -> bool {
        sequence > self.after && self.before.is_none_or(|before| sequence < before)
    }

    fn is_over(&self) -> bool {
        let sequences = self
            .before
            .map_or(u64::MAX, |before| before - self.after - 1);
        self.found.len() as u64 >= self.deliveries.min(sequences)
    }
}

impl Ledger {
    /// Starts behind `position`.
    pub(crate) fn new(position: u64) -> Self {
        Self(Mutex::new(Entries {
            unanswered: HashSet::new(),
            highest: position,
            delivery: 0,
            losses: Vec::new(),
            begun: false,
        }))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a delivery.
    pub(crate) fn deliver(&self, delivered: &Delivered) {
        self.entries().deliver(delivered);
    }

    /// Whether a delivered sequence was answered.
    pub(crate) fn is_answered(&self, sequence: u64) -> bool {
        !self.entries().unanswered.contains(&sequence)
    }

    /// The sequence to go on from: the lowest that is unanswered or may have
    /// been lost, or the one behind the highest. `None` before the first
    /// delivery.
    pub(crate) fn resume(&self) -> Option<u64> {
        let entries = self.entries();
        let lost = entries.losses.first().map(|loss| loss.after + 1);
        let lowest = entries.unanswered.iter().min().copied();
        let behind = entries.highest + 1;
        entries
            .begun
            .then(|| lost.into_iter().chain(lowest).min().unwrap_or(behind))
    }

    /// Another consumer delivers from now on, with numbers of its own.
    pub(crate) fn forget_consumer(&self) {
        let mut entries = self.entries();
        entries.delivery = 0;
        // What lies higher is a first delivery again.
        let next = entries.highest + 1;
        entries.end_loss(next);
    }

    pub(crate) fn answer(&self, sequence: u64) {
        self.entries().unanswered.remove(&sequence);
    }
}

impl Entries {
    fn deliver(&mut self, delivered: &Delivered) {
        let &Delivered {
            sequence,
            consumer_sequence,
            times,
            ..
        } = delivered;
        self.begun = true;
        let lost = consumer_sequence.saturating_sub(self.delivery + 1);
        self.delivery = self.delivery.max(consumer_sequence);
        if lost > 0 {
            self.lose(lost);
        }
        if sequence > self.highest && times == 1 {
            // First deliveries ascend: those that were lost lie below it.
            self.end_loss(sequence);
        }
        if let Some(index) = self.losses.iter().position(|loss| loss.covers(sequence)) {
            let loss = &mut self.losses[index];
            if loss.found.insert(sequence) {
                self.unanswered.insert(sequence);
            }
            if loss.is_over() {
                self.losses.remove(index);
            }
        } else if sequence > self.highest {
            self.unanswered.insert(sequence);
        }
        self.highest = self.highest.max(sequence);
    }

    fn lose(&mut self, deliveries: u64) {
        match self.losses.last_mut() {
            Some(loss) if loss.before.is_none() => loss.deliveries += deliveries,
            _ => self.losses.push(Loss {
                after: self.highest,
                before: None,
                deliveries,
                found: HashSet::new(),
            }),
        }
    }

    fn end_loss(&mut self, before: u64) {
        if let Some(loss) = self.losses.last_mut()
            && loss.before.is_none()
        {
            loss.before = Some(before);
            if loss.is_over() {
                self.losses.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A delivery by its sequence and its number within the consumer.
    fn deliver(ledger: &Ledger, sequence: u64, consumer_sequence: u64, times: u64) {
        ledger.deliver(&Delivered {
            times,
            sequence,
            consumer_sequence,
            pending: 0,
        });
    }

    #[test]
    fn a_ledger_resumes_at_the_lowest_unanswered_sequence() {
        let ledger = Ledger::new(2);
        assert_eq!(ledger.resume(), None);
        for (number, sequence) in [3, 4, 7].into_iter().enumerate() {
            deliver(&ledger, sequence, number as u64 + 1, 1);
        }
        ledger.answer(3);
        assert_eq!(ledger.resume(), Some(4));
        ledger.answer(4);
        ledger.answer(7);
        assert_eq!(ledger.resume(), Some(8));
        // Delivered again by a consumer that was made anew.
        ledger.forget_consumer();
        deliver(&ledger, 7, 1, 1);
        assert!(ledger.is_answered(7));
    }

    #[test]
    fn what_was_lost_on_its_way_is_not_taken_for_answered() {
        let ledger = Ledger::new(0);
        deliver(&ledger, 1, 1, 1);
        ledger.answer(1);
        // Two of 2 to 8 were delivered and never received.
        deliver(&ledger, 9, 4, 1);
        ledger.answer(9);
        assert_eq!(ledger.resume(), Some(2));
        deliver(&ledger, 8, 5, 2);
        assert!(!ledger.is_answered(8));
        ledger.answer(8);
        // Delivered once more, because the answer was lost.
        deliver(&ledger, 8, 6, 3);
        assert!(ledger.is_answered(8));
        assert_eq!(ledger.resume(), Some(2));
        deliver(&ledger, 5, 7, 2);
        assert_eq!(ledger.resume(), Some(5));
        ledger.answer(5);
        assert_eq!(ledger.resume(), Some(10));
    }

    #[test]
    fn what_was_lost_comes_again_before_or_after_anything_new() {
        let ledger = Ledger::new(4);
        // 5 and 6 were lost; 6 comes again first.
        deliver(&ledger, 6, 3, 2);
        ledger.answer(6);
        deliver(&ledger, 7, 4, 1);
        ledger.answer(7);
        assert_eq!(ledger.resume(), Some(5));
        deliver(&ledger, 5, 5, 2);
        assert!(!ledger.is_answered(5));
        ledger.answer(5);
        assert_eq!(ledger.resume(), Some(8));
    }

    #[test]
    fn a_loss_without_room_for_a_sequence_was_one_of_redeliveries() {
        let ledger = Ledger::new(0);
        deliver(&ledger, 1, 1, 1);
        deliver(&ledger, 2, 3, 1);
        ledger.answer(1);
        ledger.answer(2);
        assert_eq!(ledger.resume(), Some(3));
    }

    #[test]
    fn another_consumer_delivers_what_was_lost_for_the_first_time() {
        let ledger = Ledger::new(0);
        deliver(&ledger, 1, 1, 1);
        // 2 and 4 were lost, 3 was redelivered before the consumer vanished.
        deliver(&ledger, 3, 5, 2);
        ledger.answer(1);
        ledger.answer(3);
        assert_eq!(ledger.resume(), Some(2));
        ledger.forget_consumer();
        for (number, sequence, answered) in [(1, 2, false), (2, 3, true), (3, 4, false)] {
            deliver(&ledger, sequence, number, 1);
            assert_eq!(ledger.is_answered(sequence), answered, "{sequence}");
        }
    }
}
