//! The names under which figures leave the bus: those of the OpenTelemetry
//! conventions for messaging, version 1.44, where these have one, and names
//! below `a3s.event` for the rest. Everything that exports figures reads them
//! here.

/// Series of one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// The name with dots, without the suffixes that Prometheus wants.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Counts things that happen.
    Counter,
    /// Counts things that are there.
    Gauge,
    /// A histogram of seconds.
    Seconds,
}

/// Name and value of a label.
pub(super) type Label = (&'static str, &'static str);

/// On every series: the kind of backend.
pub(super) const SYSTEM: &str = "messaging.system";
/// The kind of an error, see [`EventError::kind`](a3s_event_core::EventError::kind).
pub(super) const ERROR_TYPE: &str = "error.type";
/// Why an event was dead-lettered, see
/// [`DeadLetterKind::as_str`](a3s_event_core::dlq::DeadLetterKind::as_str).
pub(super) const REASON: &str = "reason";

pub(super) const PUBLISH: Label = ("messaging.operation.name", "publish");
pub(super) const RECEIVE: Label = ("messaging.operation.name", "receive");

pub(super) const ACK: Label = ("outcome", "ack");
pub(super) const NAK: Label = ("outcome", "nak");
pub(super) const TERM: Label = ("outcome", "term");
/// Its reader dropped it without an answer.
pub(super) const DROPPED: Label = ("outcome", "dropped");
pub(super) const ENCRYPT: Label = ("op", "encrypt");
pub(super) const DECRYPT: Label = ("op", "decrypt");

macro_rules! families {
    ($($ident:ident = $kind:ident($name:literal, $help:literal);)+) => {
        $(pub(super) const $ident: Family = Family {
            name: $name,
            kind: Kind::$kind,
            help: $help,
        };)+

        /// All of them, in the order of the page.
        pub(super) const FAMILIES: &[&Family] = &[$(&$ident,)+];
    };
}

families! {
    SENT = Counter(
        "messaging.client.sent.messages",
        "Events handed to the provider; those that failed carry an error type.");
    REFUSALS = Counter(
        "a3s.event.publish.refusals",
        "Publishes that were refused before anything was sent.");
    SCHEMA_REJECTIONS = Counter(
        "a3s.event.schema.rejections",
        "Publishes that a schema refused.");
    OPERATION_DURATION = Seconds(
        "messaging.client.operation.duration",
        "How long the provider took to publish one event; a3s_event_latency_sampling says how many are timed.");
    LATENCY_SAMPLING = Gauge(
        "a3s.event.latency.sampling",
        "One publish in this many is timed; 0 is none.");
    CONSUMED = Counter(
        "messaging.client.consumed.messages",
        "Deliveries that reached the bus; a redelivery counts again.");
    REDELIVERIES = Counter(
        "a3s.event.redeliveries",
        "Deliveries of events that had been delivered before.");
    MISSED = Counter(
        "a3s.event.missed",
        "Events that retention removed before a subscription got to them.");
    SETTLEMENTS = Counter(
        "a3s.event.settlements",
        "Answers to deliveries.");
    DEAD_LETTERED = Counter(
        "a3s.event.dead_lettered",
        "Events that the dead-letter handler took.");
    DEAD_LETTER_FAILURES = Counter(
        "a3s.event.dead_letter.failures",
        "Dead letters that the handler did not take.");
    EXHAUSTED = Counter(
        "a3s.event.exhausted",
        "Events terminated above their cap on deliveries, without a handler.");
    DLQ_DEPTH = Gauge(
        "a3s.event.dlq.depth",
        "Dead letters in store.");
    CRYPTO_OPERATIONS = Counter(
        "a3s.event.crypto.operations",
        "Payloads that were encrypted or decrypted.");
    CRYPTO_FAILURES = Counter(
        "a3s.event.crypto.failures",
        "Payloads that could not be encrypted or decrypted.");
    SUBSCRIPTIONS_ACTIVE = Gauge(
        "a3s.event.subscriptions.active",
        "Open subscriptions.");
}
