//! The store in memory.

use std::sync::Arc;

use a3s_event_core::{EventError, state::StateStore};
use a3s_event_state::MemoryStateStore;

use crate::subscriptions;

#[tokio::test]
async fn what_was_saved_last_is_loaded() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::new());
    assert!(store.load().await.unwrap().is_empty());
    for ids in [&["a", "b"][..], &["c"], &[]] {
        store.save(&subscriptions(ids)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), subscriptions(ids));
    }
}

#[tokio::test]
async fn a_filter_under_another_key_is_refused_as_by_every_store() {
    let store = MemoryStateStore::new();
    store.save(&subscriptions(&["a"])).await.unwrap();
    let mut misplaced = subscriptions(&["b"]);
    let filter = misplaced.remove("b").unwrap();
    misplaced.insert("c".to_owned(), filter);
    let refused = store.save(&misplaced).await;
    assert!(matches!(refused, Err(EventError::State { .. })));
    assert_eq!(store.load().await.unwrap(), subscriptions(&["a"]));
}
