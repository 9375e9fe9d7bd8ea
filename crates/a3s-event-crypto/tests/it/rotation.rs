//! Keys change while others encrypt.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use a3s_event_core::crypto::EventEncryptor;
use a3s_event_crypto::{KeyStatus, SecretKey};
use serde_json::json;

use crate::{encryptor, event};

const THREADS: usize = 64;
const ROUNDS: usize = 100;

#[test]
fn threads_encrypt_while_keys_are_added_rotated_disabled_and_enabled() {
    let encryptor = Arc::new(encryptor());
    let start = Barrier::new(THREADS + 1);
    let finished = AtomicUsize::new(0);

    let sealed: Vec<_> = thread::scope(|scope| {
        let publishers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (encryptor, start, finished) = (Arc::clone(&encryptor), &start, &finished);
                scope.spawn(move || {
                    start.wait();
                    let sealed: Vec<_> = (0..ROUNDS)
                        .map(|round| {
                            let plain = event(json!([thread, round]));
                            let mut sealed = plain.clone();
                            sealed.payload = encryptor.encrypt_event(&plain).unwrap();
                            (plain, sealed)
                        })
                        .collect();
                    finished.fetch_add(1, Ordering::Release);
                    sealed
                })
            })
            .collect();

        start.wait();
        let mut rotations = 0;
        while finished.load(Ordering::Acquire) < THREADS || rotations < 20 {
            rotations += 1;
            let previous = encryptor.active_key_id();
            let next = format!("rotated-{rotations}");
            encryptor
                .add_key(next.as_str(), SecretKey::generate().unwrap())
                .unwrap();
            encryptor.rotate_to(&next).unwrap();
            encryptor.disable_key(&previous).unwrap();
            assert_eq!(encryptor.key_status(&previous), Some(KeyStatus::Disabled));
            encryptor.enable_key(&previous).unwrap();
        }
        publishers
            .into_iter()
            .flat_map(|publisher| publisher.join().unwrap())
            .collect()
    });

    assert_eq!(sealed.len(), THREADS * ROUNDS);
    for (plain, sealed) in sealed {
        assert_eq!(encryptor.decrypt_event(&sealed).unwrap(), plain.payload);
    }
}

#[test]
fn threads_share_one_budget() {
    let encryptor = encryptor().with_max_encryptions(1000);
    let start = Barrier::new(16);
    let encrypted: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    let attempts = (0..100).map(|_| encryptor.encrypt(&json!(1)));
                    attempts.filter(|attempt| attempt.is_ok()).count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(encrypted, 1000);
}

#[test]
fn of_threads_that_add_the_same_id_one_wins() {
    let encryptor = encryptor();
    let start = Barrier::new(16);
    let added: usize = thread::scope(|scope| {
        let add = |_| {
            scope.spawn(|| {
                let key = SecretKey::generate().unwrap();
                start.wait();
                usize::from(encryptor.add_key("key-2", key).is_ok())
            })
        };
        let threads: Vec<_> = (0..16).map(add).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(added, 1);
}
