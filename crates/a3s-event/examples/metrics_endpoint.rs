//! Serves `/metrics` for Prometheus and `/healthz` for an orchestrator, and asks
//! itself.
//!
//! ```bash
//! cargo run --example metrics_endpoint
//! ```

#![allow(clippy::print_stdout, reason = "an example tells its story")]

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use a3s_event::{
    EventBus, SubscriptionFilter, dlq::MemoryDlqHandler, provider::memory::MemoryProvider,
    types::SubscribeOptions,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.set_dlq_handler(Arc::new(MemoryDlqHandler::default()));
    let bus = Arc::new(bus);

    println!("1. Five orders are published, and one more is refused: its category is two tokens");
    for order in 1..=5 {
        let payload = json!({ "order": order });
        bus.publish("shop", "order.placed", "An order", "shop", payload)
            .await?;
    }
    let refused = bus.publish("shop.eu", "order", "", "shop", json!({})).await;
    assert!(refused.is_err());

    println!("2. A reader does four of them; the fifth fails on its only delivery");
    bus.update_subscription(SubscriptionFilter {
        subscriber_id: "billing".to_string(),
        subjects: vec!["events.shop.>".to_string()],
        durable: true,
        options: Some(SubscribeOptions {
            max_deliver: Some(1),
            ..Default::default()
        }),
    })
    .await?;
    let mut orders = bus.subscribe_as("billing").await?;
    for order in 1..=5 {
        let pending = orders.next_manual_ack().await?.ok_or("the bus is open")?;
        if order < 5 {
            pending.ack().await?;
        } else {
            pending.nak().await?;
        }
    }

    // A port of one's own is a setting; here it is any that is free.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(serve(listener, Arc::clone(&bus)));

    println!(
        "\n3. GET /metrics: {}",
        get(address, "/metrics").await?.status
    );
    let page = get(address, "/metrics").await?.body;
    for name in [
        "messaging_client_sent_messages_total",
        "a3s_event_publish_refusals_total",
        "a3s_event_settlements_total",
        "a3s_event_dlq_depth",
        "a3s_event_subscriptions_active",
    ] {
        let counted = |line: &&str| line.starts_with(name) && !line.ends_with(" 0");
        page.lines()
            .filter(counted)
            .for_each(|line| println!("   {line}"));
    }

    let healthy = get(address, "/healthz").await?;
    println!("\n4. GET /healthz: {}", healthy.status);
    bus.close().await?;
    let closed = get(address, "/healthz").await?;
    println!("   and once the bus is closed: {}", closed.status);
    println!(
        "   GET /elsewhere: {}",
        get(address, "/elsewhere").await?.status
    );
    server.abort();
    Ok(())
}

/// Answers one request after the other; a real service has a server for HTTP
/// already and needs only [`respond`].
async fn serve(listener: TcpListener, bus: Arc<EventBus>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Whoever asks and then says nothing does not hold up the others.
        let answered = timeout(Duration::from_secs(5), answer(stream, &bus)).await;
        if let Ok(Err(error)) = answered {
            println!("   a request failed: {error}");
        }
    }
}

async fn answer(mut stream: TcpStream, bus: &EventBus) -> Outcome {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > 8 * 1024 || stream.read_buf(&mut request).await? == 0 {
            return Err("not a request".into());
        }
    }
    let line = String::from_utf8_lossy(&request);
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (status, body) = respond(path, bus).await;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// What a path has to say. Neither waits for more than the provider's request
/// timeout.
async fn respond(path: &str, bus: &EventBus) -> (&'static str, String) {
    match path {
        "/metrics" => ("200 OK", bus.metrics().render_prometheus()),
        "/healthz" => match bus.health().await {
            Ok(true) => ("200 OK", "the backend answers\n".to_owned()),
            Ok(false) => (
                "503 Service Unavailable",
                "the backend is gone\n".to_owned(),
            ),
            Err(error) => ("503 Service Unavailable", format!("{error}\n")),
        },
        _ => ("404 Not Found", String::new()),
    }
}

struct Response {
    status: String,
    body: String,
}

async fn get(address: SocketAddr, path: &str) -> Outcome<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("no response")?;
    let status = head.lines().next().unwrap_or_default();
    Ok(Response {
        status: status.trim_start_matches("HTTP/1.1 ").to_owned(),
        body: body.to_owned(),
    })
}
