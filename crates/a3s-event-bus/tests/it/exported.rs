//! The same figures through the `metrics` crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use a3s_event_bus::{EventBus, EventBusBuilder, MemoryDlqHandler};
use a3s_event_core::{
    provider::Subscription,
    schema::{EventSchema, SchemaRegistry},
    types::PublishOptions,
};
use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
use a3s_event_memory::{MemoryConfig, MemoryProvider};
use a3s_event_schema::MemorySchemaRegistry;
use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder, Snapshotter},
};
use serde_json::json;

use crate::support::{capped, event, filter, next, next_pending, publish};

/// A bus to which everything happened that is counted, and a subscription that is
/// still open.
async fn eventful(builder: EventBusBuilder) -> (EventBus, Box<dyn Subscription>) {
    let mut bus = builder.latency_sampling(1).build();
    let registry = MemorySchemaRegistry::new();
    registry
        .register(EventSchema {
            event_type: "order".to_owned(),
            version: 1,
            required_fields: vec!["total".to_owned()],
            description: String::new(),
        })
        .unwrap();
    bus.set_schema_registry(Arc::new(registry));
    bus.set_dlq_handler(Arc::new(MemoryDlqHandler::default()));
    let key = SecretKey::generate().unwrap();
    let encryptor = Arc::new(Aes256GcmEncryptor::with_key("2031", key).unwrap());
    bus.set_encryptor(encryptor.clone());

    // Sent, refused in two ways, and failed.
    publish(&bus, "events.a.one").await;
    bus.publish_batch(&[
        event("events.a.two", json!(2)),
        event("events.a.three", json!(3)),
    ])
    .await
    .unwrap();
    bus.publish("*", "a", "", "", json!(1)).await.unwrap_err();
    let mut untrue = event("events.a.order", json!({}));
    untrue.event_type = "order".to_owned();
    bus.publish_event(&untrue).await.unwrap_err();
    let stale = PublishOptions::default().with_expected_sequence(77);
    bus.publish_event_with_options(&event("events.a.four", json!(4)), &stale)
        .await
        .unwrap_err();

    // Acknowledged, refused, dropped, terminated, refused for the last time.
    bus.update_subscription(capped("reader", &["events.a.>"], 2))
        .await
        .unwrap();
    let mut reader = bus.subscribe_as("reader").await.unwrap();
    next_pending(&mut reader).await.ack().await.unwrap();
    next_pending(&mut reader).await.nak().await.unwrap();
    next_pending(&mut reader).await.nak().await.unwrap();
    next_pending(&mut reader)
        .await
        .term("no use")
        .await
        .unwrap();
    publish(&bus, "events.a.five").await;
    drop(next_pending(&mut reader).await);

    // Not decryptable, and missed.
    encryptor
        .add_key("2032", SecretKey::generate().unwrap())
        .unwrap();
    encryptor.rotate_to("2032").unwrap();
    encryptor.destroy_key("2031").unwrap();
    let mut late = bus.subscribe("events.b.>").await.unwrap();
    for _ in 0..12 {
        publish(&bus, "events.b.c").await;
    }
    next(&mut late).await;
    let mut broken = bus.subscribe("events.>").await.unwrap();
    next(&mut broken).await;
    (bus, broken)
}

fn small() -> EventBusBuilder {
    EventBus::builder(MemoryProvider::new(MemoryConfig {
        max_events: 8,
        ..Default::default()
    }))
}

/// Values by series as Prometheus spells it; histograms as their counts.
type Values = BTreeMap<String, f64>;

fn of_recorder(recorder: &Snapshotter) -> Values {
    let mut values = Values::new();
    for (key, unit, help, value) in recorder.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        assert!(help.is_some_and(|help| !help.is_empty()), "{key}");
        let (suffix, expected, value) = match value {
            DebugValue::Counter(count) => ("_total", Unit::Count, count as f64),
            DebugValue::Gauge(value) => ("", Unit::Count, value.into_inner()),
            DebugValue::Histogram(seconds) => {
                let labels = series(&key, "_seconds_sum");
                values.insert(labels, seconds.iter().map(|it| it.into_inner()).sum());
                ("_seconds_count", Unit::Seconds, seconds.len() as f64)
            }
        };
        assert_eq!(unit, Some(expected), "{kind:?} {key}");
        let repeated = values.insert(series(&key, suffix), value);
        assert_eq!(repeated, None);
    }
    values
}

fn series(key: &metrics::Key, suffix: &str) -> String {
    let labels = key.labels().map(|label| {
        let name = label.key().replace('.', "_");
        format!("{name}=\"{}\"", label.value())
    });
    let labels: Vec<String> = labels.collect();
    let name = key.name().replace('.', "_");
    format!("{name}{suffix}{{{}}}", labels.join(","))
}

fn of_page(page: &str) -> Values {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.filter(|line| !line.is_empty() && !line.contains("_bucket{"));
    samples
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn the_recorder_and_the_bus_say_the_same() {
    let recorder = DebuggingRecorder::new();
    let (bus, _open) = eventful(small().recorder(&recorder)).await;
    let page = of_page(&bus.metrics().render_prometheus());
    let exported = of_recorder(&recorder.snapshotter());
    let names = |values: &Values| values.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&exported), names(&page));
    for (series, value) in &page {
        let difference = (exported[series] - value).abs();
        assert!(
            difference < 1e-6,
            "{series}: {} and {value}",
            exported[series]
        );
    }
    let silent: BTreeSet<_> = page
        .iter()
        .filter(|(series, value)| **value == 0.0 && !series.contains("error_type="))
        .map(|(series, _)| series.split('{').next().unwrap())
        .collect();
    // Everything else happened, so the comparison was of more than zeros.
    assert_eq!(
        silent.into_iter().collect::<Vec<_>>(),
        [
            "a3s_event_crypto_failures_total",
            "a3s_event_dead_letter_failures_total",
            "a3s_event_dead_lettered_total",
            "a3s_event_exhausted_total",
        ]
    );
}

#[tokio::test]
async fn the_exporter_of_prometheus_writes_the_names_units_and_help_of_our_own_page() {
    let recorder = PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets_for_metric(Matcher::Suffix("duration".to_owned()), &[0.001, 1.0])
        .unwrap()
        .build_recorder();
    let (bus, _open) = eventful(small().recorder(&recorder)).await;
    let ours = bus.metrics().render_prometheus();
    let theirs = recorder.handle().render();
    let described = |page: &str| -> BTreeSet<String> {
        let lines = page.lines().filter(|line| line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(described(&theirs), described(&ours));
    let names = |page: &str| of_page(page).into_keys().collect::<BTreeSet<_>>();
    assert_eq!(names(&theirs), names(&ours));
}

#[tokio::test]
async fn the_recorder_that_is_current_when_the_bus_is_built_counts() {
    let recorder = DebuggingRecorder::new();
    let deaf = EventBus::new(MemoryProvider::default());
    let bus = metrics::with_local_recorder(&recorder, || EventBus::new(MemoryProvider::default()));
    publish(&bus, "events.a.b").await;
    publish(&deaf, "events.a.b").await;
    let exported = of_recorder(&recorder.snapshotter());
    let sent = "messaging_client_sent_messages_total{messaging_system=\"a3s_memory\",messaging_operation_name=\"publish\"}";
    assert_eq!(exported[sent], 1.0);
    assert_eq!(deaf.metrics().snapshot().published, 1);
}

#[tokio::test]
async fn a_bus_without_metrics_counts_nothing_and_tells_no_recorder() {
    let recorder = DebuggingRecorder::new();
    let _current = metrics::set_default_local_recorder(&recorder);
    let (bus, _open) = eventful(small().metrics(false)).await;
    assert_eq!(recorder.snapshotter().snapshot().into_vec().len(), 0);
    let page = of_page(&bus.metrics().render_prometheus());
    let counted: Vec<_> = page.iter().filter(|(_, value)| **value != 0.0).collect();
    // Not counted, but asked of the handler.
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert!(
        counted[0].0.starts_with("a3s_event_dlq_depth"),
        "{counted:?}"
    );
}

#[tokio::test]
async fn ten_thousand_subjects_and_ids_leave_the_number_of_series_as_it_was() {
    let recorder = DebuggingRecorder::new();
    let bus = EventBus::builder(MemoryProvider::default())
        .recorder(&recorder)
        .build();
    let snapshotter = recorder.snapshotter();
    let exported = || snapshotter.snapshot().into_vec().len();
    let rendered = || bus.metrics().render_prometheus().lines().count();
    let before = (exported(), rendered());
    let mut reader = bus.subscribe("events.>").await.unwrap();
    for index in 0..10_000 {
        publish(&bus, &format!("events.category{index}.topic{index}")).await;
        next_pending(&mut reader).await.ack().await.unwrap();
    }
    for index in 0..100 {
        let id = format!("reader{index}");
        let filter = filter(&id, &[&format!("events.category{index}.>")]);
        bus.update_subscription(filter).await.unwrap();
        let mut reader = bus.subscribe_as(&id).await.unwrap();
        next_pending(&mut reader).await.nak().await.unwrap();
    }
    assert_eq!(bus.metrics().snapshot().acked, 10_000);
    assert_eq!((exported(), rendered()), before);
}

#[tokio::test]
async fn the_recorder_learns_the_depth_and_what_is_open_as_they_change() {
    let recorder = DebuggingRecorder::new();
    let (bus, _open) = eventful(small().recorder(&recorder)).await;
    let letters = bus.metrics().snapshot().dlq_depth.unwrap();
    let gauges: BTreeMap<_, _> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(key, ..)| key.kind() == MetricKind::Gauge)
        .map(|(key, _, _, value)| (key.key().name().to_owned(), value))
        .collect();
    assert_eq!(
        gauges["a3s.event.dlq.depth"],
        DebugValue::Gauge((letters as f64).into())
    );
    assert_eq!(
        gauges["a3s.event.subscriptions.active"],
        DebugValue::Gauge(1.0.into())
    );
    assert_eq!(
        gauges["a3s.event.latency.sampling"],
        DebugValue::Gauge(1.0.into())
    );
}
