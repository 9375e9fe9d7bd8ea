//! Spans, named after the OpenTelemetry conventions for messaging (1.44).
//!
//! They cost a comparison where nobody listens, and hold no payload.

#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
mod parent;

use std::{fmt, future::Future};

use a3s_event_core::{
    EventError, Result,
    provider::EventProvider,
    types::{Event, ReceivedEvent},
};
use tracing::{Instrument, Span, field::Empty, info_span};

/// Whether anybody may listen.
pub(crate) fn is_enabled() -> bool {
    tracing::level_enabled!(tracing::Level::INFO)
}

/// Runs `operation` inside `span` and notes how it failed.
pub(crate) async fn within<T>(span: Span, operation: impl Future<Output = Result<T>>) -> Result<T> {
    if span.is_disabled() {
        return operation.await;
    }
    let outcome = operation.instrument(span.clone()).await;
    failed(&span, outcome.as_ref().err());
    outcome
}

/// Notes how the operation of `span` failed, if it did.
pub(crate) fn failed(span: &Span, error: Option<&EventError>) {
    if let Some(error) = error {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.kind());
    }
}

/// The span around handing `event` to the provider.
pub(crate) fn publish(provider: &dyn EventProvider, event: &Event) -> Span {
    let span = info_span!(
        "a3s_event.publish",
        otel.name = %format_args!("publish {}", Template(provider, event)),
        otel.kind = kind_of_publish(event),
        otel.status_code = Empty,
        messaging.system = system(provider.name()),
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.template = %Template(provider, event),
        messaging.destination.name = event.subject,
        messaging.message.id = event.id,
        error.type = Empty,
    );
    link(&span, event);
    span
}

/// The kind of the span whose context the event carries: its creator, unless the
/// caller says that another one is.
#[cfg_attr(
    not(feature = "otel"),
    expect(unused_variables, reason = "nobody reads what the event carries")
)]
fn kind_of_publish(event: &Event) -> &'static str {
    #[cfg(feature = "otel")]
    if otel::carried(event).is_some() {
        return "client";
    }
    "producer"
}

/// Lets what is sent for `event` carry the context of `span`: `copy`, or where
/// there is none a copy of the event. `None` is the event itself.
pub(crate) fn inject(span: &Span, event: &Event, copy: Option<Event>) -> Option<Event> {
    #[cfg(feature = "otel")]
    if is_enabled() {
        return otel::inject(span, event, copy);
    }
    let _: (&Span, &Event) = (span, event);
    copy
}

/// The same for a batch; no copies are the events themselves.
pub(crate) fn inject_all(span: &Span, events: &[Event], copies: Vec<Event>) -> Vec<Event> {
    #[cfg(feature = "otel")]
    if is_enabled() {
        for event in events {
            link(span, event);
        }
        let copies = if copies.is_empty() {
            events.to_vec()
        } else {
            copies
        };
        let inject = |(event, copy): (&Event, Event)| otel::inject(span, event, Some(copy));
        return events.iter().zip(copies).filter_map(inject).collect();
    }
    let _: (&Span, &[Event]) = (span, events);
    copies
}

/// Refers `span` to the span that published `event`.
fn link(span: &Span, event: &Event) {
    #[cfg(feature = "otel")]
    if !span.is_disabled() {
        otel::link(span, event);
    }
    let _: (&Span, &Event) = (span, event);
}

/// The span around handing a batch to the provider.
pub(crate) fn publish_batch(provider: &dyn EventProvider, events: usize) -> Span {
    info_span!(
        "a3s_event.publish",
        otel.name = "publish batch",
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = system(provider.name()),
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.batch.message_count = integer(events as u64),
        error.type = Empty,
    )
}

/// The span around waiting for an event; [`received`] says which one came.
pub(crate) fn receive(provider: &str, template: &str, consumer: Option<&str>) -> Span {
    info_span!(
        "a3s_event.receive",
        otel.name = %format_args!("receive {template}"),
        otel.kind = "client",
        otel.status_code = Empty,
        messaging.system = system(provider),
        messaging.operation.name = "receive",
        messaging.operation.type = "receive",
        messaging.destination.template = template,
        messaging.consumer.group.name = consumer,
        messaging.destination.name = Empty,
        messaging.message.id = Empty,
        a3s_event.stream = Empty,
        a3s_event.sequence = Empty,
        a3s_event.num_delivered = Empty,
        error.type = Empty,
    )
}

/// Notes in a [`receive`] span what came.
pub(crate) fn received(span: &Span, received: &ReceivedEvent) {
    if span.is_disabled() {
        return;
    }
    span.record(
        "messaging.destination.name",
        received.event.subject.as_str(),
    );
    span.record("messaging.message.id", received.event.id.as_str());
    span.record("a3s_event.stream", received.stream.as_str());
    span.record("a3s_event.sequence", integer(received.sequence));
    let num_delivered = integer(received.num_delivered);
    span.record("a3s_event.num_delivered", num_delivered);
    link(span, &received.event);
}

/// The span around giving the answer `operation` to a delivery.
pub(crate) fn settle(
    provider: &str,
    template: &str,
    operation: &'static str,
    received: &ReceivedEvent,
) -> Span {
    let span = info_span!(
        "a3s_event.settle",
        otel.name = %format_args!("{operation} {template}"),
        otel.kind = "client",
        otel.status_code = Empty,
        messaging.system = system(provider),
        messaging.operation.name = operation,
        messaging.operation.type = "settle",
        messaging.destination.template = template,
        messaging.message.id = received.event.id,
        a3s_event.stream = received.stream.as_str(),
        a3s_event.sequence = integer(received.sequence),
        error.type = Empty,
    );
    #[cfg(feature = "otel")]
    if !span.is_disabled() {
        otel::continue_from(&span, &received.event);
    }
    span
}

/// A number as spans know it: an unsigned one would be exported as text.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The name of a messaging system. The conventions list none for a memory
/// provider, so it gets one that nobody else uses.
pub(crate) fn system(provider: &str) -> &str {
    match provider {
        "memory" => "a3s_memory",
        name => name,
    }
}

/// The subjects of the event's category: bounded, unlike subjects.
struct Template<'a>(&'a dyn EventProvider, &'a Event);

impl fmt::Display for Template<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.category_subject(&self.1.category))
    }
}
