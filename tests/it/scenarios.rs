//! What the bus promises, on every provider alike: each scenario runs on memory
//! and on a real server.

pub(crate) mod backend;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use a3s_event::{
    Event, EventBus, EventError, Result, SubscriptionFilter,
    crypto::{Aes256GcmEncryptor, EncryptedPayload, EncryptionPolicy},
    dlq::{DeadLetterKind, DlqHandler, MemoryDlqHandler},
    provider::{PendingEvent, Subscription},
    schema::{EventSchema, MemorySchemaRegistry, SchemaRegistry},
    state::FileStateStore,
    types::{PublishOptions, SubscribeOptions},
};
use a3s_event_testkit::{eventually, stubs::FailingDlqHandler, within};
use serde_json::json;
use tokio::task::JoinSet;

use backend::Backend;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

macro_rules! on_every_provider {
    ($($scenario:ident,)+) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $scenario() -> a3s_event::Result<()> {
                    super::$scenario(super::Backend::memory()).await
                }
            )+
        }

        #[cfg(feature = "full")]
        mod nats {
            $(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs nats-server"]
                async fn $scenario() -> a3s_event::Result<()> {
                    super::$scenario(super::Backend::nats()).await
                }
            )+
        }
    };
}

on_every_provider! {
    what_is_published_is_in_history_and_counts,
    a_repeat_is_stored_once,
    a_wrong_expected_sequence_is_a_conflict,
    a_refused_event_comes_again_with_a_higher_count,
    subscriptions_and_positions_survive_a_restart,
    an_event_that_several_subjects_match_comes_once,
    a_removed_subject_hands_over_what_is_unanswered,
    what_leaves_the_normal_path_is_dead_lettered,
    a_failing_handler_leaves_the_event_in_place,
    an_exhausted_event_without_a_handler_is_one_error,
    the_stream_holds_ciphertext_and_readers_get_plaintext,
    a_schema_refuses_before_anything_is_stored,
    many_publishers_and_readers_agree,
    a_closed_bus_ends_its_readers,
}

/// Publishes an event of the category `market`.
async fn publish(bus: &EventBus, topic: &str, summary: &str) -> Result<Event> {
    let payload = json!({"rate": 7.3521, "summary": summary});
    bus.publish("market", topic, summary, "tests", payload)
        .await
}

/// Registers `reader` as a durable subscriber to topics of `market`.
async fn register(bus: &EventBus, topics: &[&str], options: SubscribeOptions) -> Result<()> {
    let prefix = bus.provider().subject_prefix();
    let subject = |topic: &&str| format!("{prefix}.market.{topic}");
    bus.update_subscription(SubscriptionFilter {
        subscriber_id: "reader".to_string(),
        subjects: topics.iter().map(subject).collect(),
        durable: true,
        options: Some(options),
    })
    .await
}

async fn next(subscription: &mut dyn Subscription) -> Result<PendingEvent> {
    let next = within(PATIENCE, subscription.next_manual_ack()).await?;
    Ok(next.expect("the subscription is open"))
}

async fn what_is_published_is_in_history_and_counts(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    let first = publish(&bus, "forex.usd", "first").await?;
    let second = publish(&bus, "forex.eur", "second").await?;
    bus.publish("system", "deploy", "deployed", "tests", json!({}))
        .await?;

    assert_eq!(bus.list_events(Some("market"), 50).await?, [second, first]);
    let counts = bus.counts(1000).await?;
    assert_eq!(
        (counts.categories["market"], counts.categories["system"]),
        (2, 1)
    );
    let info = bus.info().await?;
    assert_eq!((info.messages, counts.total), (3, 3));
    assert!(bus.health().await?);
    Ok(())
}

async fn a_repeat_is_stored_once(backend: Backend) -> Result<()> {
    let bus = backend.builder().await?.deduplicate(true).build();
    let event = publish(&bus, "forex", "once").await?;
    assert_eq!(bus.publish_event(&event).await?, 1);
    assert_eq!(bus.publish_batch(&[event]).await?, [1]);
    assert_eq!(bus.info().await?.messages, 1);
    Ok(())
}

async fn a_wrong_expected_sequence_is_a_conflict(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    let event = publish(&bus, "forex", "first").await?;
    let stale = PublishOptions::default().with_expected_sequence(0);
    let refused = bus.publish_event_with_options(&event, &stale).await;
    let Err(EventError::Conflict {
        expected, actual, ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((expected, actual), (0, 1));
    let fresh = PublishOptions::default().with_expected_sequence(1);
    assert_eq!(bus.publish_event_with_options(&event, &fresh).await?, 2);
    Ok(())
}

async fn a_refused_event_comes_again_with_a_higher_count(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    publish(&bus, "forex", "rate").await?;
    register(&bus, &[">"], SubscribeOptions::default()).await?;
    let mut reader = bus.subscribe_as("reader").await?;
    for delivery in 1..=3 {
        let pending = next(&mut *reader).await?;
        assert_eq!(pending.received.num_delivered, delivery);
        pending.nak().await?;
    }
    next(&mut *reader).await?.ack().await?;
    let figures = bus.metrics().snapshot();
    assert_eq!(
        (figures.nacked, figures.redelivered, figures.acked),
        (3, 3, 1)
    );
    Ok(())
}

async fn subscriptions_and_positions_survive_a_restart(backend: Backend) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("subscriptions.json");
    let mut bus = backend.bus().await?;
    bus.set_state_store(Arc::new(FileStateStore::open(&file).await?))
        .await?;
    register(&bus, &[">"], SubscribeOptions::default()).await?;
    for summary in ["first", "second", "third"] {
        publish(&bus, "forex", summary).await?;
    }
    let mut reader = bus.subscribe_as("reader").await?;
    next(&mut *reader).await?.ack_confirmed().await?;
    // The second is handed over, and the service goes before it is acknowledged.
    assert_eq!(reader.next().await?.unwrap().sequence, 2);
    reader.close().await?;
    drop((reader, bus));

    let mut bus = backend.bus().await?;
    bus.set_state_store(Arc::new(FileStateStore::open(&file).await?))
        .await?;
    let mut reader = bus.subscribe_as("reader").await?;
    // A server may have sent both before; whichever went back last comes last.
    let mut again = HashMap::new();
    for _ in 0..2 {
        let received = within(PATIENCE, reader.next()).await?.unwrap();
        again.insert(received.sequence, received.num_delivered);
    }
    assert!(again[&2] >= 2 && again[&3] >= 1);
    Ok(())
}

async fn an_event_that_several_subjects_match_comes_once(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    register(&bus, &["forex.*", "*.usd"], SubscribeOptions::default()).await?;
    for topic in ["forex.usd", "metal.usd", "forex.eur", "metal.eur"] {
        publish(&bus, topic, topic).await?;
    }
    let mut reader = bus.subscribe_as("reader").await?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let pending = next(&mut *reader).await?;
        seen.push(pending.received.event.summary.clone());
        pending.ack().await?;
    }
    seen.sort_unstable();
    assert_eq!(seen, ["forex.eur", "forex.usd", "metal.usd"]);
    let nothing = tokio::time::timeout(Duration::from_millis(300), reader.next()).await;
    assert!(nothing.is_err());
    Ok(())
}

async fn a_removed_subject_hands_over_what_is_unanswered(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    register(&bus, &["forex", "metal"], SubscribeOptions::default()).await?;
    publish(&bus, "metal", "gold").await?;
    let mut reader = bus.subscribe_as("reader").await?;
    let pending = next(&mut *reader).await?;
    register(&bus, &["forex"], SubscribeOptions::default()).await?;
    pending.nak().await?;

    let again = next(&mut *reader).await?;
    assert_eq!(
        (
            again.received.event.summary.as_str(),
            again.received.num_delivered
        ),
        ("gold", 2)
    );
    again.ack().await?;
    publish(&bus, "metal", "silver").await?;
    publish(&bus, "forex", "dollar").await?;
    let dollar = next(&mut *reader).await?;
    assert_eq!(dollar.received.event.summary, "dollar");
    // The abandoned consumer goes while somebody reads on.
    let work = tokio::spawn(async move { reader.next().await });
    eventually(PATIENCE, async || consumers(&bus).await == 1).await;
    bus.close().await?;
    assert!(within(PATIENCE, work).await.unwrap()?.is_none());
    Ok(())
}

async fn consumers(bus: &EventBus) -> usize {
    bus.info().await.map_or(usize::MAX, |info| info.consumers)
}

/// A cap on deliveries, and a second to answer.
fn impatient(max_deliver: i64) -> SubscribeOptions {
    SubscribeOptions::default()
        .with_max_deliver(max_deliver)
        .with_ack_wait_secs(1)
}

async fn what_leaves_the_normal_path_is_dead_lettered(backend: Backend) -> Result<()> {
    let letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = backend.bus().await?;
    bus.set_dlq_handler(letters.clone());
    register(&bus, &[">"], impatient(2)).await?;
    for summary in ["refused", "terminated", "unanswered"] {
        publish(&bus, "forex", summary).await?;
    }
    let mut reader = bus.subscribe_as("reader").await?;
    let work = tokio::spawn(async move {
        while let Some(pending) = reader.next_manual_ack().await? {
            match pending.received.event.summary.as_str() {
                "refused" => pending.nak().await?,
                "terminated" => pending.term("not for us").await?,
                _ => drop(pending),
            }
        }
        Ok::<(), EventError>(())
    });
    eventually(PATIENCE, async || {
        letters.count().await.is_ok_and(|count| count == 3)
    })
    .await;
    bus.close().await?;
    within(PATIENCE, work).await.unwrap()?;

    let mut kinds = Vec::new();
    for letter in letters.list(10).await? {
        let event = &letter.event;
        assert_eq!(letter.consumer.unwrap().split(' ').next(), Some("reader"));
        kinds.push((event.sequence, letter.kind, event.num_delivered));
    }
    kinds.sort_unstable_by_key(|(sequence, ..)| *sequence);
    let expected = [
        (1, DeadLetterKind::Rejected, 2),
        (2, DeadLetterKind::Terminated, 1),
        (3, DeadLetterKind::Exhausted, 3),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(bus.metrics().snapshot().dead_lettered, 3);
    Ok(())
}

async fn a_failing_handler_leaves_the_event_in_place(backend: Backend) -> Result<()> {
    let mut bus = backend.bus().await?;
    bus.set_dlq_handler(Arc::new(FailingDlqHandler));
    register(&bus, &[">"], impatient(1)).await?;
    publish(&bus, "forex", "refused").await?;
    publish(&bus, "forex", "fine").await?;
    let mut reader = bus.subscribe_as("reader").await?;
    next(&mut *reader).await?.nak().await?;
    next(&mut *reader).await?.ack_confirmed().await?;
    assert_eq!(bus.metrics().snapshot().dead_letter_errors, 1);
    reader.close().await?;

    // Once the handler works, the event is still there and goes to it.
    let letters = Arc::new(MemoryDlqHandler::default());
    bus.set_dlq_handler(letters.clone());
    let mut reader = bus.subscribe_as("reader").await?;
    let work = tokio::spawn(async move { reader.next().await });
    eventually(PATIENCE, async || {
        letters.count().await.is_ok_and(|count| count == 1)
    })
    .await;
    assert_eq!(letters.list(1).await?[0].event.event.summary, "refused");
    bus.close().await?;
    assert!(within(PATIENCE, work).await.unwrap()?.is_none());
    Ok(())
}

async fn an_exhausted_event_without_a_handler_is_one_error(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    register(&bus, &[">"], impatient(1)).await?;
    publish(&bus, "forex", "hopeless").await?;
    publish(&bus, "forex", "fine").await?;
    let mut reader = bus.subscribe_as("reader").await?;
    next(&mut *reader).await?.nak().await?;
    let error = within(PATIENCE, reader.next()).await.unwrap_err();
    let EventError::Exhausted {
        sequence,
        max_deliver,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((sequence, max_deliver), (1, 1));
    assert_eq!(next(&mut *reader).await?.received.event.summary, "fine");
    Ok(())
}

async fn the_stream_holds_ciphertext_and_readers_get_plaintext(backend: Backend) -> Result<()> {
    let keys = Arc::new(Aes256GcmEncryptor::new("first", &[1; 32]));
    let builder = backend.builder().await?;
    let mut bus = builder
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    let letters = Arc::new(MemoryDlqHandler::default());
    bus.set_encryptor(keys.clone());
    bus.set_dlq_handler(letters.clone());
    register(&bus, &[">"], SubscribeOptions::default()).await?;

    let first = publish(&bus, "forex", "first").await?;
    keys.add_key("second", &[2; 32])?;
    keys.rotate_to("second")?;
    let second = publish(&bus, "forex", "second").await?;
    let expected = [first, second];

    let mut stored = bus.provider().history(None, 10).await?;
    stored.reverse();
    for (event, key) in stored.iter().zip(["first", "second"]) {
        assert!(EncryptedPayload::is_encrypted(&event.payload));
        assert_eq!(event.payload["keyId"], key);
    }
    let pattern = format!("{}.>", bus.provider().subject_prefix());
    let mut readers = vec![
        bus.subscribe(&pattern).await?,
        bus.subscribe_as("reader").await?,
    ];
    readers.extend(bus.create_subscriber("reader").await?);
    // The last two share one position.
    let mut shared = Vec::new();
    for event in &expected {
        assert_eq!(next(&mut *readers[0]).await?.received.event, *event);
        let pending = next(&mut *readers[1]).await?;
        shared.push(pending.received.event.clone());
        pending.term("read").await?;
    }
    assert_eq!(shared, expected);
    let mut history = bus.list_events(Some("market"), 10).await?;
    history.reverse();
    assert_eq!(history, expected);
    // A dead letter stays as it was stored.
    let letter = &letters.list(1).await?[0];
    assert_eq!(letter.event.event, stored[1]);
    Ok(())
}

async fn a_schema_refuses_before_anything_is_stored(backend: Backend) -> Result<()> {
    let schemas = MemorySchemaRegistry::new();
    schemas.register(EventSchema {
        event_type: "forex.rate".to_string(),
        version: 1,
        required_fields: vec!["rate".to_string(), "pair".to_string()],
        description: String::new(),
    })?;
    let mut bus = backend.bus().await?;
    bus.set_schema_registry(Arc::new(schemas));
    let subject = bus.provider().build_subject("market", "forex");
    let typed = |payload| Event::typed(&subject, "market", "forex.rate", 1, "", "", payload);

    let refused = bus.publish_event(&typed(json!({}))).await;
    let Err(EventError::SchemaValidation { missing, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(missing, ["rate", "pair"]);
    assert_eq!(bus.info().await?.messages, 0);
    bus.publish_event(&typed(json!({"rate": 1, "pair": "x"})))
        .await?;
    assert_eq!(bus.info().await?.messages, 1);
    Ok(())
}

async fn many_publishers_and_readers_agree(backend: Backend) -> Result<()> {
    const PUBLISHERS: usize = 50;
    const EACH: usize = 10;
    const READERS: usize = 4;

    let bus = Arc::new(backend.bus().await?);
    register(&bus, &[">"], SubscribeOptions::default()).await?;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut reader = bus.subscribe_as("reader").await?;
        readers.spawn(async move {
            let mut ids = Vec::new();
            while let Some(pending) = reader.next_manual_ack().await? {
                ids.push(pending.received.event.id.clone());
                pending.ack().await?;
            }
            Ok::<_, EventError>(ids)
        });
    }
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let bus = Arc::clone(&bus);
        publishers.spawn(async move {
            for number in 0..EACH {
                publish(&bus, &format!("p{publisher}"), &number.to_string()).await?;
            }
            Ok::<_, EventError>(())
        });
    }
    for published in within(PATIENCE, publishers.join_all()).await {
        published?;
    }
    let total = (PUBLISHERS * EACH) as u64;
    let metrics = bus.metrics();
    eventually(PATIENCE, async || metrics.snapshot().acked >= total).await;
    assert_eq!(bus.counts(10_000).await?.total, total);
    bus.close().await?;
    let mut seen = Vec::new();
    for ids in within(PATIENCE, readers.join_all()).await {
        seen.extend(ids?);
    }
    assert_eq!(seen.len() as u64, total);
    assert_eq!(seen.into_iter().collect::<HashSet<_>>().len() as u64, total);
    Ok(())
}

async fn a_closed_bus_ends_its_readers(backend: Backend) -> Result<()> {
    let bus = backend.bus().await?;
    register(&bus, &[">"], SubscribeOptions::default()).await?;
    let mut reader = bus.subscribe_as("reader").await?;
    let waiting = tokio::spawn(async move { reader.next().await });
    bus.close().await?;
    bus.close().await?;
    assert!(within(PATIENCE, waiting).await.unwrap()?.is_none());
    let refused = publish(&bus, "forex", "late").await;
    assert!(matches!(refused, Err(EventError::Closed { .. })));
    Ok(())
}
