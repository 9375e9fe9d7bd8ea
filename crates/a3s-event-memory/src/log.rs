use a3s_event_core::types::Event;

use crate::segmented::SegmentedDeque;

/// The retained part of the stream.
#[derive(Debug)]
pub(crate) struct Log {
    // Invariant: sequences are consecutive, `slots[i]` is sequence `first + i`.
    slots: SegmentedDeque<Slot>,
    first: u64,
    bytes: u64,
    newest_stored: u64,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) event: Event,
    /// The subject's id in the index.
    pub(crate) subject: u32,
    /// Measured size in bytes.
    pub(crate) size: u32,
    /// The sequence before this one with the same subject; 0 if there is none.
    /// It may be evicted.
    pub(crate) previous: u64,
    /// When it was stored, in Unix milliseconds; never less than the slot before.
    pub(crate) stored: u64,
}

impl Log {
    pub(crate) const fn new() -> Self {
        Self {
            slots: SegmentedDeque::new(),
            first: 1,
            bytes: 0,
            newest_stored: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first retained sequence; one past the last if nothing is retained.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The last sequence ever given, 0 if none was.
    pub(crate) const fn last(&self) -> u64 {
        self.first + self.slots.len() as u64 - 1
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Slot> {
        let index = sequence.checked_sub(self.first)?;
        self.slots.get(usize::try_from(index).ok()?)
    }

    /// The retained slots from `sequence` on, which is not before the first.
    pub(crate) fn iter_from(&self, sequence: u64) -> impl Iterator<Item = &Slot> {
        let index = sequence.saturating_sub(self.first);
        self.slots
            .iter_from(usize::try_from(index).unwrap_or(usize::MAX))
    }

    pub(crate) fn front(&self) -> Option<&Slot> {
        self.slots.front()
    }

    /// Appends under the next sequence. The time of storing never goes back.
    pub(crate) fn push(&mut self, mut slot: Slot) {
        self.newest_stored = self.newest_stored.max(slot.stored);
        slot.stored = self.newest_stored;
        self.bytes += u64::from(slot.size);
        self.slots.push_back(slot);
    }

    pub(crate) fn evict(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.first += 1;
        self.bytes -= u64::from(slot.size);
        Some(slot)
    }

    /// The first retained sequence stored at `unix_millis` or later; one past
    /// the last if there is none.
    pub(crate) fn first_stored_at(&self, unix_millis: u64) -> u64 {
        let index = self
            .slots
            .partition_point(0, |slot| slot.stored < unix_millis);
        self.first + index as u64
    }
}
