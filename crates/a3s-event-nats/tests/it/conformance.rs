//! The suite that every provider passes.

use std::sync::Arc;

use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_nats_server::Server;
use a3s_event_testkit::{EventProvider, Harness, Limits, async_trait, conformance};

use crate::common::{config, raw, shared_server};

struct NatsHarness {
    server: Arc<Server>,
    config: NatsConfig,
}

impl NatsHarness {
    fn new() -> Self {
        let server = shared_server();
        let config = config(server.url());
        Self { server, config }
    }
}

#[async_trait]
impl Harness for NatsHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        Arc::new(NatsProvider::connect(self.config.clone()).await.unwrap())
    }

    async fn provider_with(&self, limits: Limits) -> Option<Arc<dyn EventProvider>> {
        let mut config = self.config.clone();
        if let Some(events) = limits.max_events {
            config.max_events = i64::try_from(events).unwrap();
        }
        let mut builder = NatsProvider::builder(config);
        if let Some(window) = limits.duplicate_window {
            builder = builder.duplicate_window(window);
        }
        Some(Arc::new(builder.connect().await.unwrap()))
    }

    async fn reopen(&self) -> Option<Arc<dyn EventProvider>> {
        Some(self.provider().await)
    }

    async fn clean_up(&self) {
        let raw = raw(self.server.url()).await;
        raw.delete_stream(&self.config.stream_name).await;
    }

    fn max_event_bytes(&self) -> Option<usize> {
        Some(1024 * 1024)
    }
}

conformance!(
    #[ignore = "needs nats-server"]
    nats,
    NatsHarness::new()
);
