//! "Options: honored or refused."

use a3s_event_core::{
    EventError, Result,
    provider::Subscription,
    types::{DeliverPolicy, PublishOptions, SubscribeOptions},
};

use crate::{
    Case,
    case::{claims_publish, claims_subscribe},
    within,
};

/// Values that can have no meaning, with the name of their option.
fn meaningless() -> Vec<(&'static str, SubscribeOptions)> {
    let plain = SubscribeOptions::default;
    vec![
        ("max_deliver", plain().with_max_deliver(-5)),
        ("max_deliver", plain().with_max_deliver(i64::MIN)),
        ("max_ack_pending", plain().with_max_ack_pending(0)),
        ("max_ack_pending", plain().with_max_ack_pending(-7)),
        ("max_ack_pending", plain().with_max_ack_pending(i64::MIN)),
        ("ack_wait_secs", plain().with_ack_wait_secs(0)),
        ("backoff_secs", plain().with_backoff_secs([0])),
        ("backoff_secs", plain().with_backoff_secs([1, 0, 3])),
    ]
}

/// A value without meaning is refused by every provider, as an invalid option
/// or, where the option is not claimed, as unsupported.
#[track_caller]
fn assert_refused<T>(name: &str, claimed: bool, outcome: Result<T>) {
    match outcome.map(drop) {
        Err(EventError::InvalidOption { option, .. }) => assert_eq!(option, name),
        Err(EventError::Unsupported { .. }) if !claimed => {}
        other => panic!("{name}: {other:?}"),
    }
}

/// Options without meaning are refused by a subscription at once, and nothing
/// is created.
pub async fn meaningless_options_open_no_subscription(case: Case) {
    for (name, options) in meaningless() {
        let claimed = claims_subscribe(case.claims(), name);
        let pattern = case.everything();
        let opened = case
            .provider
            .subscribe_with_options(&pattern, &options)
            .await;
        assert_refused(name, claimed, opened);
    }
    assert_eq!(case.consumers().await, 0);
}

/// Options without meaning are refused by a durable at once, and nothing is
/// created.
pub async fn meaningless_options_open_no_durable(case: Case) {
    for (name, options) in meaningless() {
        let claimed = case.claims().durability && claims_subscribe(case.claims(), name);
        let pattern = case.everything();
        let opened = case
            .provider
            .subscribe_durable_with_options("reader", &pattern, &options)
            .await;
        assert_refused(name, claimed, opened);
    }
    assert_eq!(case.consumers().await, 0);
}

/// Publish options without meaning are refused at once, and nothing is stored.
pub async fn meaningless_options_publish_nothing(case: Case) {
    let plain = PublishOptions::default;
    for (name, options) in [
        ("timeout_secs", plain().with_timeout_secs(0)),
        ("msg_id", plain().with_msg_id("")),
        ("msg_id", plain().with_msg_id("a\r\nb")),
    ] {
        let claimed = claims_publish(case.claims(), name);
        let event = case.event("event");
        let outcome = case.provider.publish_with_options(&event, &options).await;
        assert_refused(name, claimed, outcome);
    }
    case.assert_nothing_stored().await;
}

/// Declared is observed, for each subscribe option: what is claimed opens a
/// subscription that delivers, what is not claimed is `Unsupported`.
pub async fn every_subscribe_option_is_honored_or_refused(case: Case) {
    let last = case.publish("event").await;
    let plain = SubscribeOptions::default;
    for options in [
        plain().with_max_deliver(3),
        plain().with_ack_wait_secs(5),
        plain().with_backoff_secs([1, 2, 3]),
        plain().with_max_ack_pending(5),
        plain().with_prefetch(1),
        plain().with_deliver_policy(DeliverPolicy::Last),
        plain().with_deliver_policy(DeliverPolicy::LastPerSubject),
        plain().with_deliver_policy(DeliverPolicy::ByStartSequence { sequence: last }),
        plain().with_deliver_policy(DeliverPolicy::ByStartTime { timestamp: 1 }),
    ] {
        if let Some(mut reader) = case.ephemeral(&options).await {
            assert_eq!(reader.acknowledge().await, last, "{options:?}");
            reader.close().await;
        }
        if let Some(mut reader) = case.durable("reader", &options).await {
            assert_eq!(reader.acknowledge().await, last, "{options:?}");
            reader.close().await;
            case.provider.unsubscribe("reader").await.unwrap();
        }
    }
}

/// Declared is observed, for each publish option.
pub async fn every_publish_option_is_honored_or_refused(case: Case) {
    let plain = PublishOptions::default;
    for options in [plain().with_msg_id("order-1"), plain().with_timeout_secs(5)] {
        if let Some(outcome) = case.publish_with("event", &options).await {
            outcome.unwrap();
        }
    }
    let last = case.publish("event").await;
    let options = plain().with_expected_sequence(last);
    if let Some(outcome) = case.publish_with("event", &options).await {
        assert_eq!(outcome.unwrap(), last + 1);
    }
}

/// Options that ask for nothing are supported by everybody.
pub async fn default_options_subscribe_as_subscribe_does(case: Case) {
    case.publish_many("event", 2).await;
    let pattern = case.everything();
    let options = SubscribeOptions::default();
    let opened = case
        .provider
        .subscribe_with_options(&pattern, &options)
        .await;
    let mut reader = case.reader(opened.unwrap());
    assert_eq!(reader.sequences(2).await, [1, 2]);
    if case.claims().durability {
        let opened = case
            .provider
            .subscribe_durable_with_options("reader", &pattern, &options)
            .await;
        let mut reader = case.reader(opened.unwrap());
        assert_eq!(reader.acknowledge().await, 1);
        reader.close().await;
        let again = case.provider.subscribe_durable("reader", &pattern).await;
        assert_eq!(case.reader(again.unwrap()).acknowledge().await, 2);
    }
}

/// Values at the end of their range are taken or refused with a type, at once.
/// What is taken works.
pub async fn huge_values_work_or_are_refused(case: Case) {
    let last = case.publish("event").await;
    let plain = SubscribeOptions::default;
    for options in [
        plain().with_max_deliver(i64::MAX),
        plain().with_max_ack_pending(i64::MAX),
        plain().with_ack_wait_secs(u64::MAX),
        plain().with_backoff_secs([1, u64::MAX]),
        plain().with_backoff_secs(vec![1; 500]),
        plain().with_prefetch(usize::MAX),
    ] {
        let pattern = case.everything();
        let opening = case.provider.subscribe_with_options(&pattern, &options);
        let opened = within(case.patience(), opening).await;
        assert_works_or_is_refused(&case, opened, last).await;
    }
    for policy in [
        DeliverPolicy::ByStartSequence { sequence: u64::MAX },
        DeliverPolicy::ByStartTime {
            timestamp: u64::MAX,
        },
    ] {
        let options = plain().with_deliver_policy(policy);
        let pattern = case.everything();
        let opening = case.provider.subscribe_with_options(&pattern, &options);
        match within(case.patience(), opening).await {
            Ok(subscription) => case.reader(subscription).nothing().await,
            Err(error) => assert_typed(&error),
        }
    }
    case.settles_at_consumers(0).await;
}

async fn assert_works_or_is_refused(
    case: &Case,
    opened: Result<Box<dyn Subscription>>,
    expected: u64,
) {
    match opened {
        Ok(subscription) => {
            let mut reader = case.reader(subscription);
            assert_eq!(reader.acknowledge().await, expected);
            reader.close().await;
        }
        Err(error) => assert_typed(&error),
    }
}

#[track_caller]
fn assert_typed(error: &EventError) {
    assert!(
        matches!(
            error,
            EventError::InvalidOption { .. } | EventError::Unsupported { .. }
        ),
        "{error:?}"
    );
}

/// A publish timeout at the end of its range is taken or refused with a type.
pub async fn a_huge_timeout_works_or_is_refused(case: Case) {
    let options = PublishOptions::default().with_timeout_secs(u64::MAX);
    let event = case.event("event");
    let publish = case.provider.publish_with_options(&event, &options);
    match within(case.patience(), publish).await {
        Ok(sequence) => assert_eq!(sequence, 1),
        Err(error) => assert_typed(&error),
    }
}
