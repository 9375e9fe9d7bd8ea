//! Trace context on its way through a backend.

use a3s_event::EventBus;
use serde_json::json;

use crate::pipeline::{
    stage::Stage,
    support::{event, next},
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

cases! {
    what_the_publisher_set_travels_untouched
    #[cfg(feature = "full")]
    one_trace_leads_from_the_publisher_to_the_consumer
}

/// Nobody listens to spans here, so nothing is read or written, whatever features
/// are there.
async fn what_the_publisher_set_travels_untouched(stage: Stage) {
    let bus = EventBus::from_provider(stage.process().await);
    let mut subscription = bus.subscribe(&stage.below("market.>")).await.unwrap();
    let plain = event(&stage, "market.forex", json!({"rate": 1.08}));
    let traced = plain
        .clone()
        .with_metadata("traceparent", PARENT)
        .with_metadata("tracestate", "vendor=1");
    let malformed = plain.clone().with_metadata("traceparent", "nonsense");
    for sent in [plain, traced, malformed] {
        bus.publish_event(&sent).await.unwrap();
        assert_eq!(next(&mut subscription).await.event, sent);
    }
}

#[cfg(feature = "full")]
async fn one_trace_leads_from_the_publisher_to_the_consumer(stage: Stage) {
    use std::sync::LazyLock;

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use tracing::{
        Dispatch, Instrument, info_span, instrument::WithSubscriber, subscriber::NoSubscriber,
    };
    use tracing_subscriber::layer::SubscriberExt;

    use crate::pipeline::support::next_pending;

    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("tests"));
    let subscriber = tracing_subscriber::registry().with(layer);
    // As long as there is one, `tracing` asks that of the thread which reaches a span first, and remembers
    // the answer for all threads: a test without a subscriber would silence it for this one.
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
    LazyLock::force(&ANOTHER);
    async {
        // Two services, each with a connection of its own.
        let publisher = EventBus::from_provider(stage.process().await);
        let consumer = EventBus::from_provider(stage.process().await);
        let mut subscription = consumer.subscribe(&stage.below("market.>")).await.unwrap();
        publisher
            .publish("market", "forex", "EUR/USD", "ecb", json!({"rate": 1.08}))
            .instrument(info_span!("request"))
            .await
            .unwrap();
        let pending = next_pending(&mut subscription).await;
        assert!(pending.received.event.metadata.contains_key("traceparent"));
        pending.ack().await.unwrap();
        publisher.close().await.unwrap();
        consumer.close().await.unwrap();
    }
    .with_subscriber(subscriber)
    .await;

    let spans = exporter.get_finished_spans().unwrap();
    let named = |prefix: &str| -> &SpanData {
        let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
        let found = spans.iter().find(|span| span.name.starts_with(prefix));
        found.unwrap_or_else(|| panic!("no {prefix} in {names:?}"))
    };
    let [request, publish, receive, ack] = ["request", "publish ", "receive ", "ack "].map(named);
    let trace = request.span_context.trace_id();
    assert_eq!(publish.parent_span_id, request.span_context.span_id());
    assert_eq!(publish.span_context.trace_id(), trace);
    assert_eq!(ack.parent_span_id, publish.span_context.span_id());
    assert_eq!(ack.span_context.trace_id(), trace);
    for span in [receive, ack] {
        let linked: Vec<_> = span.links.iter().map(|link| &link.span_context).collect();
        assert_eq!(linked.len(), 1);
        assert_eq!(linked[0].span_id(), publish.span_context.span_id());
        assert_eq!(linked[0].trace_id(), trace);
    }
}
