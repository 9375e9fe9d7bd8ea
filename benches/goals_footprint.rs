//! How many allocations does a publish or a delivery in memory make, and how
//! many bytes does a retained event, a remembered message id and an idle
//! subscription keep?

use std::alloc::System;

use a3s_event::{provider::EventProvider, types::PublishOptions};
use a3s_event_benches::{Arguments, Table, event, events, memory, payload, single_thread};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What was allocated since the region began, and is not freed.
fn bytes(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

fn allocations(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    (change.allocations + change.reallocations) as f64
}

fn main() {
    let arguments = Arguments::read();
    let table = Table::new("Footprint in memory", &arguments);
    let runtime = single_thread();
    let count = arguments.scaled(100_000);

    // As many again before, so that what grows by doubling has room.
    let (provider, fresh) = (memory(count), events(2 * count));
    runtime.block_on(async {
        let (before, measured) = fresh.split_at(count);
        provider.publish_batch(before).await.expect("published");
        let region = Region::new(ALLOCATOR);
        for event in measured {
            provider.publish(event).await.expect("published");
        }
        table.figure(
            "publish",
            "allocations",
            Some(2.0),
            allocations(&region) / count as f64,
        );

        let mut stream = provider
            .subscribe("events.market.>")
            .await
            .expect("subscribed");
        let region = Region::new(ALLOCATOR);
        for _ in 0..count {
            stream
                .next_manual_ack()
                .await
                .expect("open")
                .expect("open")
                .ack()
                .await
                .expect("answered");
        }
        table.figure(
            "delivery and ack",
            "allocations",
            None,
            allocations(&region) / count as f64,
        );
    });
    drop((provider, fresh));

    let region = Region::new(ALLOCATOR);
    let payloads: Vec<_> = (0..count).map(|_| payload()).collect();
    let own = size_of_val(&*payloads) as f64;
    table.figure(
        "payload of four fields",
        "bytes",
        None,
        (bytes(&region) - own) / count as f64,
    );
    drop(payloads);

    let region = Region::new(ALLOCATOR);
    let provider = memory(count);
    runtime.block_on(async {
        for event in events(count) {
            provider.publish(&event).await.expect("published");
        }
    });
    table.figure(
        "retained event, index and payload included",
        "bytes",
        None,
        bytes(&region) / count as f64,
    );
    drop(provider);

    let (provider, published) = (memory(1), event("events.market.forex", payload()));
    let ids = (0..count).map(|number| format!("evt-01ARZ3NDEKTSV4RRFFQ69G{number:06}"));
    let options: Vec<_> = ids
        .map(|id| PublishOptions::default().with_msg_id(id))
        .collect();
    let region = Region::new(ALLOCATOR);
    runtime.block_on(async {
        for options in &options {
            provider
                .publish_with_options(&published, options)
                .await
                .expect("published");
        }
    });
    table.figure(
        "remembered msg_id",
        "bytes",
        Some(64.0),
        bytes(&region) / count as f64,
    );
    drop(provider);

    let provider = memory(0);
    let region = Region::new(ALLOCATOR);
    let subscriptions: Vec<_> = (0..count)
        .map(|number| {
            let filter = format!("events.other.t{number}");
            runtime
                .block_on(provider.subscribe(&filter))
                .expect("subscribed")
        })
        .collect();
    table.figure(
        "idle subscription, each on a filter of its own",
        "bytes",
        None,
        bytes(&region) / count as f64,
    );
    drop(subscriptions);
}
