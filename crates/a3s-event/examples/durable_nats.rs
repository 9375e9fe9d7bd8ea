//! Two processes share one durable subscription; one of them is killed at
//! work, and nothing is lost.
//!
//! Starts a NATS server of its own, fetched if there is none, and stops it.
//!
//! ```bash
//! cargo run --example durable_nats --features nats
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    error::Error,
    process::{Command, Stdio},
    time::Duration,
};

use a3s_event::{
    Event, EventBus, SubscriptionFilter,
    provider::nats::{NatsConfig, NatsProvider},
    types::SubscribeOptions,
};
use a3s_event_nats_server::Server;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

const ORDERS: u64 = 200;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [role, url] if role == "worker" => work(url).await,
        _ => tell().await,
    }
}

/// One of the two processes: books orders and says which, one a line.
async fn work(url: &str) -> Outcome {
    let bus = connect(url).await?;
    let mut orders = bus.subscribe_as("billing").await?;
    while let Some(pending) = orders.next_manual_ack().await? {
        // The work, which a kill may end at any point.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let order = pending.received.event.payload["order"].clone();
        let delivery = pending.received.num_delivered;
        pending.ack_confirmed().await?;
        println!("{order} {delivery}");
    }
    Ok(())
}

async fn tell() -> Outcome {
    let server = start_server()?;
    let bus = connect(server.url()).await?;
    println!("1. A server with JetStream is up, on a port and in a folder of its own");

    let orders: Vec<Event> = (1..=ORDERS)
        .map(|order| {
            let summary = format!("order {order}");
            let payload = json!({ "order": order });
            Event::new(
                "events.shop.orders.placed",
                "shop",
                summary,
                "shop",
                payload,
            )
        })
        .collect();
    let sequences = bus.publish_batch(&orders).await?;
    println!(
        "   Published {} orders, all acknowledged by the server",
        sequences.len()
    );

    println!("\n2. Two processes share the durable subscription `billing`");
    let (mut first, mut first_lines) = spawn_worker(server.url())?;
    let (mut second, mut second_lines) = spawn_worker(server.url())?;

    let mut booked = BTreeSet::new();
    let mut by_worker: BTreeMap<&str, u64> = BTreeMap::new();
    let mut again = 0;
    let mut killed = false;
    while (booked.len() as u64) < ORDERS {
        let (worker, line) = tokio::select! {
            line = first_lines.next_line(), if !killed => ("first", line?),
            line = second_lines.next_line() => ("second", line?),
        };
        let Some(line) = line else {
            return Err(format!("the {worker} worker ended early").into());
        };
        let (order, delivery) = line
            .split_once(' ')
            .ok_or("a worker says order and delivery")?;
        booked.insert(order.parse::<u64>()?);
        *by_worker.entry(worker).or_default() += 1;
        again += u64::from(delivery != "1");
        if !killed && by_worker.get("first") == Some(&30) {
            // Not asked to stop: it is gone between two instructions.
            first.kill().await?;
            killed = true;
            println!(
                "   Killed the first one after it had booked 30, with more of them in its hands"
            );
        }
    }
    second.kill().await?;

    println!("\n3. What the first one left came again, to the second");
    println!(
        "   The second process booked {} orders",
        by_worker["second"]
    );
    println!("   {again} of all were delivered more than once");
    println!(
        "\n{} of {ORDERS} orders are booked, nothing is lost",
        booked.len()
    );
    bus.close().await?;
    Ok(())
}

/// A bus on which `billing` is registered, in whichever process.
async fn connect(url: &str) -> Outcome<EventBus> {
    let provider = NatsProvider::connect(NatsConfig {
        url: url.to_string(),
        ..Default::default()
    })
    .await?;
    let bus = EventBus::new(provider);
    bus.update_subscription(SubscriptionFilter {
        subscriber_id: "billing".to_string(),
        subjects: vec!["events.shop.orders.>".to_string()],
        durable: true,
        options: Some(SubscribeOptions {
            // What a dead process held comes again after this.
            ack_wait_secs: Some(2),
            prefetch: Some(10),
            ..Default::default()
        }),
    })
    .await?;
    Ok(bus)
}

fn spawn_worker(url: &str) -> Outcome<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut worker = tokio::process::Command::new(env::current_exe()?);
    worker
        .args(["worker", url])
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = worker.spawn()?;
    let output = child.stdout.take().ok_or("the output is piped")?;
    Ok((child, BufReader::new(output).lines()))
}

/// Starts the pinned server; fetches it first where there is none.
fn start_server() -> Outcome<Server> {
    if let Ok(server) = Server::start() {
        return Ok(server);
    }
    let fetched = Command::new(env!("CARGO"))
        .args(["xtask", "nats", "fetch"])
        .status()?;
    if !fetched.success() {
        return Err("could not fetch a nats-server".into());
    }
    Ok(Server::start()?)
}
