//! The bytes of the file.

use std::fs;

use a3s_event_core::{
    state::StateStore,
    types::{DeliverPolicy, SubscribeOptions, SubscriptionFilter},
};
use a3s_event_state::FileStateStore;
use tempfile::TempDir;

use crate::{Subscriptions, subscriptions};

const GOLDEN: &str = include_str!("../golden/format-1.json");
const PREDECESSOR: &str = include_str!("../golden/predecessor.json");

fn analyst() -> SubscriptionFilter {
    SubscriptionFilter {
        subscriber_id: "analyst".to_owned(),
        subjects: vec!["events.market.>".to_owned(), "events.news.*".to_owned()],
        durable: true,
        options: Some(
            SubscribeOptions::default()
                .with_max_deliver(5)
                .with_backoff_secs([1, 5, 30])
                .with_max_ack_pending(100)
                .with_deliver_policy(DeliverPolicy::ByStartSequence { sequence: 42 })
                .with_ack_wait_secs(60)
                .with_prefetch(10),
        ),
    }
}

fn gateway() -> SubscriptionFilter {
    SubscriptionFilter {
        subscriber_id: "gateway".to_owned(),
        subjects: vec!["events.>".to_owned()],
        ..Default::default()
    }
}

fn by_id(filters: impl IntoIterator<Item = SubscriptionFilter>) -> Subscriptions {
    let filters = filters.into_iter();
    filters
        .map(|filter| (filter.subscriber_id.clone(), filter))
        .collect()
}

#[tokio::test]
async fn the_file_is_the_documented_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let store = FileStateStore::open(&path).await.unwrap();
    store.save(&by_id([gateway(), analyst()])).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), GOLDEN);

    fs::write(&path, GOLDEN).unwrap();
    assert_eq!(store.load().await.unwrap(), by_id([gateway(), analyst()]));
}

#[tokio::test]
async fn every_option_and_policy_comes_back() {
    let folder = TempDir::new().unwrap();
    let store = FileStateStore::new(folder.path().join("state.json"));
    let policies = [
        DeliverPolicy::All,
        DeliverPolicy::Last,
        DeliverPolicy::New,
        DeliverPolicy::LastPerSubject,
        DeliverPolicy::ByStartSequence { sequence: u64::MAX },
        DeliverPolicy::ByStartTime { timestamp: 0 },
    ];
    let filters = policies.into_iter().enumerate().map(|(number, policy)| {
        let mut filter = analyst();
        filter.subscriber_id = number.to_string();
        filter.options = Some(SubscribeOptions::default().with_deliver_policy(policy));
        filter
    });
    let saved = by_id(filters.chain([analyst(), SubscriptionFilter::default()]));
    store.save(&saved).await.unwrap();
    assert_eq!(store.load().await.unwrap(), saved);
}

#[tokio::test]
async fn the_same_state_gives_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let store = FileStateStore::new(&path);
    let ids: Vec<String> = (0..100).map(|id| id.to_string()).collect();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    store.save(&subscriptions(&ids)).await.unwrap();
    let first = fs::read(&path).unwrap();
    ids.reverse();
    store.save(&subscriptions(&ids)).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), first);
}

#[tokio::test]
async fn the_bare_map_of_the_predecessor_is_read_and_replaced_by_the_first_save() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    fs::write(&path, PREDECESSOR).unwrap();
    let store = FileStateStore::open(&path).await.unwrap();

    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.len(), 3);
    assert_eq!(loaded["gateway"], gateway());
    let options = loaded["analyst"].options.as_ref().unwrap();
    assert_eq!(options.backoff_secs, [1, 5, 30]);
    let policy = DeliverPolicy::ByStartTime {
        timestamp: 1_700_000_000_000,
    };
    assert_eq!(options.deliver_policy, policy);

    store.save(&loaded).await.unwrap();
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .contains("\"formatVersion\": 1,")
    );
    assert_eq!(store.load().await.unwrap(), loaded);

    fs::write(&path, "{}").unwrap();
    assert!(store.load().await.unwrap().is_empty());
}
