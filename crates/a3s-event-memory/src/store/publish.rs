use std::hash::BuildHasher;

use a3s_event_core::{
    EventError, Result,
    types::{Event, PublishOptions},
};

use super::Store;
use crate::{aftermath::Aftermath, dedup::Fingerprint, log::Slot};

/// An event on its way into the stream.
struct Incoming<'a> {
    event: &'a Event,
    size: u32,
    subject_hash: u64,
    fingerprint: Option<Fingerprint>,
    expected: Option<u64>,
}

impl Store {
    // The error is large: in a box it is not copied from hand to hand, as large
    // as it is, when all went well.

    /// Appends an event and returns its sequence.
    pub(crate) fn publish(&self, event: &Event) -> Result<u64, Box<EventError>> {
        self.publish_checked(event, None, None)
    }

    pub(crate) fn publish_with(
        &self,
        event: &Event,
        options: &PublishOptions,
    ) -> Result<u64, Box<EventError>> {
        options.validate()?;
        let msg_id = options.msg_id.as_deref();
        let fingerprint = msg_id.map(|id| self.fingerprinter.of(id));
        self.publish_checked(event, fingerprint, options.expected_sequence)
    }

    fn publish_checked(
        &self,
        event: &Event,
        fingerprint: Option<Fingerprint>,
        expected: Option<u64>,
    ) -> Result<u64, Box<EventError>> {
        let incoming = Incoming {
            event,
            size: self.check(event)?,
            subject_hash: self.subject_hasher.hash_one(event.subject.as_str()),
            fingerprint,
            expected,
        };
        Aftermath::after(|after| self.append(&incoming, after))
    }

    fn append(
        &self,
        incoming: &Incoming<'_>,
        after: &mut Aftermath,
    ) -> Result<u64, Box<EventError>> {
        let now = self.clock.now();
        let stored = self.clock.unix_millis(now);
        let mut inner = self.open_inner()?;
        let inner = &mut *inner;

        let subject = match inner
            .subjects
            .find(incoming.subject_hash, &incoming.event.subject)
        {
            Some(known) => Some(known),
            None => {
                self.prefix()?.check_subject(&incoming.event.subject)?;
                None
            }
        };
        let last = inner.log.last();
        if let Some(fingerprint) = incoming.fingerprint
            && let Some(original) = inner.dedup.find(fingerprint, now)
        {
            return match incoming.expected {
                Some(expected) if original.checked_sub(1) != Some(expected) => {
                    Err(EventError::conflict(expected, last).into())
                }
                _ => Ok(original),
            };
        }
        if let Some(expected) = incoming.expected
            && expected != last
        {
            return Err(EventError::conflict(expected, last).into());
        }

        let subject = subject.unwrap_or_else(|| {
            inner
                .subjects
                .insert(incoming.subject_hash, &incoming.event.subject)
        });
        let sequence = last + 1;
        let record = inner.subjects.get_mut(subject);
        let previous = std::mem::replace(&mut record.last, sequence);
        record.count += 1;
        inner.log.push(Slot {
            event: incoming.event.clone(),
            subject,
            size: incoming.size,
            previous,
            stored,
        });
        if let Some(fingerprint) = incoming.fingerprint {
            inner.dedup.insert(fingerprint, sequence, now);
        }
        let fed = inner.subjects.routes(subject, &inner.routes);
        let first = inner.log.first();
        inner.routes.feed(fed, sequence, first, after);
        self.retain(inner, stored, after);
        Ok(sequence)
    }

    /// Checks what can be known about an event without the stream.
    pub(crate) fn check(&self, event: &Event) -> Result<u32> {
        let size = event.measure()?;
        let mut limit = self.limits.max_event_bytes;
        if let Ok(max_bytes @ 1..) = usize::try_from(self.limits.max_bytes)
            && (limit == 0 || max_bytes < limit)
        {
            limit = max_bytes;
        }
        if limit > 0 && size > limit {
            return Err(EventError::too_large(&event.id, size, limit));
        }
        u32::try_from(size).map_err(|_| EventError::too_large(&event.id, size, u32::MAX as usize))
    }
}
