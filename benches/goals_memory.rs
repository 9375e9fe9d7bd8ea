//! What does delivery in memory cost beside a bare `tokio::sync::broadcast` of
//! the same handles, which retains nothing, filters nothing and expects no
//! answer?

use std::{hint::black_box, sync::Arc, time::Instant};

use a3s_event::{
    Event,
    provider::{EventProvider, Subscription},
};
use a3s_event_benches::{Arguments, Goal, Stopwatch, Table, events, memory, quantiles, runtime};
use futures_util::StreamExt;
use tokio::{
    runtime::Runtime,
    sync::{
        Barrier,
        broadcast::{self, Receiver, Sender},
    },
};

/// Which quantiles of a latency are compared.
const SHARES: [f64; 3] = [0.5, 0.99, 0.999];
const OPEN: &str = "an open subscription";

/// How a subscriber reads.
#[derive(Clone, Copy)]
enum Reading {
    Next,
    Stream,
    Answers,
}

fn main() {
    let arguments = Arguments::read();
    let table = Table::new(
        "Delivery in memory, beside a bare broadcast of the same handles",
        &arguments,
    );
    let runtime = runtime();

    let many: Arc<[Event]> = events(arguments.scaled(100_000)).into();
    for (name, goal, reading) in [
        ("one to one, next", Goal::AtMost(4.0), Reading::Next),
        ("one to one, stream", Goal::Stated, Reading::Stream),
        ("one to one, answered", Goal::Stated, Reading::Answers),
    ] {
        table.compare(
            name,
            [("", goal)],
            || ours(&runtime, &many, 1, reading),
            || bare(&runtime, &many, 1),
        );
    }

    let readers = arguments.scaled(1000);
    let few: Arc<[Event]> = events(arguments.scaled(500)).into();
    for (name, goal, reading) in [
        ("fan-out to 1000, next", Goal::AtMost(1.8), Reading::Next),
        (
            "fan-out to 1000, stream",
            Goal::AtMost(1.2),
            Reading::Stream,
        ),
    ] {
        table.compare(
            name,
            [("", goal)],
            || ours(&runtime, &few, readers, reading),
            || bare(&runtime, &few, readers),
        );
    }

    table.compare(
        "publish with a busy subscriber,",
        [
            ("p50", Goal::Stated),
            ("p99", Goal::Stated),
            ("p99.9", Goal::AtMost(10.0)),
        ],
        || our_latency(&runtime, &many),
        || bare_latency(&runtime, &many),
    );
}

/// Nanoseconds a delivery, of all events to each of the readers.
fn ours(runtime: &Runtime, events: &Arc<[Event]>, readers: usize, reading: Reading) -> [f64; 1] {
    let provider = memory(0);
    let readers = subscribe(runtime, &*provider, readers, reading, events.len());
    let events = Arc::clone(events);
    let (spent, ()) = deliver(runtime, readers, events.len(), async move {
        for event in &*events {
            provider.publish(event).await.expect("published");
        }
    });
    spent
}

fn bare(runtime: &Runtime, events: &Arc<[Event]>, readers: usize) -> [f64; 1] {
    let (sender, readers) = channel(readers, events.len());
    let events = Arc::clone(events);
    let (spent, ()) = deliver(runtime, readers, events.len(), async move {
        for event in &*events {
            sender.send(event.clone()).expect("somebody receives");
        }
    });
    spent
}

/// Quantiles of what single publishes take.
fn our_latency(runtime: &Runtime, events: &Arc<[Event]>) -> [f64; 3] {
    let provider = memory(0);
    let readers = subscribe(runtime, &*provider, 1, Reading::Next, events.len());
    let events = Arc::clone(events);
    let (_, times) = deliver(runtime, readers, events.len(), async move {
        let mut times = Vec::with_capacity(events.len());
        for event in &*events {
            let start = Instant::now();
            provider.publish(event).await.expect("published");
            times.push(start.elapsed().as_nanos() as u64);
        }
        times
    });
    quantiles(times, SHARES)
}

fn bare_latency(runtime: &Runtime, events: &Arc<[Event]>) -> [f64; 3] {
    let (sender, readers) = channel(1, events.len());
    let events = Arc::clone(events);
    let (_, times) = deliver(runtime, readers, events.len(), async move {
        let mut times = Vec::with_capacity(events.len());
        for event in &*events {
            let start = Instant::now();
            sender.send(event.clone()).expect("somebody receives");
            times.push(start.elapsed().as_nanos() as u64);
        }
        times
    });
    quantiles(times, SHARES)
}

/// Opens subscriptions and makes a task of each that reads `count` events.
fn subscribe(
    runtime: &Runtime,
    provider: &dyn EventProvider,
    readers: usize,
    reading: Reading,
    count: usize,
) -> Vec<impl Future<Output = ()> + Send + use<>> {
    let open = |_| {
        let subscription = runtime.block_on(provider.subscribe("events.market.>"));
        read(subscription.expect("subscribed"), reading, count)
    };
    (0..readers).map(open).collect()
}

async fn read(mut subscription: Box<dyn Subscription>, reading: Reading, count: usize) {
    match reading {
        Reading::Next => {
            for _ in 0..count {
                black_box(subscription.next().await.expect(OPEN).expect(OPEN));
            }
        }
        Reading::Stream => {
            let mut stream = subscription.into_stream();
            for _ in 0..count {
                black_box(stream.next().await.expect(OPEN).expect(OPEN));
            }
        }
        Reading::Answers => {
            for _ in 0..count {
                let pending = subscription
                    .next_manual_ack()
                    .await
                    .expect(OPEN)
                    .expect(OPEN);
                black_box(pending).ack().await.expect("answered");
            }
        }
    }
}

/// A channel that holds everything, so that nobody lags, and a task of each receiver.
fn channel(readers: usize, count: usize) -> (Sender<Event>, Vec<impl Future<Output = ()> + Send>) {
    let (sender, _) = broadcast::channel(count);
    let open = |_| receive(sender.subscribe(), count);
    let readers = (0..readers).map(open).collect();
    (sender, readers)
}

async fn receive(mut receiver: Receiver<Event>, count: usize) {
    for _ in 0..count {
        black_box(receiver.recv().await.expect(OPEN));
    }
}

/// Runs the publisher and the readers until all are done; returns the
/// nanoseconds a delivery, and what the publisher returned.
fn deliver<T: Send + 'static>(
    runtime: &Runtime,
    readers: Vec<impl Future<Output = ()> + Send + 'static>,
    count: usize,
    publisher: impl Future<Output = T> + Send + 'static,
) -> ([f64; 1], T) {
    runtime.block_on(async {
        let deliveries = readers.len() * count;
        let ready = Arc::new(Barrier::new(readers.len() + 1));
        let start = |reader| {
            let ready = Arc::clone(&ready);
            tokio::spawn(async move {
                ready.wait().await;
                reader.await;
            })
        };
        let readers: Vec<_> = readers.into_iter().map(start).collect();
        ready.wait().await;
        let stopwatch = Stopwatch::start();
        let published = tokio::spawn(publisher)
            .await
            .expect("a publisher that ends");
        for reader in readers {
            reader.await.expect("a reader that ends");
        }
        (stopwatch.time(deliveries), published)
    })
}
