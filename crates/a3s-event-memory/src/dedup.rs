use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::{clock::Nanos, segmented::SegmentedDeque};

/// Tables that the index is split into, so that no publish has to rehash more
/// than this fraction of the window.
const SHARDS: usize = 64;

/// How many expired ids one publish forgets at most: more than it adds, and
/// none pays for a window that ended while nobody published.
const EXPIRED: usize = 8;

/// Which message ids were published lately, with their sequences.
///
/// An id is kept as a 128-bit keyed fingerprint: two SipHashes with random
/// keys, which nobody can make collide on purpose, and which collide by
/// accident with a chance of n² / 2^129. An id takes 32 bytes and 6 to 12 in
/// the index.
#[derive(Debug)]
pub(crate) struct DedupWindow {
    window: Nanos,
    entries: SegmentedDeque<Entry>,
    /// The position of the first entry; positions count up for ever.
    base: u64,
    shards: Vec<HashTable<u32>>,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    sequence: u64,
    stored: Nanos,
}

/// The identity of a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64, u64);

/// Makes fingerprints, outside of any lock.
#[derive(Debug, Default)]
pub(crate) struct Fingerprinter(RandomState, RandomState);

impl Fingerprinter {
    pub(crate) fn of(&self, msg_id: &str) -> Fingerprint {
        Fingerprint(self.0.hash_one(msg_id), self.1.hash_one(msg_id))
    }
}

impl DedupWindow {
    pub(crate) const fn new(window: Nanos) -> Self {
        Self {
            window,
            entries: SegmentedDeque::new(),
            base: 0,
            shards: Vec::new(),
        }
    }

    /// The sequence under which the id was published within the window.
    pub(crate) fn find(&mut self, fingerprint: Fingerprint, now: Nanos) -> Option<u64> {
        self.expire(now);
        let base = self.base;
        let (entries, window) = (&self.entries, self.window);
        let position =
            self.shards
                .get(shard_of(fingerprint))?
                .find(fingerprint.0, |&position| {
                    entry(entries, base, position).is_some_and(|entry| {
                        entry.fingerprint == fingerprint && !entry.is_expired(window, now)
                    })
                })?;
        entry(entries, base, *position).map(|entry| entry.sequence)
    }

    /// Remembers an id that [`find`](Self::find) did not know.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint, sequence: u64, now: Nanos) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let position = self.base + self.entries.len() as u64;
        self.entries.push_back(Entry {
            fingerprint,
            sequence,
            stored: now,
        });
        let base = self.base;
        let entries = &self.entries;
        self.shards[shard_of(fingerprint)].insert_unique(
            fingerprint.0,
            truncated(position),
            |&position| entry(entries, base, position).map_or(0, |entry| entry.fingerprint.0),
        );
    }

    fn expire(&mut self, now: Nanos) {
        for _ in 0..EXPIRED {
            let Some(oldest) = self.entries.front() else {
                return;
            };
            if !oldest.is_expired(self.window, now) {
                return;
            }
            let fingerprint = oldest.fingerprint;
            let position = truncated(self.base);
            if let Ok(found) = self.shards[shard_of(fingerprint)]
                .find_entry(fingerprint.0, |&candidate| candidate == position)
            {
                found.remove();
            }
            self.entries.pop_front();
            self.base += 1;
        }
    }
}

impl Entry {
    const fn is_expired(&self, window: Nanos, now: Nanos) -> bool {
        self.stored.saturating_add(window) <= now
    }
}

const fn shard_of(fingerprint: Fingerprint) -> usize {
    // The table itself uses the lowest and the highest bits.
    (fingerprint.0 >> 32) as usize % SHARDS
}

/// Positions are kept modulo 2^32: a window holds far fewer ids than that.
const fn truncated(position: u64) -> u32 {
    position as u32
}

fn entry(entries: &SegmentedDeque<Entry>, base: u64, position: u32) -> Option<&Entry> {
    entries.get(position.wrapping_sub(truncated(base)) as usize)
}

#[cfg(test)]
mod tests {
    use super::{DedupWindow, EXPIRED, Fingerprinter};

    #[test]
    fn an_id_is_known_until_its_window_ends() {
        let fingerprinter = Fingerprinter::default();
        let mut window = DedupWindow::new(100);
        for id in 0..2000u64 {
            let fingerprint = fingerprinter.of(&id.to_string());
            assert_eq!(window.find(fingerprint, id), None);
            window.insert(fingerprint, id + 1, id);
        }
        for id in 0..2000u64 {
            let expected = (id > 1899).then_some(id + 1);
            let found = window.find(fingerprinter.of(&id.to_string()), 1999);
            assert_eq!(found, expected, "{id}");
        }
        assert_eq!(sizes(&window), (100, 100));
    }

    #[test]
    fn a_window_that_ends_at_once_is_forgotten_bit_by_bit() {
        let fingerprinter = Fingerprinter::default();
        let mut window = DedupWindow::new(100);
        let fingerprints: Vec<_> = (0..1000u64)
            .map(|id| fingerprinter.of(&id.to_string()))
            .collect();
        for (sequence, &fingerprint) in (1..).zip(&fingerprints) {
            window.insert(fingerprint, sequence, 0);
        }
        // The newest first, so that an expired one is met before it is forgotten.
        for (sequence, &fingerprint) in (1001..).zip(fingerprints.iter().rev()) {
            let before = sizes(&window).0;
            assert_eq!(window.find(fingerprint, 100), None);
            window.insert(fingerprint, sequence, 100);
            assert_eq!(window.find(fingerprint, 100), Some(sequence));
            assert!(before - sizes(&window).0.min(before) < 2 * EXPIRED);
        }
        assert_eq!(sizes(&window), (1000, 1000));
    }

    fn sizes(window: &DedupWindow) -> (usize, usize) {
        let indexed = window.shards.iter().map(|shard| shard.len()).sum();
        (window.entries.len(), indexed)
    }
}
