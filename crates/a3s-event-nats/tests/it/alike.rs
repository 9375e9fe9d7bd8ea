//! Where this provider once behaved unlike the one in memory, as the comparison
//! of the two in the tests of the workspace found.

use std::time::Duration;

use a3s_event_core::{
    EventError,
    provider::EventProvider,
    types::{DeliverPolicy, PublishOptions, SubscribeOptions},
};
use a3s_event_testkit::{sample_event, within};

use crate::common::{PATIENCE, everything, next, provider, publish_many, shared_server};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_largest_expected_sequence_is_a_conflict() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let options = PublishOptions::default()
        .with_msg_id("once")
        .with_expected_sequence(u64::MAX);
    let event = sample_event(&provider, "a");
    let outcome = provider.publish_with_options(&event, &options).await;
    assert!(
        matches!(
            outcome,
            Err(EventError::Conflict {
                expected: u64::MAX,
                actual: 0,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_handle_on_a_removed_durable_takes_nothing_from_its_successor() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 2).await;
    let pattern = everything(&provider);
    for prefetch in [0, 10] {
        let options = SubscribeOptions::default().with_prefetch(prefetch);
        let opened = provider.subscribe_durable_with_options("worker", &pattern, &options);
        let mut old = opened.await.unwrap();
        let held = next(&mut *old).await;
        provider.unsubscribe("worker").await.unwrap();
        let opened = provider.subscribe_durable_with_options("worker", &pattern, &options);
        let mut new = opened.await.unwrap();
        let ended = within(PATIENCE, old.next_manual_ack()).await;
        assert!(
            matches!(&ended, Err(EventError::NotFound { what, name, .. }) if what == "consumer" && name == "worker"),
            "{ended:?}"
        );
        // Said once: whoever goes on in spite of it must not spin.
        for _ in 0..2 {
            let ended = within(PATIENCE, old.next_manual_ack()).await;
            assert!(matches!(ended, Ok(None)), "{ended:?}");
        }
        held.ack_confirmed().await.unwrap();
        old.close().await.unwrap();
        for sequence in 1..=2 {
            let pending = next(&mut *new).await;
            let received = &pending.received;
            assert_eq!((received.sequence, received.num_delivered), (sequence, 1));
        }
        provider.unsubscribe("worker").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn an_answer_to_an_ephemeral_subscription_that_ended_waits_for_nothing() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 1).await;
    for closed in [false, true] {
        for _ in 0..20 {
            let mut reader = provider.subscribe(&everything(&provider)).await.unwrap();
            let pending = next(&mut *reader).await;
            if closed {
                reader.close().await.unwrap();
            }
            drop(reader);
            let since = std::time::Instant::now();
            pending.ack_confirmed().await.unwrap();
            assert!(since.elapsed().as_secs() < 2, "{:?}", since.elapsed());
        }
    }
}

/// Servers before 2.11 start at the end of the stream instead, and leave it to the
/// reader to wait, which a later handle has to know too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_start_sequence_beyond_everything_holds_for_a_later_handle_too() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let pattern = everything(&provider);
    let policy = DeliverPolicy::ByStartSequence { sequence: 1 << 63 };
    let options = SubscribeOptions::default().with_deliver_policy(policy);
    let opened = provider.subscribe_durable_with_options("worker", &pattern, &options);
    opened.await.unwrap().close().await.unwrap();
    publish_many(&provider, "a", 3).await;
    let mut later = provider
        .subscribe_durable("worker", &pattern)
        .await
        .unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), later.next_manual_ack());
    assert!(nothing.await.is_err());
}
