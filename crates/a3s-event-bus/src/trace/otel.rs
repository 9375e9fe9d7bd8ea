//! Traces across processes: the context of the publisher's span travels in the
//! metadata of its events, and spans of readers refer to it.
//!
//! Nothing global is used: spans come from the subscriber that is current, and
//! contexts are read and written here.

use a3s_event_core::types::Event;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::parent::TraceParent;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// A longer `tracestate` is left out, as the W3C allows.
const LONGEST_STATE: usize = 512;

/// The context that `event` carries; what is malformed counts as absent.
pub(super) fn carried(event: &Event) -> Option<SpanContext> {
    let parent = TraceParent::parse(event.metadata.get(TRACEPARENT)?)?;
    let state = event.metadata.get(TRACESTATE);
    let state = state.filter(|state| state.len() <= LONGEST_STATE);
    let state = state.and_then(|state| state.parse::<TraceState>().ok());
    Some(SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        TraceFlags::new(parent.flags) & TraceFlags::SAMPLED,
        true,
        state.unwrap_or_default(),
    ))
}

/// Lets the outgoing `copy` of `event`, or a new one, carry the context of
/// `span`, unless the caller set one. `None` is the event itself.
pub(super) fn inject(span: &Span, event: &Event, copy: Option<Event>) -> Option<Event> {
    let context = of(span).or_else(ambient);
    let Some(context) = context.filter(|_| carried(event).is_none()) else {
        return copy;
    };
    let parent = TraceParent {
        trace_id: context.trace_id().to_bytes(),
        span_id: context.span_id().to_bytes(),
        flags: (context.trace_flags() & TraceFlags::SAMPLED).to_u8(),
    };
    let state = context.trace_state().header();
    let mut outgoing = copy.unwrap_or_else(|| event.clone());
    let metadata = &mut outgoing.metadata;
    metadata.insert(TRACEPARENT.to_owned(), parent.to_string());
    // One of the caller's, beside a malformed `traceparent`, means nothing.
    metadata.remove(TRACESTATE);
    if !state.is_empty() && state.len() <= LONGEST_STATE {
        metadata.insert(TRACESTATE.to_owned(), state);
    }
    Some(outgoing)
}

/// Links `span` to the span that published `event`.
pub(super) fn link(span: &Span, event: &Event) {
    if let Some(context) = carried(event) {
        span.add_link(context);
    }
}

/// Links `span`, which nobody has entered yet, to the span that published
/// `event`, and continues that trace where there is no other to belong to.
pub(super) fn continue_from(span: &Span, event: &Event) {
    let Some(context) = carried(event) else {
        return;
    };
    if ambient().is_none() {
        let parent = Context::new().with_remote_span_context(context.clone());
        // Refused where no layer exports spans, or where this one is filtered.
        let _ = span.set_parent(parent);
    }
    span.add_link(context);
}

/// The context in which a span would begin now.
fn ambient() -> Option<SpanContext> {
    of(&Span::current()).or_else(|| valid(&Context::current()))
}

fn of(span: &Span) -> Option<SpanContext> {
    valid(&span.context())
}

fn valid(context: &Context) -> Option<SpanContext> {
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}
