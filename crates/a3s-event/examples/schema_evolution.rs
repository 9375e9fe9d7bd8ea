//! Checks payloads before they are published, and changes of schemas before
//! they hurt.
//!
//! ```bash
//! cargo run --example schema_evolution
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::sync::Arc;

use a3s_event::{
    Event, EventBus, Result,
    provider::memory::MemoryProvider,
    schema::{Compatibility, EventSchema, MemorySchemaRegistry, SchemaRegistry, check_evolution},
};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let schemas = Arc::new(MemorySchemaRegistry::with_compatibility(
        Compatibility::Backward,
    ));
    let bus = EventBus::with_schema_registry(MemoryProvider::default(), schemas.clone());

    println!("1. Version 1 of `order.placed` requires `order`, `total` and `currency`");
    schemas.register(order_placed(1, &["order", "total", "currency"]))?;
    publish(
        &bus,
        1,
        json!({"order": 1, "total": 9.5, "currency": "EUR"}),
    )
    .await?;
    publish(&bus, 1, json!({"order": 2})).await?;

    println!("\n2. Version 2 would require `country` too: old orders have none");
    if let Err(error) =
        schemas.register(order_placed(2, &["order", "total", "currency", "country"]))
    {
        println!("   refused: {error}");
    }

    println!("\n3. Version 2 makes the currency optional, euro unless it says otherwise");
    schemas.register(order_placed(2, &["order", "total"]))?;
    publish(&bus, 2, json!({"order": 3, "total": 12.0})).await?;
    publish(
        &bus,
        2,
        json!({"order": 4, "total": 7.0, "currency": "USD"}),
    )
    .await?;

    println!("\n4. Readers know both versions");
    let mut orders = bus.list_events(Some("shop"), 10).await?;
    orders.reverse();
    for order in &orders {
        let (id, total) = (&order.payload["order"], &order.payload["total"]);
        let currency = match (order.version, order.payload["currency"].as_str()) {
            (2.., None) => "EUR",
            (_, currency) => currency.unwrap_or_default(),
        };
        let version = order.version;
        println!("   version {version}: order {id}, {total} {currency}");
    }

    println!("\n5. A check without registering, for continuous integration");
    let latest = order_placed(2, &["order", "total"]);
    let next = order_placed(3, &["order"]);
    for mode in [Compatibility::Backward, Compatibility::Forward] {
        match check_evolution(&latest, &next, mode) {
            Ok(()) => println!("   {}: fine", mode.as_str()),
            Err(error) => println!("   {}: {error}", mode.as_str()),
        }
    }
    Ok(())
}

fn order_placed(version: u32, required: &[&str]) -> EventSchema {
    EventSchema {
        event_type: "order.placed".to_string(),
        version,
        required_fields: required.iter().map(ToString::to_string).collect(),
        description: "A customer placed an order".to_string(),
    }
}

async fn publish(bus: &EventBus, version: u32, payload: Value) -> Result<()> {
    let text = payload.to_string();
    let subject = bus.provider().build_subject("shop", "order.placed");
    let event = Event::typed(
        subject,
        "shop",
        "order.placed",
        version,
        "An order",
        "shop",
        payload,
    );
    match bus.publish_event(&event).await {
        Ok(sequence) => println!("   {text} is event {sequence}"),
        Err(error) => println!("   {text} is refused: {error}"),
    }
    Ok(())
}
