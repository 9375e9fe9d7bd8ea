//! Readers that fall behind: the log is the buffer, so nothing is lost within
//! retention, and a gap beyond it is counted.

use a3s_event_core::{
    provider::EventProvider,
    types::{DeliverPolicy, SubscribeOptions},
};

use crate::{event, is_quiet, next, provider, publish};

#[tokio::test(start_paused = true)]
async fn any_channel_capacity_delivers_everything_in_order() {
    for capacity in [0, 1, 2, 7, 10_000, usize::MAX] {
        for filter in ["events.>", "events.a.*", "events.a.x", "events.*.x"] {
            let provider = provider(0, capacity);
            publish(&provider, "events.b.y", 0..3).await;
            let mut early = provider.subscribe(filter).await.unwrap();
            for number in 0..3000 {
                let subject = if number % 3 == 0 {
                    "events.a.x"
                } else {
                    "events.b.y"
                };
                provider.publish(&event(subject, number)).await.unwrap();
                if number % 1000 == 0 {
                    let received = next(&mut *early).await;
                    assert!(received.sequence <= number + 4);
                }
            }
            let mut late = provider.subscribe(filter).await.unwrap();
            let mut expected: Vec<u64> = Vec::new();
            for sequence in 1..=3003u64 {
                let matches = filter == "events.>" || (sequence > 3 && (sequence - 4) % 3 == 0);
                if matches {
                    expected.push(sequence);
                }
            }
            let mut seen = Vec::new();
            for left in (0..expected.len() as u64).rev() {
                let received = next(&mut *late).await;
                assert_eq!(received.pending, Some(left), "{capacity} {filter}");
                seen.push(received.sequence);
            }
            assert_eq!(seen, expected, "{capacity} {filter}");
            // It took three while the others were published.
            for sequence in &expected[3..] {
                assert_eq!(
                    next(&mut *early).await.sequence,
                    *sequence,
                    "{capacity} {filter}"
                );
            }
            assert!(is_quiet(&mut *early).await && is_quiet(&mut *late).await);
            assert_eq!((early.missed(), late.missed()), (0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_counted_exactly_for_a_reader_of_one_subject() {
    for capacity in [0, 3, 10_000] {
        let provider = provider(50, capacity);
        let mut reader = provider.subscribe("events.a.x").await.unwrap();
        let mut everything = provider.subscribe(">").await.unwrap();
        publish(&provider, "events.a.x", 0..1).await;
        next(&mut *reader).await;
        next(&mut *everything).await;
        // 200 events, every second one matches; 25 of the 100 are retained.
        for number in 0..100 {
            provider
                .publish(&event("events.a.x", number))
                .await
                .unwrap();
            provider
                .publish(&event("events.b.y", number))
                .await
                .unwrap();
        }
        assert_eq!(next(&mut *reader).await.event.payload["number"], 75);
        for number in 76..100 {
            assert_eq!(next(&mut *reader).await.event.payload["number"], number);
        }
        assert!(is_quiet(&mut *reader).await);
        assert_eq!(reader.missed(), 75, "capacity {capacity}");

        assert_eq!(next(&mut *everything).await.sequence, 152);
        assert_eq!(everything.missed(), 150);
        everything.close().await.unwrap();
        assert_eq!(everything.missed(), 150, "also afterwards");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_reader_misses_nothing_when_other_subjects_are_evicted() {
    for capacity in [0, 3, 10_000] {
        let provider = provider(50, capacity);
        let mut reader = provider.subscribe("events.a.*").await.unwrap();
        publish(&provider, "events.a.x", 0..2).await;
        next(&mut *reader).await;
        next(&mut *reader).await;
        assert!(is_quiet(&mut *reader).await);
        publish(&provider, "events.b.y", 0..500).await;
        publish(&provider, "events.a.z", 7..8).await;
        assert_eq!(next(&mut *reader).await.event.payload["number"], 7);
        assert_eq!(reader.missed(), 0, "capacity {capacity}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_beyond_the_end_waits_for_that_sequence_on_any_route() {
    for capacity in [0, 10_000] {
        for filter in ["events.>", "events.a.x"] {
            let provider = provider(0, capacity);
            publish(&provider, "events.a.x", 0..5).await;
            let options = SubscribeOptions {
                deliver_policy: DeliverPolicy::ByStartSequence { sequence: 9 },
                ..Default::default()
            };
            let mut reader = provider
                .subscribe_with_options(filter, &options)
                .await
                .unwrap();
            publish(&provider, "events.a.x", 5..12).await;
            let seen = [next(&mut *reader).await, next(&mut *reader).await];
            assert_eq!(seen.map(|received| received.sequence), [9, 10]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_start_beyond_the_end_is_not_missed() {
    for (max_events, capacity) in [(0, 0), (0, 5), (5, 10_000), (5, 5)] {
        for filter in ["events.>", "events.a.*"] {
            let provider = provider(max_events, capacity);
            let options = SubscribeOptions {
                deliver_policy: DeliverPolicy::ByStartSequence { sequence: 101 },
                ..SubscribeOptions::default()
            };
            let opened = provider.subscribe_durable_with_options("c", filter, &options);
            let mut reader = opened.await.unwrap();
            assert!(is_quiet(&mut *reader).await);
            publish(&provider, "events.a.x", 1..51).await;
            let info = provider.consumer_info("c").await.unwrap();
            assert_eq!(info.pending, 0, "{max_events} {capacity} {filter}");
            assert!(is_quiet(&mut *reader).await);
            publish(&provider, "events.a.x", 51..102).await;

            assert_eq!(next(&mut *reader).await.sequence, 101);
            assert_eq!(reader.missed(), 0, "{max_events} {capacity} {filter}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_counted_exactly_before_the_first_read() {
    for capacity in [0, 3, 10_000] {
        let provider = provider(50, capacity);
        let options = SubscribeOptions {
            deliver_policy: DeliverPolicy::New,
            ..SubscribeOptions::default()
        };
        publish(&provider, "events.a.x", 0..2).await;
        let opening = provider.subscribe_with_options("events.a.*", &options);
        let mut reader = opening.await.unwrap();
        for number in 0..100 {
            publish(&provider, "events.a.x", number..number + 1).await;
            publish(&provider, "events.b.y", number..number + 1).await;
        }
        assert_eq!(next(&mut *reader).await.event.payload["number"], 75);
        assert_eq!(reader.missed(), 75, "capacity {capacity}");
    }
}
