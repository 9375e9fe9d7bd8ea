mod closing;
mod cursors;
mod history;
mod parking;
mod publish;
mod retention;

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize},
};

use a3s_event_core::{EventError, Result, subject::SubjectPrefix, types::StreamName};
use hashbrown::DefaultHashBuilder;

use crate::{
    aftermath::Aftermath,
    clock::{Clock, Nanos},
    dedup::{DedupWindow, Fingerprinter},
    log::Log,
    routes::Routes,
    subjects::Subjects,
};

/// The stream with its indexes, shared by the provider and its consumers.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) limits: Limits,
    /// The subject rules, unless the configured prefix breaks them.
    prefix: Option<SubjectPrefix>,
    pub(crate) clock: Clock,
    /// How many ephemeral subscriptions are open.
    pub(crate) ephemerals: AtomicUsize,
    subject_hasher: DefaultHashBuilder,
    fingerprinter: Fingerprinter,
    inner: Mutex<Inner>,
    /// The log's first sequence, to be read without the lock.
    first: AtomicU64,
    /// When the oldest retained event becomes too old, to be read without the
    /// lock; the largest number for never.
    expires: AtomicU64,
    closed: AtomicBool,
    /// `Inner::sealed`, to be read without the lock; set before it.
    sealed: AtomicBool,
}

/// What is retained and what is taken. 0 is unlimited everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) prefix: String,
    pub(crate) max_events: usize,
    pub(crate) max_bytes: u64,
    pub(crate) max_age_millis: u64,
    pub(crate) max_event_bytes: usize,
    pub(crate) duplicate_window: u64,
    pub(crate) channel_capacity: usize,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) log: Log,
    pub(crate) subjects: Subjects,
    pub(crate) routes: Routes,
    dedup: DedupWindow,
    /// Nobody can publish any more: readers get what is left.
    sealed: bool,
}

impl Store {
    pub(crate) const STREAM: StreamName = StreamName::from_static("memory");

    pub(crate) fn new(limits: Limits) -> Self {
        let subject_hasher = DefaultHashBuilder::default();
        Self {
            clock: Clock::new(),
            ephemerals: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                log: Log::new(),
                subjects: Subjects::new(subject_hasher.clone()),
                routes: Routes::new(limits.channel_capacity),
                dedup: DedupWindow::new(limits.duplicate_window),
                sealed: false,
            }),
            subject_hasher,
            fingerprinter: Fingerprinter::default(),
            first: AtomicU64::new(1),
            expires: AtomicU64::new(Nanos::MAX),
            closed: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            prefix: SubjectPrefix::parse(&limits.prefix).ok(),
            limits,
        }
    }

    /// The subject rules; an error when the configured prefix breaks them.
    pub(crate) fn prefix(&self) -> Result<&SubjectPrefix> {
        match &self.prefix {
            Some(prefix) => Ok(prefix),
            None => Err(match SubjectPrefix::parse(&self.limits.prefix) {
                Err(rule) => rule,
                Ok(_) => EventError::invalid_subject(&self.limits.prefix, "not a prefix"),
            }),
        }
    }

    /// Events, bytes.
    pub(crate) fn size(&self) -> Result<(u64, u64)> {
        self.with_current(|inner| (inner.log.len() as u64, inner.log.bytes()))
    }

    /// Works on the open store once everything has expired that has to.
    fn with_current<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> Result<R> {
        Aftermath::after(|after| Ok(work(&mut *self.open_expired(after)?)))
    }

    fn open_expired(&self, after: &mut Aftermath) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock_expired(after);
        self.check_open()?;
        Ok(inner)
    }

    fn open_inner(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        self.check_open()?;
        Ok(inner)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No section under the lock panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use a3s_event_core::types::Event;
    use serde_json::Value;

    use super::Store;

    pub(super) fn publish(store: &Store) {
        let event = Event::new("events.a.x", "a", "", "", Value::Null);
        store.publish(&event).unwrap();
    }
}
