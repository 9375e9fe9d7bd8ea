//! Saves that overlap, and saves that nobody waits for.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use a3s_event_core::state::StateStore;
use a3s_event_state::FileStateStore;
use tempfile::TempDir;

use crate::{Subscriptions, generation, generation_of};

fn store() -> (TempDir, FileStateStore) {
    let folder = TempDir::new().unwrap();
    let store = FileStateStore::new(folder.path().join("state.json"));
    (folder, store)
}

/// Begins `save` and drops its future, mostly before it has ended.
fn abandon_save(store: &FileStateStore, subscriptions: &Subscriptions) {
    let save = pin!(store.save(subscriptions));
    if let Poll::Ready(saved) = save.poll(&mut Context::from_waker(Waker::noop())) {
        saved.unwrap();
    }
}

#[tokio::test]
async fn saves_take_effect_in_the_order_in_which_they_are_called() {
    let (_folder, store) = store();
    let generations: Vec<_> = (1..=4).map(generation).collect();
    for _ in 0..25 {
        let (first, second, third, fourth) = tokio::join!(
            store.save(&generations[0]),
            store.save(&generations[1]),
            store.save(&generations[2]),
            store.save(&generations[3]),
        );
        for saved in [first, second, third, fourth] {
            saved.unwrap();
        }
        assert_eq!(generation_of(&store.load().await.unwrap()), Some(4));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn saves_of_many_tasks_are_all_whole_and_the_last_one_stays() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    let tasks: Vec<_> = (1..=64)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.save(&generation(number)).await.unwrap();
                generation_of(&store.load().await.unwrap()).unwrap()
            })
        })
        .collect();
    let mut seen = 0;
    for task in tasks {
        seen = seen.max(task.await.unwrap());
    }
    let last = generation_of(&store.load().await.unwrap()).unwrap();
    assert!((1..=64).contains(&last) && seen >= last);
}

#[tokio::test]
async fn a_save_that_nobody_waits_for_is_done_whole() {
    let (_folder, store) = store();
    for number in 1..=25 {
        abandon_save(&store, &generation(number));
        // The load waits for it.
        assert_eq!(generation_of(&store.load().await.unwrap()), Some(number));
    }
}

#[tokio::test]
async fn a_save_that_is_dropped_while_it_waits_for_another_holds_nobody_up() {
    let (_folder, store) = store();
    abandon_save(&store, &generation(1));
    abandon_save(&store, &generation(2));
    store.save(&generation(3)).await.unwrap();
    assert_eq!(generation_of(&store.load().await.unwrap()), Some(3));
}

#[test]
fn a_runtime_that_ends_leaves_the_old_or_the_new_state() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let mut before = 0;
    for number in 1..=25 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let store = FileStateStore::new(&path);
        runtime.block_on(async { abandon_save(&store, &generation(number)) });
        drop(runtime);
        drop(store);

        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = runtime.block_on(FileStateStore::new(&path).load()).unwrap();
        let found = generation_of(&found).unwrap_or(0);
        assert!([before, number].contains(&found));
        before = found;
    }
}
