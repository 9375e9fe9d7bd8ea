//! A timer exists while somebody waits for a deadline, where it is waited for.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use a3s_event_core::provider::{EventProvider, Subscription};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

use crate::{provider, publish};

#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A handle that owes an answer, and so waits for a deadline.
async fn owing(provider: &dyn EventProvider, delay: Duration) -> Box<dyn Subscription> {
    let mut handle = provider.subscribe_durable("c", "events.>").await.unwrap();
    provider
        .publish(&crate::event("events.a.x", 0))
        .await
        .unwrap();
    let pending = handle.next_manual_ack().await.unwrap().unwrap();
    pending.nak_after(delay).await.unwrap();
    handle
}

#[tokio::test(start_paused = true)]
async fn no_timer_is_left_by_a_wait_that_was_given_up() {
    let provider = provider(0, 10);
    let delay = Duration::from_secs(10);
    let mut handle = owing(&provider, delay).await;
    let counts = Arc::new(Counts::default());
    let waker = Waker::from(Arc::clone(&counts));

    let mut next = handle.next();
    assert!(
        next.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(next);
    tokio::time::sleep(2 * delay).await;
    assert_eq!(counts.0.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn no_timer_is_left_by_a_wait_that_found_an_event() {
    let provider = provider(0, 10);
    let delay = Duration::from_secs(10);
    let mut handle = owing(&provider, delay).await;
    let counts = Arc::new(Counts::default());
    let waker = Waker::from(Arc::clone(&counts));
    let mut context = Context::from_waker(&waker);

    assert!(handle.poll_next(&mut context).unwrap().is_pending());
    publish(&provider, "events.a.x", 1..2).await;
    assert_eq!(counts.0.load(Ordering::Relaxed), 1, "the event");
    assert!(handle.poll_next(&mut context).unwrap().is_ready());
    tokio::time::sleep(2 * delay).await;
    assert_eq!(counts.0.load(Ordering::Relaxed), 1);
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[test]
fn a_wait_that_moves_to_another_runtime_survives_the_first() {
    let (first, second) = (runtime(), runtime());
    let provider = provider(0, 10);
    let mut handle = first.block_on(owing(&provider, Duration::from_secs(10)));
    let mut next = handle.next_manual_ack();
    first.block_on(poll_fn(|cx| {
        assert!(next.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    drop(first);

    let again =
        second.block_on(async { tokio::time::timeout(Duration::from_secs(60), next).await });
    let again = again.expect("it comes again").unwrap().unwrap();
    assert_eq!(again.received.num_delivered, 2);
}

#[test]
fn a_stream_that_moves_to_another_runtime_goes_by_its_clock() {
    let (first, second) = (runtime(), runtime());
    let provider = provider(0, 10);
    let mut handle = first.block_on(owing(&provider, Duration::from_secs(10)));
    first.block_on(poll_fn(|cx| {
        assert!(handle.poll_next(cx).unwrap().is_pending());
        Poll::Ready(())
    }));

    // The first runtime is there, but nobody drives it.
    let (again, waited) = second.block_on(async {
        let started = Instant::now();
        let next = poll_fn(|cx| handle.poll_next(cx).unwrap());
        let again = tokio::time::timeout(Duration::from_secs(60), next).await;
        (again, started.elapsed())
    });
    let again = again.expect("it comes again").unwrap().unwrap();
    assert_eq!(again.num_delivered, 2);
    assert!(waited < Duration::from_secs(11), "{waited:?}");
}
