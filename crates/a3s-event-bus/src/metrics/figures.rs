use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};

use a3s_event_core::dlq::DlqHandler;
use serde::Serialize;

use super::{
    histogram::{Histogram, HistogramSnapshot},
    instruments::{Counter, Gauge, Meter},
    kinds::{DEAD_LETTERS, FAILED, KindCounters, REFUSED},
    names::{
        ACK, CONSUMED, CRYPTO_FAILURES, CRYPTO_OPERATIONS, DEAD_LETTER_FAILURES, DECRYPT,
        DLQ_DEPTH, DROPPED, ENCRYPT, EXHAUSTED, Family, LATENCY_SAMPLING, Label, MISSED, NAK,
        OPERATION_DURATION, PUBLISH, RECEIVE, REDELIVERIES, SCHEMA_REJECTIONS, SENT, SETTLEMENTS,
        SUBSCRIPTIONS_ACTIVE, TERM,
    },
};

macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $field:ident: $family:ident [$($label:ident),*],)+) => {
        /// Everything that is counted, each where one thing happens.
        pub(super) struct Figures {
            /// Label of every series.
            pub(super) system: Box<str>,
            $(pub(super) $field: Counter,)+
            refused: KindCounters<10>,
            failed: KindCounters<14>,
            dead_lettered: KindCounters<6>,
            pub(super) active_subscriptions: Gauge,
            pub(super) publish_latency: Histogram,
            /// One publish in this many is timed; 0 is none.
            pub(super) sampling: Gauge,
            /// How many must be published before the next one is timed.
            pub(super) next_timed: AtomicU64,
            dlq_depth: Gauge,
            /// Asked for its depth.
            dead_letters: RwLock<Option<Arc<dyn DlqHandler>>>,
        }

        /// The figures of a bus at one moment. JSON names are camelCase.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $($(#[doc = $doc])+ pub $field: u64,)+
            /// Publishes that failed, by
            /// [`EventError::kind`](a3s_event_core::EventError::kind); a batch
            /// counts once.
            pub publish_errors: BTreeMap<&'static str, u64>,
            /// Events that a dead-letter handler took.
            pub dead_lettered: u64,
            /// The same by
            /// [`DeadLetterKind::as_str`](a3s_event_core::dlq::DeadLetterKind::as_str).
            pub dead_lettered_by_kind: BTreeMap<&'static str, u64>,
            /// Dead letters in store, where the handler can tell at once.
            pub dlq_depth: Option<u64>,
            /// Open subscriptions.
            pub active_subscriptions: u64,
            /// How long providers took to publish single events, failures included.
            pub publish_latency: HistogramSnapshot,
        }

        impl Figures {
            pub(super) fn new(meter: Meter<'_>) -> Self {
                Self {
                    system: meter.system.into(),
                    $($field: meter.counter(&$family, &[$($label),*]),)+
                    refused: KindCounters::new(&REFUSED, meter),
                    failed: KindCounters::new(&FAILED, meter),
                    dead_lettered: KindCounters::new(&DEAD_LETTERS, meter),
                    active_subscriptions: meter.gauge(&SUBSCRIPTIONS_ACTIVE),
                    publish_latency: Histogram::new(meter, &OPERATION_DURATION, &[PUBLISH]),
                    sampling: meter.gauge(&LATENCY_SAMPLING),
                    next_timed: AtomicU64::default(),
                    dlq_depth: meter.gauge(&DLQ_DEPTH),
                    dead_letters: RwLock::default(),
                }
            }

            pub(super) fn snapshot(&self) -> MetricsSnapshot {
                let mut publish_errors = self.failed.counted();
                publish_errors.append(&mut self.refused.counted());
                let dead_lettered = self.dead_lettered.counted();
                MetricsSnapshot {
                    $($field: self.$field.get(),)+
                    publish_errors,
                    dead_lettered: dead_lettered.values().sum(),
                    dead_lettered_by_kind: dead_lettered,
                    dlq_depth: self.dlq_depth(),
                    active_subscriptions: self.active_subscriptions.get(),
                    publish_latency: self.publish_latency.snapshot(self.sampling.get()),
                }
            }
        }

        /// The counters of one series each.
        pub(super) const SERIES: &[Series] = &[$((&$family, &[$($label),*], |it| it.$field),)+];
    };
}

/// A name, labels, and how many a snapshot says.
pub(super) type Series = (
    &'static Family,
    &'static [Label],
    fn(&MetricsSnapshot) -> u64,
);

figures! {
    /// Events that were published.
    published: SENT [PUBLISH],
    /// Deliveries that reached the bus.
    received: CONSUMED [RECEIVE],
    /// Deliveries of events that had been delivered before.
    redelivered: REDELIVERIES [],
    /// Events that retention removed before a subscription got to them; handles
    /// that share a durable consumer count them each.
    missed: MISSED [],
    /// Deliveries that were acknowledged.
    acked: SETTLEMENTS [ACK],
    /// Deliveries that were refused.
    nacked: SETTLEMENTS [NAK],
    /// Deliveries that their reader terminated.
    terminated: SETTLEMENTS [TERM],
    /// Deliveries that their reader dropped without an answer.
    unanswered: SETTLEMENTS [DROPPED],
    /// Events terminated above their cap on deliveries, where no dead-letter handler takes them.
    exhausted: EXHAUSTED [],
    /// Dead letters that the handler did not take.
    dead_letter_errors: DEAD_LETTER_FAILURES [],
    /// Publishes that a schema refused.
    schema_rejections: SCHEMA_REJECTIONS [],
    /// Payloads that were encrypted.
    encrypted: CRYPTO_OPERATIONS [ENCRYPT],
    /// Payloads that could not be encrypted.
    encryption_failures: CRYPTO_FAILURES [ENCRYPT],
    /// Payloads that were decrypted.
    decrypted: CRYPTO_OPERATIONS [DECRYPT],
    /// Payloads that could not be decrypted, or that policy refused.
    decryption_failures: CRYPTO_FAILURES [DECRYPT],
}

impl Figures {
    #[cold]
    pub(super) fn publish_failed(&self, kind: &str) {
        if !self.refused.add(kind) {
            self.failed.add_any(kind);
        }
    }

    pub(super) fn dead_lettered(&self, kind: &str) {
        self.dead_lettered.add_any(kind);
        let _: Option<u64> = self.dlq_depth();
    }

    pub(super) fn watch_depth_of(&self, handler: Arc<dyn DlqHandler>) {
        let mut watched = self
            .dead_letters
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *watched = Some(handler);
    }

    /// Asks the handler, and tells the recorder.
    fn dlq_depth(&self) -> Option<u64> {
        let handler = self
            .dead_letters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let depth = handler?.depth()?;
        self.dlq_depth.set(depth);
        Some(depth)
    }
}
