//! The contract, as the suite of the testkit states it.

use std::{sync::Arc, time::Duration};

use a3s_event_memory::MemoryProvider;
use a3s_event_testkit::{Clock, EventProvider, Harness, Limits, async_trait, conformance};

/// Storage that ends with its provider, on tokio's clock.
struct MemoryHarness {
    max_event_bytes: Option<usize>,
}

impl MemoryHarness {
    const fn new() -> Self {
        Self {
            max_event_bytes: None,
        }
    }

    /// With the limit that a NATS server has unless configured otherwise.
    const fn limited() -> Self {
        Self {
            max_event_bytes: Some(1 << 20),
        }
    }

    fn build(&self, limits: Limits) -> Arc<dyn EventProvider> {
        let mut builder =
            MemoryProvider::builder().max_event_bytes(self.max_event_bytes.unwrap_or(0));
        if let Some(events) = limits.max_events {
            builder = builder.max_events(usize::try_from(events).unwrap());
        }
        if let Some(window) = limits.duplicate_window {
            builder = builder.duplicate_window(window);
        }
        Arc::new(builder.build().unwrap())
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        self.build(Limits::default())
    }

    async fn provider_with(&self, limits: Limits) -> Option<Arc<dyn EventProvider>> {
        Some(self.build(limits))
    }

    fn clock(&self) -> Clock {
        Clock::Tokio
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn max_event_bytes(&self) -> Option<usize> {
        self.max_event_bytes
    }

    fn counts_missed(&self) -> bool {
        true
    }
}

conformance!(memory, MemoryHarness::new());
conformance!(limited_memory, MemoryHarness::limited());
