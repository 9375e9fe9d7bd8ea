use std::sync::Arc;

use a3s_event_bus::{EventBus, MetricsSnapshot};
use a3s_event_core::provider::Capabilities;
use a3s_event_memory::{MemoryConfig, MemoryProvider};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Scripted, event, next, next_pending, publish};

#[tokio::test]
async fn a_refused_publish_is_counted_by_kind_and_not_as_published() {
    let bus = EventBus::new(Scripted::default());
    publish(&bus, "events.a.b").await;
    bus.publish_event(&event("other.a", json!(1)))
        .await
        .unwrap_err();
    bus.publish("*", "a", "", "", json!(1)).await.unwrap_err();
    let figures = bus.metrics().snapshot();
    assert_eq!(figures.published, 1);
    assert_eq!(figures.publish_errors.len(), 1);
    assert_eq!(figures.publish_errors["invalid_subject"], 2);

    let page = bus.metrics().render_prometheus();
    let sent: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("messaging_client_sent") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        sent,
        [
            "messaging_client_sent_messages_total{messaging_system=\"scripted\",messaging_operation_name=\"publish\"} 1",
        ]
    );
    assert!(page.contains("a3s_event_publish_refusals_total{messaging_system=\"scripted\",error_type=\"invalid_subject\"} 2"));
}

#[tokio::test]
async fn open_subscriptions_are_counted_until_they_are_dropped() {
    let bus = EventBus::new(MemoryProvider::default());
    let active = || bus.metrics().snapshot().active_subscriptions;
    let one = bus.subscribe("events.a.>").await.unwrap();
    let other = bus.subscribe("events.b.>").await.unwrap();
    assert_eq!(active(), 2);
    drop(one);
    assert_eq!(active(), 1);
    drop(other.into_stream());
    assert_eq!(active(), 0);
}

#[tokio::test]
async fn latency_is_sampled_inside_the_process_and_complete_elsewhere() {
    async fn recorded(bus: &EventBus) -> (u32, u64) {
        for _ in 0..64 {
            publish(bus, "events.a.b").await;
        }
        let latency = bus.metrics().snapshot().publish_latency;
        (latency.sampling, latency.count)
    }
    assert_eq!(
        recorded(&EventBus::new(MemoryProvider::default())).await,
        (16, 4)
    );
    assert_eq!(recorded(&EventBus::new(Scripted::default())).await, (1, 64));
    let every = EventBus::builder(MemoryProvider::default())
        .latency_sampling(1)
        .build();
    assert_eq!(recorded(&every).await, (1, 64));
    let never = EventBus::builder(Scripted::claiming(Capabilities::all()))
        .latency_sampling(0)
        .build();
    assert_eq!(recorded(&never).await, (0, 0));
}

#[tokio::test]
async fn a_snapshot_is_camel_case_json() {
    let bus = EventBus::new(MemoryProvider::default());
    publish(&bus, "events.a.b").await;
    let json = serde_json::to_value(bus.metrics().snapshot()).unwrap();
    assert_eq!(json["published"], 1);
    assert_eq!(json["activeSubscriptions"], 0);
    assert_eq!(json["publishLatency"]["buckets"][0]["upperMicros"], 1);
    assert_eq!(json["dlqDepth"], json!(null));
}

#[tokio::test]
async fn the_number_of_series_does_not_depend_on_subjects_or_ids() {
    let bus = EventBus::new(MemoryProvider::default());
    let series = || bus.metrics().render_prometheus().lines().count();
    let before = series();
    let mut subscription = bus.subscribe("events.>").await.unwrap();
    for index in 0..10_000 {
        publish(&bus, &format!("events.c{index}.topic{index}")).await;
        next(&mut subscription).await;
    }
    bus.publish("*", "a", "", "", json!(1)).await.unwrap_err();
    assert_eq!(series(), before);
}

#[tokio::test]
async fn of_a_batch_that_failed_half_way_the_stored_half_is_published() {
    let scripted = Scripted::default();
    scripted.fail_publishes_after(2);
    let bus = EventBus::new(scripted);
    let batch: Vec<_> = (0..5)
        .map(|index| event("events.a.b", json!(index)))
        .collect();
    bus.publish_batch(&batch).await.unwrap_err();
    let figures = bus.metrics().snapshot();
    assert_eq!(figures.published, 2);
    assert_eq!(figures.publish_errors, [("provider", 1)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_when_many_tasks_count_at_once() {
    const TASKS: u64 = 8;
    const EVENTS: u64 = 500;
    let provider = MemoryProvider::default();
    let bus = Arc::new(EventBus::builder(provider).latency_sampling(1).build());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let bus = Arc::clone(&bus);
        tasks.spawn(async move {
            let subject = format!("events.task{task}.x");
            let mut subscription = bus.subscribe(&subject).await.unwrap();
            for index in 0..EVENTS {
                publish(&bus, &subject).await;
                bus.publish("*", "a", "", "", json!(1)).await.unwrap_err();
                let pending = next_pending(&mut subscription).await;
                if index % 2 == 0 {
                    pending.ack().await.unwrap();
                } else {
                    pending.term("odd").await.unwrap();
                }
                let figures = bus.metrics().snapshot();
                assert!(figures.active_subscriptions >= 1);
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let figures = bus.metrics().snapshot();
    let all = TASKS * EVENTS;
    assert_eq!((figures.published, figures.received), (all, all));
    assert_eq!((figures.acked, figures.terminated), (all / 2, all / 2));
    assert_eq!(figures.publish_errors, [("invalid_subject", all)].into());
    assert_eq!(figures.publish_latency.count, all);
    assert_eq!(figures.active_subscriptions, 0);
}

#[tokio::test]
async fn what_retention_took_from_a_reader_is_counted() {
    let provider = MemoryProvider::new(MemoryConfig {
        max_events: 4,
        ..Default::default()
    });
    let bus = EventBus::new(provider);
    let mut slow = bus.subscribe("events.a.>").await.unwrap();
    publish(&bus, "events.a.b").await;
    next(&mut slow).await;
    for _ in 0..10 {
        publish(&bus, "events.a.b").await;
    }
    assert_eq!(bus.metrics().snapshot().missed, 0);
    next(&mut slow).await;
    assert_eq!(slow.missed(), 6);
    assert_eq!(bus.metrics().snapshot().missed, 6);
    next(&mut slow).await;
    assert_eq!(bus.metrics().snapshot().missed, 6);
}

#[tokio::test]
async fn the_page_is_what_prometheus_reads() {
    let bus = EventBus::new(MemoryProvider::default());
    publish(&bus, "events.a.b").await;
    let mut family = String::new();
    for line in bus.metrics().render_prometheus().lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            continue;
        }
        if line.starts_with("# TYPE ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(series.starts_with(&family), "{line} under {family}");
        assert!(
            series.ends_with('}') && series.contains("{messaging_system=\"a3s_memory\""),
            "{line}"
        );
        value.parse::<f64>().unwrap();
    }
}

/// One thing that happens to a bus.
#[derive(Debug, Clone, Copy)]
enum Step {
    Publish,
    Refused,
    Failed,
    Batch,
    Ack,
    Nak,
    Drop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Publish),
        Just(Step::Refused),
        Just(Step::Failed),
        Just(Step::Batch),
        Just(Step::Ack),
        Just(Step::Nak),
        Just(Step::Drop),
    ];
    prop::collection::vec(step, 0..40)
}

/// All counters, in some order.
fn counters(figures: &MetricsSnapshot) -> Vec<u64> {
    let mut counters = vec![
        figures.published,
        figures.received,
        figures.redelivered,
        figures.acked,
        figures.nacked,
        figures.unanswered,
        figures.publish_latency.count,
    ];
    counters.push(figures.publish_errors.values().sum());
    counters
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sums_match_and_counters_never_fall(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let provider = Arc::new(MemoryProvider::default());
            let bus = EventBus::builder(provider).latency_sampling(1).build();
            let mut subscription = bus.subscribe("events.>").await.unwrap();
            let (mut stored, mut errors, mut single) = (0, 0, 0);
            let mut waiting = 0;
            let mut before = counters(&bus.metrics().snapshot());
            for step in steps {
                let good = event("events.a.b", json!(1));
                match step {
                    Step::Publish => {
                        bus.publish_event(&good).await.unwrap();
                        (stored, single, waiting) = (stored + 1, single + 1, waiting + 1);
                    }
                    Step::Refused => {
                        bus.publish("a.b", "c", "", "", json!(1)).await.unwrap_err();
                        errors += 1;
                    }
                    Step::Failed => {
                        bus.publish_event(&event("other.a", json!(1))).await.unwrap_err();
                        (errors, single) = (errors + 1, single + 1);
                    }
                    Step::Batch => {
                        bus.publish_batch(&[good.clone(), good]).await.unwrap();
                        (stored, waiting) = (stored + 2, waiting + 2);
                    }
                    Step::Ack | Step::Nak | Step::Drop if waiting == 0 => {}
                    Step::Ack => {
                        next_pending(&mut subscription).await.ack().await.unwrap();
                        waiting -= 1;
                    }
                    Step::Nak => next_pending(&mut subscription).await.nak().await.unwrap(),
                    Step::Drop => {
                        drop(next_pending(&mut subscription).await);
                        waiting -= 1;
                    }
                }
                let figures = bus.metrics().snapshot();
                let after = counters(&figures);
                assert!(before.iter().zip(&after).all(|(before, after)| before <= after));
                assert_eq!(figures.published, stored);
                assert_eq!(figures.publish_errors.values().sum::<u64>(), errors);
                assert_eq!(figures.publish_latency.count, single);
                assert_eq!(figures.received, figures.acked + figures.nacked + figures.unanswered);
                before = after;
            }
        });
    }
}
