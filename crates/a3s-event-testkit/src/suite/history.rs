//! Reading back: the newest events, newest first.

use a3s_event_core::{subject::matches, types::Event};

use crate::Case;

/// "The newest `limit` matching events, newest first."
pub async fn history_is_newest_first(case: Case) {
    let mut published = Vec::new();
    for topic in ["a", "b", "a", "c"] {
        let event = case.event(topic);
        case.provider.publish(&event).await.unwrap();
        published.push(event);
    }
    published.reverse();
    assert_eq!(case.provider.history(None, 10).await.unwrap(), published);
    for limit in 1..=4 {
        let history = case.provider.history(None, limit).await.unwrap();
        assert_eq!(history, published[..limit]);
    }
}

/// Nothing stored, nothing returned.
pub async fn the_history_of_nothing_is_empty(case: Case) {
    for pattern in [None, Some(">"), Some(case.subject("a").as_str())] {
        assert_eq!(case.provider.history(pattern, 10).await.unwrap(), []);
    }
}

/// "`limit` 0 is empty."
pub async fn a_limit_of_zero_is_empty(case: Case) {
    case.publish_many("event", 3).await;
    assert_eq!(case.provider.history(None, 0).await.unwrap(), []);
    let pattern = case.everything();
    assert_eq!(case.provider.history(Some(&pattern), 0).await.unwrap(), []);
}

/// "Huge limits allocate nothing in advance": they return what there is.
pub async fn a_huge_limit_returns_what_there_is(case: Case) {
    case.publish_many("event", 3).await;
    for limit in [4, 1 << 20, 1 << 40, usize::MAX] {
        assert_eq!(case.provider.history(None, limit).await.unwrap().len(), 3);
        let pattern = case.everything();
        let matching = case.provider.history(Some(&pattern), limit).await.unwrap();
        assert_eq!(matching.len(), 3);
    }
}

/// The filter selects before the limit counts.
pub async fn the_limit_counts_matching_events(case: Case) {
    let mut wanted = Vec::new();
    for round in 0..30 {
        let topic = ["a", "b.x", "b.y"][round % 3];
        let event = case.event(topic);
        case.provider.publish(&event).await.unwrap();
        wanted.insert(0, event);
    }
    for pattern in ["a", "b.x", "b.*", "*", "b.>", ">", "none"] {
        let pattern = case.subject(pattern);
        for limit in [1, 5, 100] {
            let history = case.provider.history(Some(&pattern), limit).await.unwrap();
            let matching = wanted
                .iter()
                .filter(|event| matches(&pattern, &event.subject));
            let expected: Vec<Event> = matching.take(limit).cloned().collect();
            assert_eq!(history, expected, "newest {limit} of {pattern}");
        }
    }
}

/// A rare event is found, however much lies on top of it.
pub async fn a_match_far_back_is_found(case: Case) {
    let rare = case.event("rare");
    case.provider.publish(&rare).await.unwrap();
    case.publish_many("common", 2000).await;
    let pattern = case.subject("rare");
    assert_eq!(
        case.provider.history(Some(&pattern), 5).await.unwrap(),
        [rare]
    );
}

/// "Moves no consumer, leaves none behind."
pub async fn history_moves_no_consumer_and_leaves_none(case: Case) {
    case.publish_many("event", 5).await;
    let Some(mut durable) = case.durable("reader", &case.on_demand()).await else {
        case.provider.history(None, 3).await.unwrap();
        return assert_eq!(case.consumers().await, 0);
    };
    let mut ephemeral = case.subscribe_all().await;
    assert_eq!(durable.acknowledge().await, 1);
    assert_eq!(ephemeral.acknowledge().await, 1);
    for pattern in [None, Some(case.everything())] {
        let history = case.provider.history(pattern.as_deref(), 3).await.unwrap();
        assert_eq!(history.len(), 3);
    }
    case.settles_at_consumers(2).await;
    assert_eq!(durable.acknowledge().await, 2);
    assert_eq!(ephemeral.acknowledge().await, 2);
}

/// "Sequences strictly increase in the order of the stream, which is the order
/// of `history`", under concurrent publishers too; a reader sees the same order.
pub async fn history_agrees_with_the_sequences_of_racing_publishers(case: Case) {
    let publishers: Vec<_> = (0..8)
        .map(|_| {
            let provider = case.shared();
            let events: Vec<Event> = (0..50).map(|_| case.event("event")).collect();
            tokio::spawn(async move {
                let mut stored = Vec::new();
                for event in events {
                    stored.push((provider.publish(&event).await.unwrap(), event.id.clone()));
                }
                stored
            })
        })
        .collect();
    let mut stored = Vec::new();
    for publisher in publishers {
        stored.extend(publisher.await.unwrap());
    }
    stored.sort_unstable();
    let mut reader = case.subscribe_all().await;
    for (sequence, id) in &stored {
        let received = reader.received().await;
        assert_eq!((received.sequence, &received.event.id), (*sequence, id));
    }
    let ids: Vec<String> = stored.into_iter().map(|(_, id)| id).collect();
    assert_eq!(case.stored_ids().await, ids);
}

/// History is complete while publishers are at work: a newest-first window never
/// has a hole.
pub async fn history_during_publishes_has_no_hole(case: Case) {
    const EVENTS: usize = 300;

    let events: Vec<Event> = (0..EVENTS).map(|_| case.event("event")).collect();
    let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
    let provider = case.shared();
    let publisher = tokio::spawn(async move {
        for event in events {
            provider.publish(&event).await.unwrap();
        }
    });
    let mut newest = 0;
    while newest < EVENTS {
        // A provider in memory never waits: without this nobody else would run.
        tokio::task::yield_now().await;
        let history = case.provider.history(None, 40).await.unwrap();
        let Some(first) = history.first() else {
            continue;
        };
        let position = ids.iter().position(|id| *id == first.id);
        newest = position.expect("the event was published") + 1;
        assert_eq!(history.len(), newest.min(40));
        let window = ids[..newest].iter().rev();
        assert!(
            history
                .iter()
                .map(|event| &event.id)
                .eq(window.take(history.len()))
        );
    }
    publisher.await.unwrap();
}
