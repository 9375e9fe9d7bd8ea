//! Puts aside what cannot be processed: refused, terminated, or the death of
//! its reader.
//!
//! ```bash
//! cargo run --example dead_letters
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::{sync::Arc, time::Duration};

use a3s_event::{
    EventBus, Result, SubscriptionFilter,
    dlq::{DeadLetterKind, DlqHandler, MemoryDlqHandler},
    provider::{Subscription, memory::MemoryProvider},
    types::SubscribeOptions,
};
use serde_json::json;
use tokio::sync::oneshot;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let dead_letters = Arc::new(MemoryDlqHandler::default());
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(dead_letters.clone());

    println!("1. Four orders; `billing` may see each of them twice, and has a second to answer");
    for (order, total) in [
        (1, json!(9.5)),
        (2, json!("?")),
        (3, json!(0)),
        (4, json!(7.0)),
    ] {
        let payload = json!({"order": order, "total": total});
        bus.publish(
            "shop",
            "order.placed",
            &format!("Order {order}"),
            "shop",
            payload,
        )
        .await?;
    }
    bus.update_subscription(SubscriptionFilter {
        subscriber_id: "billing".to_string(),
        subjects: vec!["events.shop.>".to_string()],
        durable: true,
        options: Some(SubscribeOptions {
            max_deliver: Some(2),
            ack_wait_secs: Some(1),
            ..Default::default()
        }),
    })
    .await?;
    let orders = bus.subscribe_as("billing").await?;
    let (stop, stopped) = oneshot::channel();
    let billing = tokio::spawn(bill(orders, stopped, Health::Frail));

    // In a service, somebody watches the depth of the dead letters instead.
    while dead_letters.count().await? < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).expect("billing waits for orders");
    billing.await.expect("billing does not panic")?;

    println!("\n2. The dead letters, newest first, each with its event as it was");
    for letter in dead_letters.list(10).await? {
        let (kind, reason) = (letter.kind.as_str(), &letter.reason);
        println!("   {}: {kind}, {reason}", letter.event.event.summary);
        println!("     {}", letter.event.event.payload);
    }

    println!("\n3. Nothing is wrong with order 4: it is replayed to a worker that lives");
    let orders = bus.subscribe_as("billing").await?;
    let (stop, stopped) = oneshot::channel();
    let billing = tokio::spawn(bill(orders, stopped, Health::Sound));
    for letter in dead_letters.list(10).await? {
        if letter.kind == DeadLetterKind::Exhausted {
            bus.replay(&letter).await?;
        }
    }
    while bus.metrics().snapshot().acked < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).expect("billing waits for orders");
    billing.await.expect("billing does not panic")?;
    bus.close().await
}

/// Whether a worker survives order 4.
#[derive(PartialEq)]
enum Health {
    Frail,
    Sound,
}

/// Bills orders until it is told to stop, which loses none: `next_manual_ack`
/// can be dropped, and `close` gives back what nobody has seen.
async fn bill(
    mut orders: Box<dyn Subscription>,
    mut stopped: oneshot::Receiver<()>,
    health: Health,
) -> Result<()> {
    loop {
        let pending = tokio::select! {
            _ = &mut stopped => break,
            next = orders.next_manual_ack() => match next? {
                Some(pending) => pending,
                None => break,
            },
        };
        let received = &pending.received;
        let order = &received.event.payload["order"];
        let total = received.event.payload["total"].as_f64();
        let delivery = format!("   order {order}, delivery {}:", received.num_delivered);
        match total {
            _ if *order == 4 && health == Health::Frail => {
                println!("{delivery} the worker dies without an answer");
                drop(pending);
            }
            None => {
                println!("{delivery} refused, the total is no number");
                pending.nak().await?;
            }
            Some(0.0) => {
                println!("{delivery} terminated, there is nothing to bill");
                pending.term("nothing to bill").await?;
            }
            Some(total) => {
                println!("{delivery} billed {total}");
                pending.ack().await?;
            }
        }
    }
    orders.close().await
}
