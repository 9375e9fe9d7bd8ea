use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError,
    provider::Capabilities,
    types::{DeliverPolicy, PublishOptions, SubscribeOptions, SubscriptionFilter},
};
use serde_json::json;

use crate::{
    support::{Scripted, durable, event, filter},
    trace::captured,
};

fn plain() -> Capabilities {
    Capabilities::default()
}

#[track_caller]
fn assert_refuses<T>(outcome: a3s_event_core::Result<T>, option: &str) {
    let Err(EventError::Unsupported {
        provider, feature, ..
    }) = outcome
    else {
        panic!("{option} was not refused");
    };
    assert_eq!((provider.as_ref(), feature.as_ref()), ("scripted", option));
}

#[tokio::test]
async fn publish_options_that_change_the_meaning_are_refused() {
    let scripted = Scripted::claiming(plain());
    let bus = EventBus::new(scripted.clone());
    let event = event("events.a.b", json!(1));
    for (options, option) in [
        (PublishOptions::default().with_msg_id("id"), "msg_id"),
        (
            PublishOptions::default().with_expected_sequence(0),
            "expected_sequence",
        ),
    ] {
        assert_refuses(
            bus.publish_event_with_options(&event, &options).await,
            option,
        );
    }
    let bus = EventBus::builder(scripted.clone())
        .deduplicate(true)
        .build();
    assert_refuses(bus.publish_event(&event).await, "msg_id");
    assert_refuses(bus.publish_batch(&[event]).await, "msg_id");
    assert!(scripted.published().is_empty());
}

#[tokio::test]
async fn subscribe_options_that_change_the_meaning_are_refused_at_registration() {
    let scripted = Scripted::claiming(plain().with_durability(false));
    let bus = EventBus::new(scripted.clone());
    assert_refuses(
        bus.update_subscription(durable("a", &["events.a.>"])).await,
        "durable",
    );
    let from_now = SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New);
    let filter = SubscriptionFilter {
        options: Some(from_now),
        ..filter("a", &["events.a.>"])
    };
    assert_refuses(bus.update_subscription(filter).await, "deliver_policy");
    let from_now = SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New);
    assert_refuses(
        bus.subscribe_with_options("events.a.>", &from_now).await,
        "deliver_policy",
    );
    assert!(bus.list_subscriptions().await.is_empty());
    assert!(scripted.opened().is_empty());
}

#[tokio::test]
async fn options_that_only_tune_are_left_out_with_one_warning() {
    let scripted = Scripted::claiming(plain());
    let bus = EventBus::new(scripted.clone());
    let log = captured(async {
        let options = PublishOptions::default().with_timeout_secs(3);
        for _ in 0..2 {
            let event = event("events.a.b", json!(1));
            bus.publish_event_with_options(&event, &options)
                .await
                .unwrap();
        }
        let options = SubscribeOptions {
            max_ack_pending: Some(1),
            backoff_secs: vec![1],
            ack_wait_secs: Some(1),
            prefetch: Some(1),
            ..Default::default()
        };
        let filter = SubscriptionFilter {
            options: Some(options.clone()),
            ..durable("a", &["events.a.>"])
        };
        bus.update_subscription(filter).await.unwrap();
        // The filter keeps what was asked for: another provider may honor it.
        assert_eq!(
            bus.get_subscription("a").await.unwrap().options,
            Some(options)
        );
        bus.create_subscriber("a").await.unwrap();
    })
    .await;
    assert!(
        scripted
            .published()
            .iter()
            .all(|(_, options)| options.timeout_secs.is_none())
    );
    assert_eq!(scripted.opened()[0].2, SubscribeOptions::default());
    for option in [
        "timeout_secs",
        "max_ack_pending",
        "backoff_secs",
        "ack_wait_secs",
        "prefetch",
    ] {
        let mentions = log
            .lines()
            .filter(|line| line.contains(&format!("\"{option}\"")))
            .count();
        assert_eq!(mentions, 1, "{option} in {log}");
    }
}

#[tokio::test]
async fn best_effort_leaves_out_everything_that_is_not_supported() {
    let scripted = Scripted::claiming(plain().with_durability(false));
    let bus = EventBus::builder(scripted.clone())
        .best_effort(true)
        .deduplicate(true)
        .build();
    let options = PublishOptions::default()
        .with_msg_id("id")
        .with_expected_sequence(0)
        .with_timeout_secs(1);
    bus.publish_event_with_options(&event("events.a.b", json!(1)), &options)
        .await
        .unwrap();
    assert_eq!(scripted.published()[0].1, PublishOptions::default());

    let filter = SubscriptionFilter {
        options: Some(SubscribeOptions::default().with_deliver_policy(DeliverPolicy::Last)),
        ..durable("a", &["events.a.>"])
    };
    bus.update_subscription(filter).await.unwrap();
    bus.create_subscriber("a").await.unwrap();
    bus.subscribe_as("a").await.unwrap();
    for (_, consumer, options) in scripted.opened() {
        assert_eq!((consumer, options), (None, SubscribeOptions::default()));
    }
}

#[tokio::test]
async fn best_effort_keeps_what_is_supported() {
    let scripted = Scripted::claiming(Capabilities::all());
    let bus = EventBus::builder(scripted.clone())
        .best_effort(true)
        .build();
    let options = PublishOptions::default()
        .with_msg_id("id")
        .with_timeout_secs(1);
    bus.publish_event_with_options(&event("events.a.b", json!(1)), &options)
        .await
        .unwrap();
    assert_eq!(scripted.published()[0].1, options);
}

#[tokio::test]
async fn the_cap_on_deliveries_stays_in_the_bus() {
    for (claimed, prefetch) in [(Capabilities::all(), Some(0)), (plain(), None)] {
        let scripted = Scripted::claiming(claimed);
        let bus = EventBus::new(scripted.clone());
        let options = SubscribeOptions::default().with_max_deliver(3);
        let filter = SubscriptionFilter {
            options: Some(options),
            ..durable("a", &["events.a.>"])
        };
        bus.update_subscription(filter).await.unwrap();
        bus.create_subscriber("a").await.unwrap();
        let (pattern, consumer, options) = scripted.opened().remove(0);
        assert_eq!(pattern, "events.a.>");
        assert_eq!(consumer.unwrap(), "a events.a.>");
        assert_eq!((options.max_deliver, options.prefetch), (None, prefetch));
    }
}

#[tokio::test]
async fn options_without_meaning_are_refused() {
    let bus = EventBus::new(Scripted::claiming(Capabilities::all()));
    for options in [
        SubscribeOptions::default().with_max_deliver(-2),
        SubscribeOptions::default().with_max_deliver(i64::MIN),
        SubscribeOptions::default().with_max_ack_pending(0),
        SubscribeOptions::default().with_ack_wait_secs(0),
        SubscribeOptions::default().with_backoff_secs([1, 0]),
    ] {
        let filter = SubscriptionFilter {
            options: Some(options),
            ..filter("a", &["events.a.>"])
        };
        let refused = bus.update_subscription(filter).await;
        assert!(matches!(refused, Err(EventError::InvalidOption { .. })));
    }
    let event = event("events.a.b", json!(1));
    for options in [
        PublishOptions::default().with_msg_id(""),
        PublishOptions::default().with_msg_id("a\nb"),
        PublishOptions::default().with_timeout_secs(0),
    ] {
        let refused = bus.publish_event_with_options(&event, &options).await;
        assert!(matches!(refused, Err(EventError::InvalidOption { .. })));
    }
}
