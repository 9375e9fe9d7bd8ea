//! Spans and log lines, captured with a subscriber of the test's own.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex},
};

use a3s_event_bus::EventBus;
use a3s_event_memory::MemoryProvider;
use serde_json::json;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::support::{Scripted, event, next, next_pending, publish};

/// Runs `future` and returns what was logged meanwhile, closed spans included.
pub(crate) async fn captured(future: impl Future<Output = ()>) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    future.with_subscriber(subscriber).await;
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_line_logged_inside_the_provider_lies_inside_the_publish_span() {
    let log = captured(async {
        let bus = EventBus::new(Scripted::default());
        publish(&bus, "events.market.forex").await;
        bus.publish_batch(&[event("events.market.forex", json!(1))])
            .await
            .unwrap();
    })
    .await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("stores")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(
        lines.iter().all(|line| line.contains("a3s_event.publish{")),
        "{log}"
    );
}

#[tokio::test]
async fn spans_follow_the_conventions_and_show_no_payload() {
    let log = captured(async {
        let bus = EventBus::new(MemoryProvider::default());
        let mut subscription = bus.subscribe("events.market.>").await.unwrap();
        let secret = event("events.market.forex", json!({"pin": "0451-secret"}));
        bus.publish_event(&secret).await.unwrap();
        bus.publish_event(&secret).await.unwrap();
        next(&mut subscription).await;
        next_pending(&mut subscription).await.ack().await.unwrap();
    })
    .await;
    let closed = |span: &str| {
        let closing = |line: &&str| line.contains(span) && line.contains("close");
        log.lines()
            .find(closing)
            .unwrap_or_else(|| panic!("no {span} in {log}"))
            .to_owned()
    };
    let publish = closed("a3s_event.publish{");
    for field in [
        "otel.name=publish events.market.>",
        "otel.kind=\"producer\"",
        "messaging.system=\"a3s_memory\"",
        "messaging.operation.type=\"send\"",
        "messaging.destination.name=\"events.market.forex\"",
    ] {
        assert!(publish.contains(field), "{field} in {publish}");
    }
    let receive = closed("a3s_event.receive{");
    for field in [
        "otel.name=receive events.market.>",
        "a3s_event.sequence=1",
        "a3s_event.num_delivered=1",
    ] {
        assert!(receive.contains(field), "{field} in {receive}");
    }
    let settle = closed("a3s_event.settle{");
    for field in [
        "otel.name=ack events.market.>",
        "messaging.operation.type=\"settle\"",
        "a3s_event.sequence=2",
    ] {
        assert!(settle.contains(field), "{field} in {settle}");
    }
    assert!(!log.contains("0451-secret"));
}

#[tokio::test]
async fn a_span_says_how_its_operation_failed() {
    let log = captured(async {
        let scripted = Scripted::default();
        scripted.fail_publishes_after(0);
        let bus = EventBus::new(scripted);
        bus.publish_event(&event("events.a.b", json!(1)))
            .await
            .unwrap_err();
    })
    .await;
    assert!(log.contains("otel.status_code=\"ERROR\""), "{log}");
    assert!(log.contains("error.type=\"provider\""), "{log}");
}
