//! Spans and log lines, captured with a subscriber of the test's own.

use std::{
    future::Future,
    io,
    sync::{Arc, LazyLock, Mutex},
};

use a3s_event_bus::EventBus;
use a3s_event_core::types::PublishOptions;
use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
use a3s_event_memory::MemoryProvider;
use serde_json::json;
use tracing::{Dispatch, instrument::WithSubscriber, subscriber::NoSubscriber};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

use crate::support::{FailingFirst, Scripted, capped, event, next, next_pending, publish};

/// Runs `future` and returns what was logged meanwhile, closed spans included.
pub(crate) async fn captured(future: impl Future<Output = ()>) -> String {
    captured_at(tracing::Level::INFO, future).await
}

async fn captured_at(level: tracing::Level, future: impl Future<Output = ()>) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    keep_another_subscriber();
    future.with_subscriber(subscriber).await;
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// Keeps a second subscriber registered.
///
/// As long as there is one, `tracing` asks that of the thread which reaches a
/// span or a line first, and remembers the answer for all threads: a test
/// without a subscriber would silence it for this one.
pub(crate) fn keep_another_subscriber() {
    static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
    LazyLock::force(&ANOTHER);
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

/// Lines of `log` that `text` is in, each inside `span`.
#[track_caller]
fn assert_inside(log: &str, text: &str, span: &str, expected: usize) {
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
    assert_eq!(lines.len(), expected, "{log}");
    assert!(lines.iter().all(|line| line.contains(span)), "{log}");
}

#[tokio::test]
async fn receiving_and_settling_happen_inside_their_spans() {
    let log = captured(async {
        let scripted = Scripted::default();
        scripted.deliver(event("events.a.b", json!(1)), 1, 1);
        scripted.deliver(event("events.a.b", json!(2)), 2, 1);
        let bus = EventBus::new(scripted);
        let mut subscription = bus.subscribe("events.a.>").await.unwrap();
        next_pending(&mut subscription).await.ack().await.unwrap();
        next_pending(&mut subscription).await.nak().await.unwrap();
    })
    .await;
    assert_inside(&log, "the script delivers", "a3s_event.receive{", 2);
    assert_inside(&log, "the script takes an answer", "a3s_event.settle{", 2);
    assert_inside(&log, "the script took an answer", "a3s_event.settle{", 2);
}

#[tokio::test]
async fn nothing_that_events_hold_is_logged_at_any_level() {
    const SECRET: &str = "0451-secret";
    let secret = || {
        let mut event = event("events.a.b", json!({"pin": SECRET}));
        event.summary = SECRET.to_owned();
        event.with_metadata("note", SECRET)
    };
    let log = captured_at(tracing::Level::TRACE, async {
        let mut bus = EventBus::new(MemoryProvider::default());
        bus.set_dlq_handler(FailingFirst::times(1));
        bus.publish_event(&secret()).await.unwrap();
        bus.publish_batch(&[secret(), secret()]).await.unwrap();
        let stale = PublishOptions::default().with_expected_sequence(77);
        bus.publish_event_with_options(&secret(), &stale)
            .await
            .unwrap_err();
        bus.update_subscription(capped("reader", &["events.a.>"], 1))
            .await
            .unwrap();
        let mut reader = bus.subscribe_as("reader").await.unwrap();
        next_pending(&mut reader).await.nak().await.unwrap();
        next_pending(&mut reader).await.term("unfit").await.unwrap();
        next_pending(&mut reader).await.ack().await.unwrap();

        let key = SecretKey::generate().unwrap();
        bus.set_encryptor(Arc::new(Aes256GcmEncryptor::with_key("one", key).unwrap()));
        bus.publish_event(&secret()).await.unwrap();
        let key = SecretKey::generate().unwrap();
        bus.set_encryptor(Arc::new(Aes256GcmEncryptor::with_key("two", key).unwrap()));
        bus.subscribe("events.a.>")
            .await
            .unwrap()
            .next()
            .await
            .unwrap();
        bus.list_events(None, 10).await.unwrap_err();
        bus.close().await.unwrap();
    })
    .await;
    for expected in [
        "event dead-lettered",
        "the dead-letter handler failed",
        "ERROR",
    ] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert!(!log.contains(SECRET), "{log}");
}
