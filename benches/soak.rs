//! Does the reader of a durable ever pause? Publishes 10 million small events,
//! or as many as the first argument says, to a server of its own with storage
//! in memory, acknowledges each, and fails if more than a second passes between
//! two deliveries, or if an event is missing.
//!
//! ```bash
//! cargo xtask soak
//! ```

#![allow(clippy::print_stdout, reason = "the progress of minutes")]

use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use a3s_event::{
    Event,
    provider::{
        EventProvider, Subscription,
        nats::{NatsConfig, NatsProvider, StorageType},
    },
    types::SubscribeOptions,
};
use a3s_event_benches::runtime;
use a3s_event_nats_server::Server;
use tokio::sync::Notify;

const EVENTS: u64 = 10_000_000;
const BATCH: u64 = 2_000;
/// How far the publisher may be ahead of the reader. Less than is retained.
const AHEAD: u64 = 100_000;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const REPORT_EVERY: u64 = 1_000_000;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let events = env::args()
        .nth(1)
        .map_or(Ok(EVENTS), |count| count.parse())?;
    let server = Server::start()?;
    println!("{events} events through nats-server {}", server.version());
    runtime().block_on(async {
        let provider = NatsProvider::connect(NatsConfig {
            url: server.url().to_owned(),
            storage: StorageType::Memory,
            max_events: 1_000_000,
            ..NatsConfig::default()
        });
        let provider: Arc<dyn EventProvider> = Arc::new(provider.await?);
        let options = SubscribeOptions::default()
            .with_prefetch(1_000)
            .with_max_ack_pending(10_000);
        let subscription = provider
            .subscribe_durable_with_options("soak", "events.>", &options)
            .await?;
        let progress = Arc::new(Progress::default());
        let publishing = tokio::spawn(publish(provider, events, Arc::clone(&progress)));
        read(subscription, events, &progress).await?;
        publishing.await?
    })
}

/// How many events the reader has.
#[derive(Default)]
struct Progress {
    read: AtomicU64,
    advanced: Notify,
}

async fn publish(
    provider: Arc<dyn EventProvider>,
    events: u64,
    progress: Arc<Progress>,
) -> Outcome {
    let payload = serde_json::json!({"rate": 7.3521});
    let event = Event::new("events.market.forex", "market", "", "soak", payload);
    let batch = vec![event; usize::try_from(BATCH)?];
    let mut published = 0;
    while published < events {
        while published > progress.read.load(Ordering::Relaxed) + AHEAD {
            progress.advanced.notified().await;
        }
        let size = BATCH.min(events - published);
        provider
            .publish_batch(&batch[..usize::try_from(size)?])
            .await?;
        published += size;
    }
    Ok(())
}

async fn read(
    mut subscription: Box<dyn Subscription>,
    events: u64,
    progress: &Progress,
) -> Outcome {
    let started = Instant::now();
    let mut before = started;
    let mut longest = Duration::ZERO;
    let mut again = 0;
    let mut last = 0;
    while last < events {
        let next = subscription.next_manual_ack().await?;
        let pending = next.ok_or("the subscription ended")?;
        let now = Instant::now();
        let pause = now - before;
        before = now;
        longest = longest.max(pause);
        let sequence = pending.received.sequence;
        if pause > LONGEST_PAUSE {
            return Err(format!("{pause:?} without an event before sequence {sequence}").into());
        }
        pending.ack().await?;
        if sequence <= last {
            again += 1;
            continue;
        }
        if sequence != last + 1 {
            return Err(format!("sequence {sequence} came after {last}").into());
        }
        last = sequence;
        progress.read.store(last, Ordering::Relaxed);
        if last.is_multiple_of(BATCH) {
            progress.advanced.notify_one();
        }
        if last.is_multiple_of(REPORT_EVERY) {
            let rate = last as f64 / started.elapsed().as_secs_f64();
            println!("{last:>9} read, {rate:.0} a second, longest pause {longest:?}");
        }
    }
    println!("{events} events, {again} came again, longest pause {longest:?}");
    subscription.close().await?;
    Ok(())
}
