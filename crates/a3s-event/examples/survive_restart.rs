//! Restarts a service: its subscriptions and their positions are still there.
//!
//! The provider stands for a server that stays up. The memory provider itself
//! ends with its process.
//!
//! ```bash
//! cargo run --example survive_restart
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::{error::Error, fs, path::Path, sync::Arc};

use a3s_event::{
    EventBus, Result, SubscriptionFilter,
    provider::{EventProvider, memory::MemoryProvider},
    state::FileStateStore,
};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let server: Arc<dyn EventProvider> = Arc::new(MemoryProvider::default());
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("subscriptions.json");

    println!("1. First life: `analyst` subscribes and dies at work");
    let bus = service(&server, &file).await?;
    bus.update_subscription(SubscriptionFilter {
        subscriber_id: "analyst".to_string(),
        subjects: vec!["events.market.>".to_string()],
        durable: true,
        ..Default::default()
    })
    .await?;
    for rate in [1.08, 1.09, 1.10] {
        let summary = format!("EUR/USD {rate}");
        bus.publish(
            "market",
            "forex.eur_usd",
            &summary,
            "ecb",
            json!({ "rate": rate }),
        )
        .await?;
    }
    read(&bus, 2).await?;
    drop(bus);
    println!("   The second was not acknowledged: `next` does that when it is called again.");

    println!("\n2. What the file kept");
    for line in fs::read_to_string(&file)?.lines() {
        println!("   {line}");
    }

    println!("\n3. Second life: nobody registers `analyst` again");
    let bus = service(&server, &file).await?;
    for filter in bus.list_subscriptions().await {
        println!(
            "   restored: {} on {}",
            filter.subscriber_id,
            filter.subjects.join(", ")
        );
    }
    read(&bus, 2).await?;
    Ok(())
}

/// Starts the service: what it does first in every life.
async fn service(server: &Arc<dyn EventProvider>, file: &Path) -> Result<EventBus> {
    let mut bus = EventBus::from_provider(Arc::clone(server));
    bus.set_state_store(Arc::new(FileStateStore::open(file).await?))
        .await?;
    Ok(bus)
}

async fn read(bus: &EventBus, count: usize) -> Result<()> {
    let mut events = bus.subscribe_as("analyst").await?;
    for _ in 0..count {
        let Some(received) = events.next().await? else {
            break;
        };
        println!(
            "   {}, delivery {}",
            received.event.summary, received.num_delivered
        );
    }
    Ok(())
}
