//! Replays a year of exchange rates as events: published, received live,
//! refused and received again, queried, counted.
//!
//! The rates are the euro foreign exchange reference rates of the European
//! Central Bank, see `data/README.md`. Each cell of the table is one event.
//!
//! ```bash
//! cargo run --example quickstart
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::{collections::HashMap, error::Error};

use a3s_event::{
    Event, EventBus, Result, SubscriptionFilter,
    provider::{Subscription, memory::MemoryProvider},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, to_value};

const TABLE: &str = include_str!("data/eurofxref.csv");
const SOURCE: &str = "European Central Bank";

/// The payload of an event: what one euro costs on a day.
#[derive(Serialize, Deserialize)]
struct Rate {
    date: String,
    currency: String,
    price: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (rates, skipped) = read_table()?;
    let bus = EventBus::new(MemoryProvider::default());
    let provider = bus.provider_name();
    println!("The euro reference rates of the {SOURCE}, replayed as events");
    println!("Provider: {provider}. Nothing leaves this process.");

    println!("\n1. LIVE: a subscriber to `events.market.>` watches while rates are published");
    println!("   (`>` stands for everything below) and tells moves of more than 2.5 % in a day.");
    let live = bus.subscribe("events.market.>").await?;
    let (published, received) = tokio::try_join!(publish(&bus, &rates), watch(live))?;
    println!("   Published {published} rates, the subscriber received {received}.");
    println!("   {skipped}");

    println!("\n2. DURABLE: `treasury` reads EUR/USD, all that was published before it came,");
    println!("   and answers every event itself. A move above 1 % looks wrong: refused once.");
    bus.update_subscription(SubscriptionFilter {
        subscriber_id: "treasury".to_string(),
        subjects: vec!["events.market.forex.eur_usd".to_string()],
        durable: true,
        ..Default::default()
    })
    .await?;
    println!("   Away after {}.", book(&bus, 200).await?);
    println!("   Back again, the position was kept.");
    println!("   Done after {}.", book(&bus, usize::MAX).await?);

    println!("\n3. HISTORY: the newest five events of the category `market`, newest first");
    for event in bus.list_events(Some("market"), 5).await? {
        println!("   {:<28} {}", event.subject, event.summary);
    }

    println!("\n4. COUNTS: by category, and what the bus saw");
    let counts = bus.counts(10_000).await?;
    let (market, system) = (counts.categories["market"], counts.categories["system"]);
    println!(
        "   {} events: market {market}, system {system}",
        counts.total
    );
    let seen = bus.metrics().snapshot();
    let (first, again) = (seen.received - seen.redelivered, seen.redelivered);
    println!(
        "   {first} first deliveries, {} refused, {again} delivered again",
        seen.nacked
    );
    Ok(())
}

/// Publishes the rates in the order of days, and says when it begins and ends.
async fn publish(bus: &EventBus, rates: &[Rate]) -> Result<usize> {
    bus.publish(
        "system",
        "replay.started",
        "Replay started",
        SOURCE,
        json!({}),
    )
    .await?;
    for rate in rates {
        let topic = format!("forex.eur_{}", rate.currency.to_lowercase());
        let summary = format!("EUR/{} {} on {}", rate.currency, rate.price, rate.date);
        bus.publish("market", &topic, &summary, SOURCE, to_value(rate)?)
            .await?;
        // Whoever listens gets a turn.
        tokio::task::yield_now().await;
    }
    bus.publish("market", "closed", "No more rates", SOURCE, json!({}))
        .await?;
    bus.publish(
        "system",
        "replay.finished",
        "Replay finished",
        SOURCE,
        json!({}),
    )
    .await?;
    Ok(rates.len())
}

/// Tells large moves as the rates come in. Returns how many came.
///
/// `next` acknowledges an event when it is called for the one after it.
async fn watch(mut live: Box<dyn Subscription>) -> Result<usize> {
    let mut count = 0;
    let mut prices = HashMap::new();
    while let Some(received) = live.next().await? {
        if received.event.subject == "events.market.closed" {
            break;
        }
        count += 1;
        let rate = read(&received.event)?;
        let before = prices.insert(rate.currency.clone(), rate.price);
        let change = percent(before.unwrap_or(rate.price), rate.price);
        if change.abs() > 2.5 {
            println!("     {}  EUR/{} {change:+.2} %", rate.date, rate.currency);
        }
    }
    Ok(count)
}

/// Books rates as `treasury` until there are `limit` or none is left. Returns
/// what it did.
async fn book(bus: &EventBus, limit: usize) -> Result<String> {
    let mut subscription = bus.subscribe_as("treasury").await?;
    let mut booked: Vec<Rate> = Vec::new();
    while let Some(pending) = subscription.next_manual_ack().await? {
        let rate = read(&pending.received.event)?;
        let change = booked
            .last()
            .map_or(0.0, |before| percent(before.price, rate.price));
        let delivery = pending.received.num_delivered;
        if change.abs() > 1.0 {
            let verdict = if delivery == 1 { "refused" } else { "booked" };
            println!(
                "     {}  EUR/USD {change:+.2} %  delivery {delivery}: {verdict}",
                rate.date
            );
            if delivery == 1 {
                pending.nak().await?;
                continue;
            }
        }
        booked.push(rate);
        let left = pending.received.pending;
        pending.ack().await?;
        if booked.len() == limit || left == Some(0) {
            break;
        }
    }
    subscription.close().await?;
    let dates = booked.iter().map(|rate| rate.date.as_str());
    let (first, last) = (dates.clone().min(), dates.max());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    Ok(format!("{} rates, {first} to {last}", booked.len()))
}

fn read(event: &Event) -> Result<Rate> {
    Ok(Rate::deserialize(&event.payload)?)
}

fn percent(before: f64, after: f64) -> f64 {
    (after / before - 1.0) * 100.0
}

/// Reads the table, oldest day first, and says which cells hold no rate.
fn read_table() -> std::result::Result<(Vec<Rate>, String), Box<dyn Error>> {
    let mut table = csv::Reader::from_reader(TABLE.as_bytes());
    let currencies = table.headers()?.clone();
    let mut days = table.records().collect::<csv::Result<Vec<_>>>()?;
    days.reverse();
    let mut rates = Vec::new();
    let mut empty = Vec::new();
    for day in &days {
        for (currency, cell) in currencies.iter().zip(day).skip(1) {
            if cell == "N/A" {
                empty.push(format!("{currency} on {}", &day[0]));
                continue;
            }
            rates.push(Rate {
                date: day[0].to_string(),
                currency: currency.to_string(),
                price: cell.parse()?,
            });
        }
    }
    let first = empty.first().map_or("none", String::as_str);
    let skipped = format!(
        "Skipped {} cells that say N/A, the first: {first}.",
        empty.len()
    );
    Ok((rates, skipped))
}
