use std::{
    collections::{BinaryHeap, binary_heap::PeekMut},
    hash::BuildHasher,
};

use a3s_event_core::{Result, subject::SubjectPattern, types::Event};
use hashbrown::DefaultHashBuilder;

use super::{Inner, Store};
use crate::log::Log;

/// How many events a history call copies before it lets others at the store.
const HISTORY_CHUNK: usize = 1024;

impl Store {
    /// The newest `limit` matching events, newest first.
    pub(crate) fn history(&self, filter: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let prefix = self.prefix()?;
        let pattern = filter
            .map(|filter| prefix.parse_pattern(filter))
            .transpose()?;
        let everything = pattern
            .as_ref()
            .is_none_or(|pattern| pattern == prefix.everything());

        let mut found = Vec::new();
        // The next sequences to return, one a subject; of everything, just one.
        let mut heads: Option<BinaryHeap<u64>> = None;
        while found.len() < limit {
            let chunk = HISTORY_CHUNK.min(limit - found.len());
            let more = self.with_current(|inner| {
                let heads = heads.get_or_insert_with(|| match &pattern {
                    Some(pattern) if !everything => inner.heads(&self.subject_hasher, pattern),
                    _ => vec![inner.log.last()].into(),
                });
                take_newest(&inner.log, heads, everything, chunk, &mut found)
            })?;
            if !more {
                break;
            }
        }
        Ok(found)
    }
}

impl Inner {
    /// The newest sequence of each retained subject that `pattern` selects.
    fn heads(&self, hasher: &DefaultHashBuilder, pattern: &SubjectPattern) -> BinaryHeap<u64> {
        let mut newest = Vec::new();
        if pattern.is_literal() {
            let subject = pattern.as_str();
            let found = self.subjects.find(hasher.hash_one(subject), subject);
            newest.extend(found.map(|id| self.subjects.get(id).last));
        } else {
            // Two passes, so that the reads of the second do not wait for each other.
            let selected = self.subjects.selected(pattern).into_iter();
            newest.extend(selected.map(|id| self.subjects.get(id).last));
        }
        newest.into()
    }
}

/// Moves up to `chunk` events to `found`, always the newest of the `heads`, and
/// each head on to the one before it: of `everything`, or of the same subject.
/// Returns whether there may be more.
fn take_newest(
    log: &Log,
    heads: &mut BinaryHeap<u64>,
    everything: bool,
    chunk: usize,
    found: &mut Vec<Event>,
) -> bool {
    if found.is_empty() && !heads.is_empty() {
        // Not for a huge limit: what is found decides.
        found.reserve(chunk.min(64));
    }
    let mut left = chunk;
    while left > 0 {
        let Some(mut head) = heads.peek_mut() else {
            return false;
        };
        let sequence = *head;
        let Some(slot) = log.get(sequence) else {
            // What is older on this subject is evicted too.
            PeekMut::pop(head);
            continue;
        };
        found.push(slot.event.clone());
        *head = if everything {
            sequence - 1
        } else {
            slot.previous
        };
        left -= 1;
    }
    true
}
