//! The suite that every provider passes: on one server, or with `A3S_EVENT_NATS_CLUSTER` on three.

use std::{env, sync::Arc, time::Duration};

use a3s_event_nats::{NatsConfig, NatsProvider, NatsProviderBuilder};
use a3s_event_nats_server::{Cluster, Server};
use a3s_event_testkit::{EventProvider, Harness, Limits, async_trait, conformance};

use crate::common::{config, raw, shared_server};

enum Servers {
    One(Arc<Server>),
    /// Every stream is kept by all three.
    Three(Arc<Cluster>),
}

struct NatsHarness {
    servers: Servers,
    config: NatsConfig,
}

impl NatsHarness {
    fn new() -> Self {
        let servers = match env::var_os("A3S_EVENT_NATS_CLUSTER") {
            Some(_) => Servers::Three(Cluster::shared().unwrap()),
            None => Servers::One(shared_server()),
        };
        let config = match &servers {
            Servers::One(server) => config(server.url()),
            Servers::Three(cluster) => config(&cluster.url()),
        };
        Self { servers, config }
    }

    fn builder(&self, config: NatsConfig) -> NatsProviderBuilder {
        let builder = NatsProvider::builder(config);
        match self.servers {
            Servers::One(_) => builder,
            Servers::Three(_) => builder.replicas(3),
        }
    }
}

#[async_trait]
impl Harness for NatsHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        let builder = self.builder(self.config.clone());
        Arc::new(builder.connect().await.unwrap())
    }

    async fn provider_with(&self, limits: Limits) -> Option<Arc<dyn EventProvider>> {
        let mut config = self.config.clone();
        if let Some(events) = limits.max_events {
            config.max_events = i64::try_from(events).unwrap();
        }
        let mut builder = self.builder(config);
        if let Some(window) = limits.duplicate_window {
            builder = builder.duplicate_window(window);
        }
        Some(Arc::new(builder.connect().await.unwrap()))
    }

    async fn reopen(&self) -> Option<Arc<dyn EventProvider>> {
        Some(self.provider().await)
    }

    async fn clean_up(&self) {
        let raw = raw(&self.config.url).await;
        raw.delete_stream(&self.config.stream_name).await;
    }

    fn max_event_bytes(&self) -> Option<usize> {
        Some(1024 * 1024)
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(match self.servers {
            Servers::One(_) => 10,
            // A stream may lose its leader on a busy machine.
            Servers::Three(_) => 25,
        })
    }
}

conformance!(
    #[ignore = "needs nats-server"]
    nats,
    NatsHarness::new()
);
