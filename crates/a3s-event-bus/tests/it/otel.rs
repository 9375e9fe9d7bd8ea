//! Traces across publisher and consumer, exported into memory.

use std::{future::Future, sync::Arc};

use a3s_event_bus::EventBus;
use a3s_event_core::types::Event;
use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
use a3s_event_memory::MemoryProvider;
use opentelemetry::{
    Value,
    trace::{SpanId, SpanKind, Status, TraceId, TracerProvider},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::json;
use tracing::{Instrument, info_span, instrument::WithSubscriber};
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    support::{Scripted, event, next, next_pending},
    trace::keep_another_subscriber,
};

const FOREIGN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Runs `future` and returns the spans that it ended.
async fn exported(future: impl Future<Output = ()>) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    keep_another_subscriber();
    future.with_subscriber(subscriber).await;
    exporter.get_finished_spans().unwrap()
}

#[track_caller]
fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    spans
        .iter()
        .find(|span| span.name == name)
        .unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key);
    found.map(|it| &it.value)
}

fn traceparent(span: &SpanData) -> String {
    let context = &span.span_context;
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

/// Which spans `span` is linked to.
fn links(span: &SpanData) -> Vec<SpanId> {
    let links = span.links.iter();
    links.map(|link| link.span_context.span_id()).collect()
}

#[tokio::test]
async fn one_trace_leads_from_the_publisher_to_the_consumer() {
    let spans = exported(async {
        let bus = EventBus::new(MemoryProvider::default());
        let mut subscription = bus.subscribe("events.market.>").await.unwrap();
        async {
            bus.publish("market", "forex", "", "ecb", json!(1))
                .await
                .unwrap();
        }
        .instrument(info_span!("request"))
        .await;
        next_pending(&mut subscription).await.ack().await.unwrap();
    })
    .await;
    let request = named(&spans, "request");
    let publish = named(&spans, "publish events.market.>");
    let receive = named(&spans, "receive events.market.>");
    let ack = named(&spans, "ack events.market.>");

    assert_eq!(publish.parent_span_id, request.span_context.span_id());
    assert_eq!(ack.parent_span_id, publish.span_context.span_id());
    assert!(ack.parent_span_is_remote);
    let trace = request.span_context.trace_id();
    assert_eq!(
        [publish, ack].map(|span| span.span_context.trace_id()),
        [trace; 2]
    );
    assert_eq!(links(receive), [publish.span_context.span_id()]);
    assert_eq!(links(ack), [publish.span_context.span_id()]);
    assert_eq!(publish.span_kind, SpanKind::Producer);
    assert_eq!(
        [receive, ack].map(|span| span.span_kind.clone()),
        [SpanKind::Client, SpanKind::Client]
    );
    let sequence = attribute(receive, "a3s_event.sequence");
    assert_eq!(sequence, Some(&Value::I64(1)));
}

#[tokio::test]
async fn a_consumer_that_has_a_trace_stays_in_it_and_links() {
    let spans = exported(async {
        let bus = EventBus::new(MemoryProvider::default());
        let mut subscription = bus.subscribe("events.market.>").await.unwrap();
        bus.publish("market", "forex", "", "ecb", json!(1))
            .await
            .unwrap();
        let pending = next_pending(&mut subscription).await;
        pending.ack().instrument(info_span!("job")).await.unwrap();
        bus.publish("market", "forex", "", "ecb", json!(2))
            .await
            .unwrap();
        // Acknowledged by whoever comes back: no span of the bus in between.
        next(&mut subscription).await;
    })
    .await;
    let job = named(&spans, "job");
    let ack = named(&spans, "ack events.market.>");
    assert_eq!(ack.parent_span_id, job.span_context.span_id());
    let publish = named(&spans, "publish events.market.>");
    assert_eq!(links(ack), [publish.span_context.span_id()]);
}

#[tokio::test]
async fn the_event_of_the_caller_stays_as_it_is() {
    let scripted = Scripted::default();
    let spans = exported(async {
        let bus = EventBus::new(scripted.clone());
        let event = event("events.a.b", json!({"rate": 1.08}));
        let before = event.clone();
        bus.publish_event(&event).await.unwrap();
        bus.publish_batch(std::slice::from_ref(&event))
            .await
            .unwrap();
        assert!(event.ptr_eq(&before) && event.metadata.is_empty());
    })
    .await;
    let stored = scripted.published();
    for ((stored, _), span) in stored.iter().zip(["publish events.a.>", "publish batch"]) {
        assert_eq!(
            stored.metadata["traceparent"],
            traceparent(named(&spans, span))
        );
        assert_eq!(stored.payload, json!({"rate": 1.08}));
    }
    assert_eq!(stored.len(), 2);
}

#[tokio::test]
async fn a_context_that_the_caller_set_is_passed_on_and_linked() {
    let scripted = Scripted::default();
    let spans = exported(async {
        let bus = EventBus::new(scripted.clone());
        let event = event("events.a.b", json!(1))
            .with_metadata("traceparent", FOREIGN)
            .with_metadata("tracestate", "vendor=1");
        bus.publish_event(&event).await.unwrap();
        bus.publish_batch(&[event]).await.unwrap();
    })
    .await;
    for (stored, _) in scripted.published() {
        assert_eq!(stored.metadata["traceparent"], FOREIGN);
        assert_eq!(stored.metadata["tracestate"], "vendor=1");
    }
    let creator = SpanId::from_hex("b7ad6b7169203331").unwrap();
    let publish = named(&spans, "publish events.a.>");
    assert_eq!(links(publish), [creator]);
    assert_eq!(publish.span_kind, SpanKind::Client);
    assert_eq!(publish.parent_span_id, SpanId::INVALID);
    assert_eq!(links(named(&spans, "publish batch")), [creator]);
}

#[tokio::test]
async fn a_malformed_context_counts_as_absent() {
    let scripted = Scripted::default();
    let malformed = || {
        event("events.a.b", json!(1))
            .with_metadata("traceparent", FOREIGN.to_uppercase())
            .with_metadata("tracestate", "vendor=1")
    };
    scripted.deliver(malformed(), 7, 1);
    let spans = exported(async {
        let bus = EventBus::new(scripted.clone());
        bus.publish_event(&malformed()).await.unwrap();
        let mut subscription = bus.subscribe("events.a.>").await.unwrap();
        next_pending(&mut subscription).await.ack().await.unwrap();
    })
    .await;
    let publish = named(&spans, "publish events.a.>");
    assert_eq!(publish.span_kind, SpanKind::Producer);
    let (stored, _) = &scripted.published()[0];
    assert_eq!(stored.metadata["traceparent"], traceparent(publish));
    assert!(!stored.metadata.contains_key("tracestate"));
    for span in ["receive events.a.>", "ack events.a.>"] {
        assert!(links(named(&spans, span)).is_empty());
    }
}

#[tokio::test]
async fn tracestate_follows_the_trace() {
    let scripted = Scripted::default();
    let with_state = |length: usize| {
        let state = format!("vendor={}", "x".repeat(length - 7));
        event("events.a.b", json!(1))
            .with_metadata("traceparent", FOREIGN)
            .with_metadata("tracestate", state)
    };
    scripted.deliver(with_state(200), 1, 1);
    scripted.deliver(with_state(513), 2, 1);
    exported(async {
        let bus = EventBus::new(scripted.clone());
        let mut subscription = bus.subscribe("events.a.>").await.unwrap();
        for _ in 0..2 {
            let pending = next_pending(&mut subscription).await;
            pending.ack().await.unwrap();
        }
    })
    .await
    .iter()
    .filter(|span| span.name.starts_with("ack"))
    .zip([true, false])
    .for_each(|(ack, kept)| {
        assert_eq!(
            ack.span_context.trace_id(),
            TraceId::from_hex(&FOREIGN[3..35]).unwrap()
        );
        let state = ack
            .links
            .iter()
            .next()
            .unwrap()
            .span_context
            .trace_state()
            .header();
        assert_eq!(!state.is_empty(), kept, "{state}");
    });
}

#[tokio::test]
async fn encrypted_events_carry_the_context_too() {
    let provider = Arc::new(MemoryProvider::default());
    let spans = exported(async {
        let mut bus = EventBus::new(Arc::clone(&provider));
        let key = SecretKey::generate().unwrap();
        bus.set_encryptor(Arc::new(Aes256GcmEncryptor::with_key("2031", key).unwrap()));
        let mut subscription = bus.subscribe("events.a.>").await.unwrap();
        bus.publish("a", "b", "", "", json!({"pin": 451}))
            .await
            .unwrap();
        bus.publish_batch(&[event("events.a.b", json!({"pin": 452}))])
            .await
            .unwrap();
        let received = next(&mut subscription).await;
        assert_eq!(received.event.payload, json!({"pin": 451}));
        let received = next(&mut subscription).await;
        assert_eq!(received.event.payload, json!({"pin": 452}));
    })
    .await;
    let receives: Vec<_> = spans
        .iter()
        .filter(|span| span.name.starts_with("receive"))
        .collect();
    let publishes = ["publish events.a.>", "publish batch"]
        .map(|name| named(&spans, name).span_context.span_id());
    assert_eq!(
        receives
            .iter()
            .flat_map(|span| links(span))
            .collect::<Vec<_>>(),
        publishes
    );
}

#[tokio::test]
async fn a_failure_is_the_status_of_its_span() {
    let spans = exported(async {
        let scripted = Scripted::default();
        scripted.fail_publishes_after(0);
        let bus = EventBus::new(scripted);
        bus.publish_event(&event("events.a.b", json!(1)))
            .await
            .unwrap_err();
    })
    .await;
    let publish = named(&spans, "publish events.a.>");
    assert!(
        matches!(publish.status, Status::Error { .. }),
        "{:?}",
        publish.status
    );
    assert_eq!(
        attribute(publish, "error.type"),
        Some(&Value::from("provider"))
    );
}

#[tokio::test]
async fn without_a_subscriber_nothing_is_added() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    let sent: Event = event("events.a.b", json!(1));
    bus.publish_event(&sent).await.unwrap();
    assert!(scripted.published()[0].0.ptr_eq(&sent));
}
