//! Wakers and log subscribers are foreign code: whatever they do, the provider
//! holds no lock meanwhile.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError},
    },
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use a3s_event_core::{
    provider::{EventProvider, Subscription},
    types::SubscribeOptions,
};
use a3s_event_memory::MemoryProvider;
use futures_util::FutureExt;
use tokio::runtime::Builder;

use crate::{event, next, provider, publish};

/// Runs `work` on a thread and a runtime of its own, so that a lock that is
/// taken twice is a failure and no test that hangs.
#[track_caller]
fn ends<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(work());
        done.send(()).unwrap();
    });
    match ended.recv_timeout(Duration::from_secs(10)) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("a lock was held around foreign code"),
        Err(RecvTimeoutError::Disconnected) => thread.join().unwrap(),
    }
}

/// A waker that keeps a subscription, as that of an executor that keeps its
/// tasks does.
struct Owner {
    _subscription: Mutex<Box<dyn Subscription>>,
}

impl Owner {
    /// Keeps `subscription`, parked.
    fn waker(mut subscription: Box<dyn Subscription>) -> Waker {
        parks(&mut *subscription, Waker::noop());
        let owner = Self {
            _subscription: Mutex::new(subscription),
        };
        Waker::from(Arc::new(owner))
    }
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

/// A waker that does something.
struct Calls<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        self.0();
    }
}

fn parks(subscription: &mut dyn Subscription, waker: &Waker) {
    let next = pin!(subscription.next_manual_ack());
    assert!(next.poll(&mut Context::from_waker(waker)).is_pending());
}

fn one_unanswered() -> SubscribeOptions {
    SubscribeOptions {
        max_ack_pending: Some(1),
        ..SubscribeOptions::default()
    }
}

#[test]
fn a_waker_that_is_replaced_may_own_a_subscription() {
    ends(|| async {
        let provider = provider(0, 10);
        for filter in ["events.a.x", ">"] {
            let mut waiting = provider.subscribe(filter).await.unwrap();
            let owned = provider.subscribe(filter).await.unwrap();
            parks(&mut *waiting, &Owner::waker(owned));
            parks(&mut *waiting, Waker::noop());
            assert_eq!(provider.info().await.unwrap().consumers, 1);
        }
    });
}

#[test]
fn a_waker_that_is_replaced_may_own_another_handle_of_the_durable() {
    ends(|| async {
        let provider = provider(0, 10);
        let mut waiting = provider.subscribe_durable("c", ">").await.unwrap();
        let owned = provider.subscribe_durable("c", ">").await.unwrap();
        parks(&mut *waiting, &Owner::waker(owned));
        parks(&mut *waiting, Waker::noop());
    });
}

#[test]
fn a_waker_that_goes_with_its_handle_may_own_a_subscription() {
    ends(|| async {
        let provider = provider(0, 10);
        let mut dropped = provider.subscribe("events.a.x").await.unwrap();
        let owned = provider.subscribe("events.a.x").await.unwrap();
        parks(&mut *dropped, &Owner::waker(owned));
        drop(dropped);
        assert_eq!(provider.info().await.unwrap().consumers, 0);

        let mut closed = provider.subscribe_durable("c", ">").await.unwrap();
        let owned = provider.subscribe("events.a.x").await.unwrap();
        parks(&mut *closed, &Owner::waker(owned));
        closed.close().await.unwrap();
        assert_eq!(provider.info().await.unwrap().consumers, 1);
    });
}

#[test]
fn a_waker_that_is_woken_may_use_the_provider() {
    ends(|| async {
        let provider = MemoryProvider::builder()
            .max_age(Duration::from_secs(5))
            .build();
        let provider = Arc::new(provider.unwrap());
        let options = one_unanswered();
        let subscribing = provider.subscribe_with_options("events.a.x", &options);
        let mut waiting = subscribing.await.unwrap();
        publish(&provider, "events.a.x", 0..1).await;
        let _unanswered = waiting.next_manual_ack().await.unwrap().unwrap();

        let (used, uses) = mpsc::channel();
        let reached = Arc::clone(&provider);
        let waker = Waker::from(Arc::new(Calls(move || {
            let opening = reached.subscribe_durable("woken", "events.a.x");
            let opened = opening.now_or_never().unwrap();
            let _ = used.send(opened.is_ok());
        })));
        parks(&mut *waiting, &waker);
        // Whoever uses the provider first finds that the event is too old, and
        // wakes the handle that waits for room.
        tokio::time::advance(Duration::from_secs(6)).await;
        let opened = provider.subscribe_durable("other", "events.a.x").await;
        opened.unwrap();
        assert!(uses.try_recv().unwrap());
    });
}

#[test]
fn wakers_that_panic_leave_nobody_asleep() {
    ends(|| async {
        let provider = provider(0, 10);
        let (woken, wakes) = mpsc::channel();
        let mut readers = Vec::new();
        for (number, filter) in ["events.a.x", "events.a.*", ">"]
            .iter()
            .cycle()
            .take(9)
            .enumerate()
        {
            let mut reader = provider.subscribe(filter).await.unwrap();
            let woken = woken.clone();
            let waker = Waker::from(Arc::new(Calls(move || {
                assert!(number > 5, "a waker that panics");
                let _ = woken.send(number);
            })));
            parks(&mut *reader, &waker);
            readers.push(reader);
        }
        let publishing = AssertUnwindSafe(publish(&provider, "events.a.x", 0..1));
        assert!(publishing.catch_unwind().await.is_err());
        let mut woken: Vec<usize> = wakes.try_iter().collect();
        woken.sort_unstable();
        assert_eq!(woken, [6, 7, 8]);
        // The event was stored before anybody was woken.
        for mut reader in readers {
            assert_eq!(next(&mut *reader).await.sequence, 1);
        }
    });
}

/// A log subscriber that looks at a consumer whenever something is logged.
struct Looks(Arc<MemoryProvider>, mpsc::Sender<u64>);

impl tracing::Subscriber for Looks {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        let looking = self.0.consumer_info("c").now_or_never();
        let _ = self.1.send(looking.unwrap().unwrap().pending);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_a_consumer_logs_may_be_handled_with_a_look_at_it() {
    ends(|| async {
        let provider = Arc::new(provider(2, 10));
        let options = SubscribeOptions {
            max_deliver: Some(1),
            ..SubscribeOptions::default()
        };
        let opening = provider.subscribe_durable_with_options("c", "events.a.x", &options);
        let mut reader = opening.await.unwrap();
        let (look, looks) = mpsc::channel();
        let looking = Looks(Arc::clone(&provider), look);
        // With one subscriber, the lines that other tests reached first without it stay silent.
        let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        let _logging = tracing::subscriber::set_default(looking);

        publish(&provider, "events.a.x", 0..5).await;
        let pending = reader.next_manual_ack().await.unwrap().unwrap();
        assert_eq!(pending.received.sequence, 4);
        assert_eq!(looks.try_iter().collect::<Vec<u64>>(), [1], "a gap");

        pending.nak().await.unwrap();
        assert_eq!(
            looks.try_iter().collect::<Vec<u64>>(),
            [1],
            "the last delivery"
        );
        provider.publish(&event("events.a.x", 6)).await.unwrap();
        let pending = reader.next_manual_ack().await.unwrap().unwrap();
        assert_eq!(pending.received.sequence, 5);
    });
}
