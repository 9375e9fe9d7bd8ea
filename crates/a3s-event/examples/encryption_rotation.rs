//! Encrypts payloads, rotates the key while the bus is shared, and makes old
//! events unreadable on purpose.
//!
//! ```bash
//! cargo run --example encryption_rotation
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::sync::Arc;

use a3s_event::{
    Event, EventBus, Result,
    crypto::{Aes256GcmEncryptor, EncryptionPolicy, SecretKey},
    provider::memory::MemoryProvider,
};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    println!("1. A key encrypts what is published");
    let keys = Arc::new(Aes256GcmEncryptor::with_key(
        "2026-01",
        SecretKey::generate()?,
    )?);
    let mut bus = EventBus::builder(MemoryProvider::default())
        .encryption_policy(EncryptionPolicy::Required)
        .build();
    bus.set_encryptor(keys.clone());
    bus.publish_event(&salary("evt-1", 5200.5)).await?;
    show(&bus).await?;

    println!("\n2. Another key takes over, while the bus is in use");
    keys.add_key("2026-02", SecretKey::generate()?)?;
    keys.rotate_to("2026-02")?;
    bus.publish_event(&salary("evt-2", 5400.0)).await?;
    show(&bus).await?;

    println!("\n3. Somebody with access to the stream copies a ciphertext into another event");
    let mut forged = salary("evt-3", 0.0);
    forged.payload = stored(&bus).await?[0].payload.clone();
    bus.provider().publish(&forged).await?;
    read(&bus).await?;

    println!("\n4. The first key is destroyed: what it encrypted is gone for good");
    keys.destroy_key("2026-01")?;
    read(&bus).await
}

fn salary(id: &str, amount: f64) -> Event {
    let payload = json!({"employee": 4711, "salary": amount});
    let subject = "events.hr.salary.changed";
    let mut event = Event::new(subject, "hr", "A salary changed", "payroll", payload);
    // Fixed, so that the output is the same every time.
    event.id = id.to_string();
    event
}

/// The events as the stream holds them, newest first.
async fn stored(bus: &EventBus) -> Result<Vec<Event>> {
    bus.provider().history(None, 10).await
}

/// Shows what readers of the bus get beside what the stream holds.
async fn show(bus: &EventBus) -> Result<()> {
    let read = bus.list_events(Some("hr"), 10).await?;
    for (read, stored) in read.iter().zip(stored(bus).await?) {
        let hidden = !stored.payload.to_string().contains("salary");
        println!("   {} {}", read.id, read.payload);
        println!(
            "     in the stream: key {}, salary hidden: {hidden}",
            stored.payload["keyId"]
        );
        println!(
            "     not hidden: \"{}\" on {}",
            stored.summary, stored.subject
        );
    }
    Ok(())
}

/// Reads every event there is. What cannot be decrypted is an error, once.
async fn read(bus: &EventBus) -> Result<()> {
    let mut events = bus.subscribe("events.hr.>").await?;
    for _ in 0..stored(bus).await?.len() {
        match events.next().await {
            Ok(Some(received)) => println!("   {} {}", received.event.id, received.event.payload),
            Ok(None) => break,
            Err(error) => println!("   {}: {error}", error.kind()),
        }
    }
    Ok(())
}
