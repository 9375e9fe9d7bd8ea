//! Names of durables, and what a name stands for.

use a3s_event_core::{
    EventError, Result,
    provider::Subscription,
    types::{DeliverPolicy, SubscribeOptions},
};

use crate::Case;

/// "Names chosen by users map to backend names injectively": names that differ
/// a little are different consumers, each with a position of its own.
pub async fn names_that_differ_a_little_are_different_consumers(case: Case) {
    let long = "x".repeat(300);
    let longer = "x".repeat(301);
    let names = [
        "acme.eu", "acme-eu", "acme_eu", "acme eu", "acme/eu", "acme\\eu", "acmeeu", "ACME.EU",
        "a*", "A*", "a>", "a", " a", "a ", "ä", "a\u{308}", "%61", "_61", "日本", "😀", ".", "..",
        "$", &long, &longer,
    ];
    let mut readers = Vec::new();
    case.publish_many("event", 2).await;
    for name in names {
        let Some(mut reader) = case.durable(name, &SubscribeOptions::default()).await else {
            return;
        };
        assert_eq!(reader.acknowledge().await, 1, "{name:?} is another's name");
        readers.push((name, reader));
    }
    case.settles_at_consumers(names.len()).await;
    for (name, mut reader) in readers {
        reader.close().await;
        let Some(mut reader) = case.durable(name, &SubscribeOptions::default()).await else {
            unreachable!("it was claimed before");
        };
        assert_eq!(reader.acknowledge().await, 2, "{name:?} has no position");
        reader.close().await;
        case.provider.unsubscribe(name).await.unwrap();
    }
    case.settles_at_consumers(0).await;
}

/// Names that cannot travel are refused: empty ones, control characters, and
/// more than 1024 bytes.
pub async fn names_that_cannot_travel_are_refused(case: Case) {
    let long = "x".repeat(1025);
    for name in ["", "a\r\nb", "\0", "a\u{7f}", &long] {
        let opened = case
            .provider
            .subscribe_durable(name, &case.everything())
            .await;
        assert_invalid_name(&case, name, opened);
    }
    assert_eq!(case.consumers().await, 0);
}

#[track_caller]
fn assert_invalid_name(case: &Case, name: &str, opened: Result<Box<dyn Subscription>>) {
    match opened {
        Err(EventError::InvalidOption { option, .. }) => assert_eq!(option, "consumer_name"),
        Err(EventError::Unsupported { .. }) if !case.claims().durability => {}
        Err(error) => panic!("{name:?}: {error:?}"),
        Ok(_) => panic!("{name:?} was taken"),
    }
}

/// "Opening a name with a different filter is an error that says what differs",
/// and changes nothing.
pub async fn another_filter_is_a_mismatch_that_says_so(case: Case) {
    let pattern = case.subject("a.*");
    let Some(mut reader) = case
        .durable_on("reader", &pattern, &SubscribeOptions::default())
        .await
    else {
        return;
    };
    for other in [case.subject("a.>"), case.subject("a.b"), case.everything()] {
        let opened = case.provider.subscribe_durable("reader", &other).await;
        let Err(EventError::ConsumerMismatch {
            consumer,
            differences,
            ..
        }) = opened.map(drop)
        else {
            panic!("`{other}` was taken for `{pattern}`");
        };
        assert_eq!(consumer, "reader");
        let text = differences.join("\n");
        assert!(text.contains(&other) && text.contains(&pattern), "{text}");
    }
    case.publish("a").await;
    let sequence = case.publish("a.b").await;
    assert_eq!(reader.received().await.sequence, sequence);
}

/// The same for each option that belongs to the durable; all that differ are
/// named.
pub async fn other_options_are_a_mismatch_that_names_them(case: Case) {
    let claims = case.claims();
    let stored = SubscribeOptions::default();
    let changes = [
        (
            "max_deliver",
            claims.max_deliver,
            stored.clone().with_max_deliver(7),
        ),
        (
            "ack_wait",
            claims.ack_wait,
            stored.clone().with_ack_wait_secs(7),
        ),
        (
            "max_ack_pending",
            claims.max_ack_pending,
            stored.clone().with_max_ack_pending(7),
        ),
        (
            "backoff",
            claims.backoff,
            stored.clone().with_backoff_secs([7, 8]),
        ),
    ];
    if case.durable("reader", &stored).await.is_none() {
        return;
    }
    for (name, claimed, options) in changes {
        let outcome = open(&case, &options).await;
        match outcome {
            Err(EventError::ConsumerMismatch { differences, .. }) if claimed => {
                let text = differences.join("\n");
                assert!(text.contains(name) && text.contains('7'), "{text}");
            }
            Err(EventError::Unsupported { .. }) if !claimed => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    if claims.max_deliver && claims.max_ack_pending {
        let options = stored.with_max_deliver(7).with_max_ack_pending(8);
        let Err(EventError::ConsumerMismatch { differences, .. }) = open(&case, &options).await
        else {
            panic!("two options differ");
        };
        let text = differences.join("\n");
        assert!(
            text.contains("max_deliver") && text.contains("max_ack_pending"),
            "{text}"
        );
    }
    case.settles_at_consumers(1).await;
}

/// A durable that was created with options is not opened without them.
pub async fn options_left_out_are_a_mismatch(case: Case) {
    let options = SubscribeOptions::default()
        .with_max_deliver(5)
        .with_ack_wait_secs(7);
    if case.durable("reader", &options).await.is_none() {
        return;
    }
    let opened = case
        .provider
        .subscribe_durable("reader", &case.everything())
        .await;
    assert!(
        matches!(
            opened.as_ref().map(drop),
            Err(EventError::ConsumerMismatch { .. })
        ),
        "{:?}",
        opened.map(drop)
    );
    assert!(open(&case, &options).await.is_ok());
}

/// One backoff step waits as an ack wait does and is another configuration all
/// the same; what it replaces is not compared.
pub async fn a_backoff_step_is_not_an_ack_wait(case: Case) {
    let step = SubscribeOptions::default().with_backoff_secs([7]);
    if case.durable("reader", &step).await.is_none() {
        return;
    }
    if case.claims().ack_wait {
        let wait = SubscribeOptions::default().with_ack_wait_secs(7);
        let opened = open(&case, &wait).await;
        assert!(
            matches!(opened, Err(EventError::ConsumerMismatch { .. })),
            "{opened:?}"
        );
        let both = step.with_ack_wait_secs(9);
        let opened = open(&case, &both).await;
        assert!(opened.is_ok(), "{opened:?}");
    }
}

/// "The start position counts only at creation and is not compared; `prefetch`
/// belongs to the handle and is not compared either."
pub async fn start_and_prefetch_are_not_compared(case: Case) {
    let options = SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New);
    if case.durable("reader", &options).await.is_none() {
        return;
    }
    let mut same = vec![
        SubscribeOptions::default(),
        options.with_deliver_policy(DeliverPolicy::ByStartSequence { sequence: 3 }),
    ];
    if case.claims().prefetch {
        same.push(SubscribeOptions::default().with_prefetch(0));
        same.push(SubscribeOptions::default().with_prefetch(17));
    }
    for options in same {
        let opened = open(&case, &options).await;
        assert!(opened.is_ok(), "{options:?}: {opened:?}");
    }
}

/// A default that is written out is the same configuration.
pub async fn defaults_written_out_are_the_same_configuration(case: Case) {
    if case
        .durable("reader", &SubscribeOptions::default())
        .await
        .is_none()
    {
        return;
    }
    let plain = SubscribeOptions::default();
    for written in [
        plain.clone().with_max_deliver(0),
        plain.clone().with_max_deliver(-1),
        plain.clone().with_ack_wait_secs(30),
        plain.clone().with_max_ack_pending(1000),
    ] {
        if case.claims_all_of(&written) {
            let opened = open(&case, &written).await;
            assert!(opened.is_ok(), "{written:?}: {opened:?}");
        } else {
            assert!(matches!(
                open(&case, &written).await,
                Err(EventError::Unsupported { .. })
            ));
        }
    }
}

/// Of many who create one name with different filters at the same time, those
/// with one filter win and the others are told.
pub async fn racing_creators_agree_on_one_configuration(case: Case) {
    let racers: Vec<_> = (0..8)
        .map(|racer| {
            let provider = case.shared();
            let pattern = case.subject(&format!("racer.{racer}"));
            tokio::spawn(async move {
                let opened = provider.subscribe_durable("reader", &pattern).await;
                (pattern, opened)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        let (pattern, opened) = racer.await.unwrap();
        match opened {
            Ok(subscription) => winners.push((pattern, case.reader(subscription))),
            Err(EventError::ConsumerMismatch { .. }) => {}
            Err(EventError::Unsupported { .. }) if !case.claims().durability => return,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    for racer in 0..8 {
        case.publish(&format!("racer.{racer}")).await;
    }
    let (pattern, mut reader) = winners.remove(0);
    assert_eq!(reader.received().await.event.subject, pattern);
    reader.nothing().await;
}

/// Of many who open one name in the same way at the same time all succeed.
pub async fn racing_openers_of_one_configuration_all_succeed(case: Case) {
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let (provider, pattern) = (case.shared(), case.everything());
            tokio::spawn(async move { provider.subscribe_durable("reader", &pattern).await })
        })
        .collect();
    let mut handles = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            Ok(subscription) => handles.push(case.reader(subscription)),
            Err(EventError::Unsupported { .. }) if !case.claims().durability => return,
            Err(error) => panic!("{error:?}"),
        }
    }
    case.settles_at_consumers(1).await;
    let sequence = case.publish("event").await;
    let mut last = handles.remove(0);
    for mut handle in handles {
        handle.close().await;
    }
    assert_eq!(last.received().await.sequence, sequence);
}

/// Opens the durable of these cases and drops it.
async fn open(case: &Case, options: &SubscribeOptions) -> Result<()> {
    let pattern = case.everything();
    let opened = case
        .provider
        .subscribe_durable_with_options("reader", &pattern, options)
        .await;
    opened.map(drop)
}
