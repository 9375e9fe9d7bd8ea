use std::sync::Arc;

use a3s_event::{
    EventBus, Result,
    provider::{EventProvider, memory::MemoryProvider},
    store::EventBusBuilder,
};

/// A backend that stays while the services on it come and go.
pub(crate) enum Backend {
    /// Ends with its process, so one provider stands for the server.
    Memory(Arc<dyn EventProvider>),
    #[cfg(feature = "full")]
    Nats(nats::Stream),
}

impl Backend {
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::new(MemoryProvider::default()))
    }

    #[cfg(feature = "full")]
    pub(crate) fn nats() -> Self {
        Self::Nats(nats::Stream::new())
    }

    /// Begins a bus on it, with a connection of its own.
    pub(crate) async fn builder(&self) -> Result<EventBusBuilder> {
        Ok(match self {
            Self::Memory(provider) => EventBus::builder(Arc::clone(provider)),
            #[cfg(feature = "full")]
            Self::Nats(stream) => EventBus::builder(stream.connect().await?),
        })
    }

    pub(crate) async fn bus(&self) -> Result<EventBus> {
        Ok(self.builder().await?.build())
    }
}

#[cfg(feature = "full")]
mod nats {
    use std::sync::Arc;

    use a3s_event::{
        Result,
        provider::nats::{NatsConfig, NatsProvider},
    };
    use a3s_event_nats_server::Server;
    use a3s_event_testkit::fresh_name;

    /// A stream on the server that all tests share.
    pub(crate) struct Stream {
        config: NatsConfig,
        _server: Arc<Server>,
    }

    impl Stream {
        pub(super) fn new() -> Self {
            let server = Server::shared().unwrap();
            let name = fresh_name();
            let config = NatsConfig {
                url: server.url().to_owned(),
                stream_name: name.to_uppercase(),
                subject_prefix: name,
                ..Default::default()
            };
            Self {
                config,
                _server: server,
            }
        }

        pub(super) async fn connect(&self) -> Result<NatsProvider> {
            NatsProvider::connect(self.config.clone()).await
        }
    }
}
