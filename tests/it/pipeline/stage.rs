use std::{sync::Arc, thread};

use a3s_event::provider::{EventProvider, memory::MemoryProvider};
use a3s_event_testkit::fresh_name;
use tokio::runtime::{Builder, Runtime};

/// How large an event may be: what a server takes unless configured otherwise.
pub(crate) const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Where a case plays: storage of its own that outlives the processes on it.
pub(crate) struct Stage {
    prefix: String,
    backend: Backend,
}

enum Backend {
    /// Storage is the provider, so that all processes share it.
    Memory(Arc<MemoryProvider>),
    #[cfg(feature = "full")]
    Nats(nats::Account),
}

impl Stage {
    pub(crate) fn memory() -> Self {
        let prefix = fresh_name();
        let provider = MemoryProvider::builder()
            .subject_prefix(&prefix)
            .max_event_bytes(MAX_EVENT_BYTES)
            .build()
            .unwrap();
        Self {
            prefix,
            backend: Backend::Memory(Arc::new(provider)),
        }
    }

    #[cfg(feature = "full")]
    pub(crate) fn nats() -> Self {
        let prefix = fresh_name();
        let account = nats::Account::new(&prefix);
        Self {
            prefix,
            backend: Backend::Nats(account),
        }
    }

    /// Runs `case` here.
    pub(crate) fn play<F: Future<Output = ()>>(self, case: impl FnOnce(Self) -> F) {
        self.runtime().block_on(case(self));
    }

    /// The provider of a process that starts: with a connection of its own,
    /// where there are connections.
    pub(crate) async fn process(&self) -> Arc<dyn EventProvider> {
        match &self.backend {
            Backend::Memory(provider) => Arc::clone(provider) as _,
            #[cfg(feature = "full")]
            Backend::Nats(account) => account.connect().await,
        }
    }

    /// Runs `work` as a process that crashes after it: what `work` returns is
    /// never dropped, and no task and no connection goes on or takes leave.
    pub(crate) fn crash<T>(&self, work: impl AsyncFnOnce(Arc<dyn EventProvider>) -> T + Send) {
        let process = || {
            let runtime = self.runtime();
            let held = runtime.block_on(async {
                let provider = self.process().await;
                (work(Arc::clone(&provider)).await, provider)
            });
            std::mem::forget(held);
        };
        thread::scope(|scope| scope.spawn(process).join().unwrap());
    }

    /// The subject or pattern `rest` below the prefix.
    pub(crate) fn below(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    /// Stores `bytes` under `subject`, as somebody does who knows no events.
    #[cfg(feature = "full")]
    pub(crate) fn store_foreign(&self, subject: &str, bytes: &[u8]) {
        match &self.backend {
            Backend::Memory(_) => unreachable!("nobody else can write there"),
            Backend::Nats(account) => account.request(subject, bytes).unwrap(),
        }
    }

    fn runtime(&self) -> Runtime {
        let mut builder = Builder::new_current_thread();
        builder.enable_all();
        match &self.backend {
            Backend::Memory(_) => builder.start_paused(true),
            #[cfg(feature = "full")]
            Backend::Nats(_) => &mut builder,
        };
        builder.build().unwrap()
    }
}

#[cfg(feature = "full")]
mod nats {
    use std::{
        io::{self, BufRead, BufReader, Write},
        net::TcpStream,
        sync::Arc,
        time::Duration,
    };

    use a3s_event::provider::{
        EventProvider,
        nats::{NatsConfig, NatsProvider},
    };
    use a3s_event_nats_server::Server;
    use a3s_event_testkit::fresh_name;

    /// A stream on the server that all tests share.
    pub(super) struct Account {
        server: Arc<Server>,
        config: NatsConfig,
    }

    impl Account {
        pub(super) fn new(prefix: &str) -> Self {
            let server = Server::shared().unwrap();
            let config = NatsConfig {
                url: server.url().to_owned(),
                stream_name: prefix.to_uppercase(),
                subject_prefix: prefix.to_owned(),
                ..NatsConfig::default()
            };
            Self { server, config }
        }

        pub(super) async fn connect(&self) -> Arc<dyn EventProvider> {
            Arc::new(NatsProvider::connect(self.config.clone()).await.unwrap())
        }

        /// Sends `bytes` in the protocol of the server, and waits for an answer.
        pub(super) fn request(&self, subject: &str, bytes: &[u8]) -> io::Result<()> {
            let address = self.server.url().trim_start_matches("nats://");
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            let inbox = format!("_INBOX.{}", fresh_name());
            let length = bytes.len();
            write!(stream, "CONNECT {{\"verbose\":false}}\r\nSUB {inbox} 1\r\n")?;
            write!(stream, "PUB {subject} {inbox} {length}\r\n")?;
            stream.write_all(bytes)?;
            stream.write_all(b"\r\n")?;
            for line in BufReader::new(stream).lines() {
                if line?.starts_with("MSG ") {
                    return Ok(());
                }
            }
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    impl Drop for Account {
        fn drop(&mut self) {
            let delete = format!("$JS.API.STREAM.DELETE.{}", self.config.stream_name);
            // What stays behind goes with the server.
            let _ = self.request(&delete, b"");
        }
    }
}
