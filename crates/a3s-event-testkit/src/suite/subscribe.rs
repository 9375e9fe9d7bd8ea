//! Ephemeral subscriptions: who gets which event, in which order, and that
//! nobody loses one.

use a3s_event_core::{
    provider::Delivery,
    types::{DeliverPolicy, SubscribeOptions},
};

use crate::{
    Case,
    reader::{next_of, poll_once},
    within,
};

/// "All that is retained and matches, then live."
pub async fn what_is_retained_comes_first_then_what_follows(case: Case) {
    case.publish_many("retained", 3).await;
    let mut reader = case.subscribe_all().await;
    assert_eq!(reader.sequences(3).await, [1, 2, 3]);
    reader.nothing().await;
    case.publish("live").await;
    assert_eq!(reader.received().await.sequence, 4);
}

/// Every subscription gets every event that matches.
pub async fn every_subscription_gets_every_event(case: Case) {
    case.publish("before").await;
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(case.subscribe_all().await);
    }
    case.publish_many("after", 5).await;
    for reader in &mut readers {
        assert_eq!(reader.sequences(6).await, [1, 2, 3, 4, 5, 6]);
        reader.nothing().await;
    }
}

/// Events come in the order of the stream, whatever their subjects.
pub async fn events_come_in_the_order_of_their_sequences(case: Case) {
    let mut reader = case.subscribe_all().await;
    for round in 0..100 {
        case.publish(&format!("topic.{}", round % 9)).await;
    }
    assert_eq!(reader.sequences(100).await, (1..=100).collect::<Vec<_>>());
}

/// A delivery says where the event is stored and how often it came: once.
pub async fn a_first_delivery_has_count_one_its_sequence_and_its_stream(case: Case) {
    case.publish("other").await;
    let event = case.event("wanted");
    let sequence = case.provider.publish(&event).await.unwrap();
    let mut reader = case.subscribe(&event.subject).await;
    let automatic = reader.received().await;
    let mut reader = case.subscribe(&event.subject).await;
    let manual = reader.pending().await.received;
    for received in [&automatic, &manual] {
        assert_eq!(received.event, event);
        assert_eq!((received.sequence, received.num_delivered), (sequence, 1));
        assert!(!received.stream.is_empty());
    }
    assert_eq!(automatic.stream, manual.stream);
}

/// A filter without wildcards selects one subject.
pub async fn an_exact_filter_selects_one_subject(case: Case) {
    let mut reader = case.subscribe(&case.subject("a.b")).await;
    for topic in ["a", "a.b", "a.b.c", "a.bc", "A.b", "a.b"] {
        case.publish(topic).await;
    }
    assert_eq!(reader.sequences(2).await, [2, 6]);
    reader.nothing().await;
}

/// An event that several subscriptions match comes once to each.
pub async fn overlapping_subscriptions_get_an_event_once_each(case: Case) {
    let patterns = [
        case.everything(),
        case.subject("*.b"),
        case.subject("a.>"),
        case.subject("a.b"),
    ];
    let mut readers = Vec::new();
    for pattern in &patterns {
        readers.push(case.subscribe(pattern).await);
    }
    let sequence = case.publish("a.b").await;
    for reader in &mut readers {
        assert_eq!(reader.received().await.sequence, sequence);
        reader.nothing().await;
    }
}

/// A reader that has not read yet loses nothing, however much there is.
pub async fn a_slow_reader_loses_nothing(case: Case) {
    const EVENTS: u64 = 3000;

    let mut reader = case.subscribe_all().await;
    assert!(case.publish_many("burst", 10).await.is_sorted());
    assert_eq!(reader.received().await.sequence, 1);
    case.publish_many("burst", 2990).await;
    for expected in 2..=EVENTS {
        assert_eq!(reader.received().await.sequence, expected);
    }
    assert_eq!(reader.subscription.missed(), 0);
}

/// A blocked reader gets what is published later.
pub async fn a_blocked_reader_wakes_up(case: Case) {
    let mut reader = case.subscribe_all().await;
    let blocked = tokio::spawn(async move { reader.received().await.sequence });
    case.pass(case.harness().quiet()).await;
    let sequence = case.publish("wake").await;
    assert_eq!(within(case.patience(), blocked).await.unwrap(), sequence);
}

/// "Dropping the future of `next()` loses nothing."
pub async fn a_cancelled_next_loses_nothing(case: Case) {
    let mut reader = case.subscribe_all().await;
    for round in 0..20 {
        if round % 2 == 0 {
            // Waits in vain, and is dropped while it waits.
            poll_once(reader.subscription.next()).await;
        }
        case.publish("event").await;
        if round % 3 == 0 {
            // May be dropped when the event is almost there.
            let half_way = reader.subscription.next_manual_ack();
            if let Some(got) = poll_once(half_way).await {
                let pending = got.unwrap().unwrap();
                assert_eq!(pending.received.sequence, round + 1);
                pending.ack().await.unwrap();
                continue;
            }
        }
        assert_eq!(reader.received().await.sequence, round + 1);
    }
    reader.nothing().await;
}

/// "`Subscription` values also serve as a stream": it gives what `next` gives.
pub async fn a_stream_gives_what_next_gives(case: Case) {
    case.publish_many("retained", 5).await;
    let mut reader = case.subscribe_all().await;
    let mut stream = case.subscribe_all().await.subscription.into_stream();
    case.publish_many("live", 5).await;
    for _ in 0..10 {
        let streamed = within(case.patience(), next_of(&mut stream)).await;
        let streamed = streamed.unwrap().unwrap();
        let received = reader.received().await;
        // How many wait is another matter at another time.
        assert_eq!(
            (streamed.event, streamed.sequence, streamed.num_delivered),
            (received.event, received.sequence, received.num_delivered)
        );
    }
    assert!(poll_once(next_of(&mut stream)).await.is_none());
    case.publish("wake").await;
    let woken = within(case.patience(), next_of(&mut stream)).await;
    assert_eq!(woken.unwrap().unwrap().sequence, 11);
}

/// A stream ends when its provider is closed.
pub async fn a_stream_ends_with_its_provider(case: Case) {
    case.publish("event").await;
    let mut stream = case.subscribe_all().await.subscription.into_stream();
    let first = within(case.patience(), next_of(&mut stream)).await;
    assert!(first.unwrap().is_ok());
    let blocked = tokio::spawn(async move {
        let ended = next_of(&mut stream).await.is_none();
        (ended, next_of(&mut stream).await.is_none())
    });
    case.provider.close().await.unwrap();
    let ends = within(case.patience(), blocked).await.unwrap();
    assert_eq!(ends, (true, true), "the stream ends and stays at its end");
}

/// `next_delivery` gives the same events to layers that want to see everything.
pub async fn next_delivery_gives_the_same_events(case: Case) {
    case.publish_many("event", 2).await;
    let mut reader = case.subscribe_all().await;
    for expected in [1, 2] {
        let delivery = within(case.patience(), reader.subscription.next_delivery()).await;
        let Ok(Some(Delivery::Event(pending))) = delivery else {
            panic!("no event but {delivery:?}");
        };
        assert_eq!(pending.received.sequence, expected);
        pending.ack().await.unwrap();
    }
}

/// Readers with and without automatic answers take turns on one subscription.
pub async fn both_ways_of_reading_take_turns(case: Case) {
    case.publish_many("event", 6).await;
    let mut reader = case.subscribe_all().await;
    for expected in [1, 3, 5] {
        assert_eq!(reader.received().await.sequence, expected);
        assert_eq!(reader.acknowledge().await, expected + 1);
    }
    reader.nothing().await;
}

/// Subscriptions are opened while four publishers are at work: those of
/// everything have no hole, those of what is new have none from the moment at
/// which they were opened.
pub async fn a_subscription_opened_during_a_storm_has_no_hole(case: Case) {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 100;

    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let provider = case.shared();
            let events: Vec<_> = (0..EACH)
                .map(|_| case.event(&format!("storm.{publisher}")))
                .collect();
            tokio::spawn(async move {
                for event in events {
                    provider.publish(&event).await.unwrap();
                }
            })
        })
        .collect();
    let newest = SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New);
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push((case.subscribe_all().await, 1..=1));
        tokio::task::yield_now().await;
        let before = case.publish("storm.before").await;
        if let Some(reader) = case.ephemeral(&newest).await {
            let after = case.publish("storm.after").await;
            readers.push((reader, before + 1..=after));
        }
        tokio::task::yield_now().await;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let last = case.publish("end").await;
    for (mut reader, expected) in readers {
        let mut next = reader.received().await.sequence;
        assert!(expected.contains(&next), "{next} is not in {expected:?}");
        while next < last {
            let sequence = reader.received().await.sequence;
            assert_eq!(sequence, next + 1);
            next = sequence;
        }
    }
}

/// Many subscriptions on many subjects each get exactly their own.
pub async fn many_subscriptions_get_exactly_their_own(case: Case) {
    let mut readers = Vec::new();
    for topic in 0..30 {
        let pattern = case.subject(&format!("topic.{topic}"));
        readers.push(case.subscribe(&pattern).await);
    }
    for round in 0..90 {
        case.publish(&format!("topic.{}", round % 30)).await;
    }
    for (topic, reader) in (1..).zip(&mut readers) {
        assert_eq!(reader.sequences(3).await, [topic, topic + 30, topic + 60]);
        reader.nothing().await;
    }
}

/// The end of one subscription concerns no other.
pub async fn dropping_one_subscription_leaves_the_others(case: Case) {
    let mut kept = case.subscribe_all().await;
    let dropped = case.subscribe_all().await;
    let mut closed = case.subscribe_all().await;
    case.publish("before").await;
    drop(dropped);
    closed.close().await;
    case.publish("after").await;
    assert_eq!(kept.sequences(2).await, [1, 2]);
}

/// "How many further events wait for this consumer, where the provider knows":
/// those that match.
pub async fn pending_counts_the_matching_events_that_wait(case: Case) {
    for topic in ["a", "b", "a", "b", "a"] {
        case.publish(topic).await;
    }
    let mut reader = case.subscribe(&case.subject("a")).await;
    for expected in [2, 1, 0] {
        let pending = reader.received().await.pending;
        assert!(pending.is_none_or(|count| count == expected), "{pending:?}");
    }
}

/// Eight readers on threads of their own, while four publish: each gets each
/// event once and in order.
pub async fn concurrent_readers_lose_and_repeat_nothing(case: Case) {
    const EVENTS: u64 = 400;

    let mut readers = Vec::new();
    for _ in 0..8 {
        let mut reader = case.subscribe_all().await;
        readers.push(tokio::spawn(async move {
            let received: Vec<u64> = reader.sequences(EVENTS as usize).await;
            reader.nothing().await;
            received
        }));
    }
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let provider = case.shared();
            let events: Vec<_> = (0..EVENTS / 4).map(|_| case.event("event")).collect();
            tokio::spawn(async move {
                for event in events {
                    provider.publish(&event).await.unwrap();
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for reader in readers {
        let received = reader.await.unwrap();
        assert_eq!(received, (1..=EVENTS).collect::<Vec<_>>());
    }
}

/// What one reader does to its event concerns no other, nor what is stored.
pub async fn a_delivered_event_belongs_to_its_reader(case: Case) {
    let event = case.event("shared");
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(case.subscribe_all().await);
    }
    case.provider.publish(&event).await.unwrap();
    for mut reader in readers {
        let mut received = reader.received().await.event;
        assert_eq!(received, event);
        received.summary.push('!');
    }
    assert_eq!(case.provider.history(None, 1).await.unwrap(), [event]);
}
