//! Does anything in memory cost more for what is retained, subscribed or
//! unanswered besides? Each row compares the same work at two sizes.

use std::{hint::black_box, sync::Arc};

use a3s_event::{
    Event,
    provider::{EventProvider, PendingEvent, Subscription},
    types::{PublishOptions, SubscribeOptions},
};
use a3s_event_benches::{
    Arguments, Goal, Stopwatch, Table, event, events, memory, payload, payload_of, runtime,
    single_thread,
};
use tokio::runtime::Runtime;

const SUBJECT: &str = "events.market.forex.usd_cny";

fn main() {
    let arguments = Arguments::read();
    let title = "Growth in memory: the same work, beside it at another size";
    let table = Table::new(title, &arguments);
    publishing(&table, &arguments);
    reading_back(&table, &arguments);
    unanswered(&table, &arguments);
}

fn publishing(table: &Table, arguments: &Arguments) {
    let runtime = runtime();
    let rounds = arguments.scaled(30_000);

    let subscribed = [10, 10_000].map(|others| {
        let provider = memory(0);
        wait_elsewhere(&runtime, &provider, arguments.scaled(others));
        provider
    });
    table.compare(
        "publish with 10,000 subscribers on other subjects, beside 10,",
        [("time", Goal::AtMost(1.1)), ("cpu", Goal::AtMost(1.1))],
        || publish_all(&runtime, &*subscribed[1], &events(rounds)),
        || publish_all(&runtime, &*subscribed[0], &events(rounds)),
    );

    // No more than the smallest history holds: what a publish evicts is then of
    // an earlier round and nobody else's, so that it is freed.
    let turn = arguments.scaled(10_000);
    let full = [10_000, 100_000, 1_000_000].map(|retained| {
        let provider = memory(arguments.scaled(retained));
        publish_all(&runtime, &*provider, &events(arguments.scaled(retained)));
        provider
    });
    for (name, larger, smaller) in [
        ("publish with a full history of 100k, beside 10k", 1, 0),
        ("publish with a full history of 1M, beside 100k", 2, 1),
    ] {
        table.compare(
            name,
            [("", Goal::AtMost(1.25))],
            || [publish_all(&runtime, &*full[larger], &events(turn))[0]],
            || [publish_all(&runtime, &*full[smaller], &events(turn))[0]],
        );
    }

    let [small, large] =
        [64, 1024 * 1024].map(|size| vec![event(SUBJECT, payload_of(size)); rounds]);
    table.compare(
        "publish of 1 MiB, beside 64 bytes",
        [("", Goal::AtMost(1.25))],
        || [publish_all(&runtime, &*memory(0), &large)[0]],
        || [publish_all(&runtime, &*memory(0), &small)[0]],
    );

    let ids = (0..arguments.scaled(100_000))
        .map(|number| format!("evt-01ARZ3NDEKTSV4RRFFQ69G{number:06}"));
    let with: Vec<_> = ids
        .map(|id| PublishOptions::default().with_msg_id(id))
        .collect();
    let without = vec![PublishOptions::default(); with.len()];
    let published = event(SUBJECT, payload());
    table.compare(
        "publish with a fresh msg_id, beside none",
        [("", Goal::More(150.0))],
        || publish_with(&runtime, &published, &with),
        || publish_with(&runtime, &published, &without),
    );
}

fn reading_back(table: &Table, arguments: &Arguments) {
    let runtime = single_thread();
    // A tenth of the events on one subject, a tenth spread over many, at any size.
    let filled = [10_000, 1_000_000].map(|retained| {
        let provider = memory(0);
        runtime.block_on(async {
            for number in 0..arguments.scaled(retained) {
                let subject = match number % 10 {
                    0 => format!("events.many.t{}", number / 10 % 100),
                    category => format!("events.cat{category}.t"),
                };
                let event = event(&subject, payload());
                provider.publish(&event).await.expect("published");
            }
        });
        provider
    });
    let calls = arguments.scaled(2000);
    for (name, filter) in [
        ("history(50) of one subject", Some("events.cat7.t")),
        ("history(50) of 100 subjects", Some("events.many.>")),
        ("history(50) without a match", Some("events.none.>")),
        ("history(50) of everything", None),
    ] {
        let read = |provider: &dyn EventProvider| {
            let stopwatch = Stopwatch::start();
            runtime.block_on(async {
                for _ in 0..calls {
                    black_box(provider.history(filter, 50).await.expect("read"));
                }
            });
            stopwatch.time(calls)
        };
        table.compare(
            &format!("{name} of 1M, beside 10k"),
            [("", Goal::AtMost(1.25))],
            || read(&*filled[1]),
            || read(&*filled[0]),
        );
    }
    let info = |provider: &dyn EventProvider| {
        let stopwatch = Stopwatch::start();
        runtime.block_on(async {
            for _ in 0..calls {
                black_box(provider.info().await.expect("read"));
            }
        });
        stopwatch.time(calls)
    };
    table.compare(
        "info() of 1M, beside 10k",
        [("", Goal::AtMost(1.25))],
        || info(&*filled[1]),
        || info(&*filled[0]),
    );
}

fn unanswered(table: &Table, arguments: &Arguments) {
    let runtime = single_thread();
    // Kept from round to round, so that no delivery pays for their memory.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (few, many) = (100, arguments.scaled(100_000).max(100));
    table.compare(
        "100k in flight, beside 100,",
        [
            ("deliver", Goal::AtMost(1.3)),
            ("ack", Goal::AtMost(1.3)),
            ("nak", Goal::AtMost(1.3)),
            ("redeliver", Goal::AtMost(1.3)),
        ],
        || in_flight(&runtime, &mut first, many, 1),
        || in_flight(&runtime, &mut second, few, many / few),
    );
    table.compare(
        "redelivery at 100k in flight, beside a first delivery",
        [("", Goal::AtMost(2.0))],
        || [in_flight(&runtime, &mut first, many, 1)[3]],
        || [in_flight(&runtime, &mut second, many, 1)[0]],
    );
}

/// Nanoseconds and CPU a publish.
fn publish_all(runtime: &Runtime, provider: &dyn EventProvider, events: &[Event]) -> [f64; 2] {
    let stopwatch = Stopwatch::start();
    runtime.block_on(async {
        for event in events {
            black_box(provider.publish(event).await.expect("published"));
        }
    });
    stopwatch.time_and_cpu(events.len())
}

fn publish_with(runtime: &Runtime, event: &Event, options: &[PublishOptions]) -> [f64; 1] {
    let provider = memory(0);
    let stopwatch = Stopwatch::start();
    runtime.block_on(async {
        for options in options {
            let published = provider.publish_with_options(event, options);
            black_box(published.await.expect("published"));
        }
    });
    stopwatch.time(options.len())
}

/// Lets subscribers wait for events that do not come.
fn wait_elsewhere(runtime: &Runtime, provider: &Arc<dyn EventProvider>, subscribers: usize) {
    for number in 0..subscribers {
        let filter = format!("events.other.t{number}");
        let mut subscription = runtime
            .block_on(provider.subscribe(&filter))
            .expect("subscribed");
        runtime.spawn(async move { subscription.next().await });
    }
}

/// Delivers `count` events, refuses all, delivers them again and acknowledges
/// them, `times` times: nanoseconds a delivery, ack, nak and redelivery.
fn in_flight(
    runtime: &Runtime,
    held: &mut Vec<PendingEvent>,
    count: usize,
    times: usize,
) -> [f64; 4] {
    let (provider, events) = (memory(0), events(count));
    let options = SubscribeOptions::default().with_max_ack_pending(-1);
    let mut sums = [0.0; 4];
    runtime.block_on(async {
        let durable = provider.subscribe_durable_with_options("desk", "events.market.>", &options);
        let mut durable = durable.await.expect("subscribed");
        for _ in 0..times {
            for event in &events {
                provider.publish(event).await.expect("published");
            }
            let deliver = take(&mut *durable, held, count).await;
            let stopwatch = Stopwatch::start();
            for pending in held.drain(..) {
                pending.nak().await.expect("answered");
            }
            let [nak] = stopwatch.time(count);
            let redeliver = take(&mut *durable, held, count).await;
            let stopwatch = Stopwatch::start();
            for pending in held.drain(..) {
                pending.ack().await.expect("answered");
            }
            let [ack] = stopwatch.time(count);
            for (sum, spent) in sums.iter_mut().zip([deliver, ack, nak, redeliver]) {
                *sum += spent / times as f64;
            }
        }
    });
    sums
}

async fn take(
    subscription: &mut dyn Subscription,
    held: &mut Vec<PendingEvent>,
    count: usize,
) -> f64 {
    let stopwatch = Stopwatch::start();
    for _ in 0..count {
        let pending = subscription.next_manual_ack().await.expect("open");
        held.push(pending.expect("open"));
    }
    let [spent] = stopwatch.time(count);
    spent
}
