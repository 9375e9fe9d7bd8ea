//! More than one who would write.

use std::{fs, sync::mpsc, thread};

use a3s_event_core::state::StateStore;
use a3s_event_state::FileStateStore;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{child, generation, generation_of, refusal, subscriptions};

#[test]
fn of_two_processes_that_write_at_once_one_has_the_file_until_it_ends() {
    if let Some(path) = child::file() {
        let runtime = Runtime::new().unwrap();
        let store = FileStateStore::new(path);
        for next in 1.. {
            match runtime.block_on(store.save(&generation(next))) {
                Ok(()) => child::say(&format!("saved {next}")),
                Err(_) => child::say("refused"),
            }
        }
    }
    let test = "processes::of_two_processes_that_write_at_once_one_has_the_file_until_it_ends";
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");

    let (sender, heard) = mpsc::channel();
    let mut writers: Vec<_> = (0..2)
        .map(|writer| {
            let mut process = child::command(test, &path).spawn().unwrap();
            let said = child::listen(process.stdout.take().unwrap());
            let sender = sender.clone();
            let listener = thread::spawn(move || {
                said.for_each(|text| drop(sender.send((writer, text))));
            });
            (process, listener)
        })
        .collect();

    let runtime = Runtime::new().unwrap();
    let reader = FileStateStore::new(&path);
    let mut counts = [(0, 0); 2];
    let mut owner = None;
    while counts.iter().any(|&(saved, refused)| saved + refused < 100) {
        let (writer, text) = heard.recv().unwrap();
        if text == "refused" {
            counts[writer].1 += 1;
        } else {
            counts[writer].0 += 1;
            assert_eq!(*owner.get_or_insert(writer), writer, "two owners");
        }
        // Whoever writes, a reader finds a whole state.
        generation_of(&runtime.block_on(reader.load()).unwrap());
    }
    let owner = owner.unwrap();
    assert_eq!(counts[1 - owner].0, 0);

    writers[owner].0.kill().unwrap();
    writers[owner].0.wait().unwrap();
    let taken_over = heard
        .iter()
        .find(|(writer, text)| *writer != owner && text.starts_with("saved"));
    assert!(taken_over.is_some());

    for (mut process, listener) in writers {
        // The owner is gone already.
        let _ = process.kill();
        process.wait().unwrap();
        listener.join().unwrap();
    }
    generation_of(&runtime.block_on(reader.load()).unwrap()).unwrap();
}

#[tokio::test]
async fn an_open_store_keeps_others_from_opening_and_saving_but_not_from_loading() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let owner = FileStateStore::open(&path).await.unwrap();
    owner.save(&subscriptions(&["a"])).await.unwrap();

    let text = refusal(FileStateStore::open(&path).await, &path);
    assert!(text.contains("locked"), "{text}");
    let other = FileStateStore::new(&path);
    assert_eq!(other.load().await.unwrap(), subscriptions(&["a"]));
    let text = refusal(other.save(&subscriptions(&["b"])).await, &path);
    assert!(text.contains("locked"), "{text}");
    assert_eq!(owner.load().await.unwrap(), subscriptions(&["a"]));

    drop(owner);
    other.save(&subscriptions(&["b"])).await.unwrap();
    refusal(FileStateStore::open(&path).await, &path);
}

#[tokio::test]
async fn a_store_owns_the_file_from_its_first_save() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let first = FileStateStore::new(&path);
    let second = FileStateStore::new(&path);
    first.save(&subscriptions(&["a"])).await.unwrap();
    refusal(second.save(&subscriptions(&["b"])).await, &path);
    first.save(&subscriptions(&["c"])).await.unwrap();
    assert_eq!(second.load().await.unwrap(), subscriptions(&["c"]));
}

#[tokio::test]
async fn a_store_does_not_replace_what_changed_after_it_loaded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    let slow = FileStateStore::new(&path);
    assert!(slow.load().await.unwrap().is_empty());
    let quick = FileStateStore::open(&path).await.unwrap();
    quick.save(&subscriptions(&["a"])).await.unwrap();
    drop(quick);

    let text = refusal(slow.save(&subscriptions(&["b"])).await, &path);
    assert!(text.contains("changed"), "{text}");
    assert_eq!(slow.load().await.unwrap(), subscriptions(&["a"]));
    slow.save(&subscriptions(&["a", "b"])).await.unwrap();
    assert_eq!(slow.load().await.unwrap(), subscriptions(&["a", "b"]));
}

#[tokio::test]
async fn a_leftover_lock_file_locks_nobody_out() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.json");
    fs::write(folder.path().join("state.json.lock"), "whatever").unwrap();
    let store = FileStateStore::open(&path).await.unwrap();
    store.save(&subscriptions(&["a"])).await.unwrap();
}
