//! Many publishers and readers at once: counts are exact.

use std::sync::Arc;

use a3s_event_core::provider::EventProvider;

use crate::{event, provider};

const PUBLISHERS: u64 = 50;
const EVENTS_EACH: u64 = 200;
const READERS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_publishers_and_twenty_readers_lose_and_repeat_nothing() {
    let provider = Arc::new(provider(0, 64));
    let total = PUBLISHERS * EVENTS_EACH;
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let filter = if reader % 2 == 0 {
            "events.>"
        } else {
            "events.a.*"
        };
        let mut subscription = provider.subscribe(filter).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut last = 0;
            for _ in 0..total {
                let received = subscription.next().await.unwrap().unwrap();
                assert!(received.sequence > last, "sequences increase");
                assert_eq!(received.num_delivered, 1);
                last = received.sequence;
            }
            last
        }));
    }
    let mut publishers = Vec::new();
    for publisher in 0..PUBLISHERS {
        let provider = Arc::clone(&provider);
        publishers.push(tokio::spawn(async move {
            let mut sequences = Vec::new();
            for number in 0..EVENTS_EACH {
                let event = event(&format!("events.a.s{publisher}"), number);
                sequences.push(provider.publish(&event).await.unwrap());
            }
            sequences
        }));
    }
    let mut sequences = Vec::new();
    for publisher in publishers {
        let own = publisher.await.unwrap();
        assert!(own.is_sorted());
        sequences.extend(own);
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=total).collect::<Vec<u64>>());
    for reader in readers {
        assert_eq!(reader.await.unwrap(), total);
    }
    assert_eq!(provider.info().await.unwrap().messages, total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn history_is_in_sequence_order_while_others_publish() {
    let provider = Arc::new(provider(0, 0));
    let mut publishers = Vec::new();
    for publisher in 0..8 {
        let provider = Arc::clone(&provider);
        publishers.push(tokio::spawn(async move {
            for number in 0..500 {
                let event = event(&format!("events.a.s{publisher}"), number);
                provider.publish(&event).await.unwrap();
            }
        }));
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let mut subscription = provider.subscribe("events.>").await.unwrap();
    let mut delivered = Vec::new();
    for _ in 0..4000 {
        delivered.push(subscription.next().await.unwrap().unwrap().event.id.clone());
    }
    for filter in [None, Some("events.a.*")] {
        let mut history: Vec<String> = provider
            .history(filter, usize::MAX)
            .await
            .unwrap()
            .into_iter()
            .map(|event| event.into_fields().id)
            .collect();
        history.reverse();
        assert_eq!(history, delivered);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handles_of_one_durable_share_every_event_exactly_once() {
    let provider = Arc::new(provider(0, 64));
    let mut workers = Vec::new();
    for _ in 0..8 {
        let mut handle = provider
            .subscribe_durable("workers", "events.a.>")
            .await
            .unwrap();
        workers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(received) = handle.next().await.unwrap() {
                if received.event.payload["number"] == 0 {
                    break;
                }
                seen.push(received.sequence);
            }
            // Coming back acknowledges the last one.
            let _ = tokio::time::timeout(std::time::Duration::ZERO, handle.next()).await;
            seen
        }));
    }
    for number in 1..=10_000 {
        provider
            .publish(&event("events.a.x", number))
            .await
            .unwrap();
    }
    for _ in 0..8 {
        provider.publish(&event("events.a.x", 0)).await.unwrap();
    }
    let mut seen = Vec::new();
    for worker in workers {
        seen.extend(worker.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=10_000).collect::<Vec<u64>>());
}
