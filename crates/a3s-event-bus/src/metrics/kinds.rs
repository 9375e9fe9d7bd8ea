//! Figures by kind: the kinds of errors and the reasons of dead letters.

use std::collections::BTreeMap;

use a3s_event_core::dlq::DeadLetterKind;

use super::{
    instruments::{Counter, Meter},
    names::{DEAD_LETTERED, ERROR_TYPE, Family, Label, PUBLISH, REASON, REFUSALS, SENT},
};

/// Kinds of errors that say that nothing reached the backend: such a publish
/// counts as refused, not as sent.
pub(super) const REFUSED: Kinds<10> = Kinds {
    family: &REFUSALS,
    labels: &[],
    label: ERROR_TYPE,
    names: [
        "invalid_subject",
        "invalid_option",
        "too_large",
        "unsupported",
        "closed",
        "schema_validation",
        "encryption",
        "key_unknown",
        "key_disabled",
        "key_destroyed",
    ],
};

/// The other kinds of errors, and one for those of the future.
pub(super) const FAILED: Kinds<14> = Kinds {
    family: &SENT,
    labels: &[PUBLISH],
    label: ERROR_TYPE,
    names: [
        "not_found",
        "conflict",
        "timeout",
        "incompatible",
        "undecodable",
        "exhausted",
        "consumer_mismatch",
        "stream_mismatch",
        "partial_batch",
        "state",
        "serialization",
        "connection",
        "provider",
        "_OTHER",
    ],
};

/// Why events were dead-lettered, and one for reasons of the future.
pub(super) const DEAD_LETTERS: Kinds<6> = Kinds {
    family: &DEAD_LETTERED,
    labels: &[],
    label: REASON,
    names: [
        DeadLetterKind::Rejected.as_str(),
        DeadLetterKind::Exhausted.as_str(),
        DeadLetterKind::Terminated.as_str(),
        DeadLetterKind::Undecodable.as_str(),
        DeadLetterKind::Undecryptable.as_str(),
        "_OTHER",
    ],
};

/// Series of one family, one for each kind.
pub(super) struct Kinds<const N: usize> {
    pub(super) family: &'static Family,
    labels: &'static [Label],
    /// The label that names the kind.
    label: &'static str,
    names: [&'static str; N],
}

impl<const N: usize> Kinds<N> {
    /// Each kind, with the labels of its series.
    pub(super) fn series(&self) -> impl Iterator<Item = (&'static str, Vec<Label>)> {
        let series = |kind| [self.labels, &[(self.label, kind)]].concat();
        self.names.iter().map(move |&kind| (kind, series(kind)))
    }
}

/// A counter for each kind.
pub(super) struct KindCounters<const N: usize> {
    kinds: &'static Kinds<N>,
    counters: [Counter; N],
}

impl<const N: usize> KindCounters<N> {
    pub(super) fn new(kinds: &'static Kinds<N>, meter: Meter<'_>) -> Self {
        let mut series = kinds.series();
        Self {
            kinds,
            counters: std::array::from_fn(|_| {
                let labels = series.next().map_or_else(Vec::new, |(_, labels)| labels);
                meter.counter(kinds.family, &labels)
            }),
        }
    }

    /// Counts one of `kind`; false when it is none of these.
    pub(super) fn add(&self, kind: &str) -> bool {
        let known = self.kinds.names.iter().position(|known| *known == kind);
        if let Some(index) = known {
            self.counters[index].add(1);
        }
        known.is_some()
    }

    /// Counts one of `kind` under the last name when it is none of these.
    pub(super) fn add_any(&self, kind: &str) {
        if !self.add(kind) {
            self.counters[N - 1].add(1);
        }
    }

    /// The kinds of which there was one.
    pub(super) fn counted(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.counters.iter().map(Counter::get);
        let counted = self.kinds.names.into_iter().zip(counts);
        counted.filter(|(_, count)| *count > 0).collect()
    }
}
