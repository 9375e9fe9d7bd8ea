//! A connection to a server that can be made to lose what it carries.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use a3s_event_nats::{NatsConfig, NatsProvider};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Stands between clients and a server, on an address of its own.
pub(crate) struct Proxy {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
    shut: Arc<AtomicBool>,
    cuts: watch::Sender<()>,
    /// How many connections there have been.
    connections: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A provider that is connected through the proxy.
    pub(crate) async fn connect(&self, config: &NatsConfig) -> NatsProvider {
        let config = NatsConfig {
            url: self.url(),
            ..config.clone()
        };
        NatsProvider::connect(config).await.unwrap()
    }

    /// A proxy before the server at `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let server = url.strip_prefix("nats://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = Arc::new(AtomicBool::new(false));
        let shut = Arc::new(AtomicBool::new(false));
        let (cuts, cut) = watch::channel(());
        let (connected, connections) = watch::channel(0);
        let accepting = tokio::spawn({
            let (swallows, shut) = (Arc::clone(&swallows), Arc::clone(&shut));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    if shut.load(Ordering::SeqCst) {
                        continue;
                    }
                    tokio::spawn(carry(
                        client,
                        server.clone(),
                        Arc::clone(&swallows),
                        cut.clone(),
                    ));
                    connected.send_modify(|connections| *connections += 1);
                }
            }
        });
        Self {
            address,
            swallows,
            shut,
            cuts,
            connections,
            accepting,
        }
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on nothing that the server sends arrives.
    pub(crate) fn swallow(&self) {
        self.swallows.store(true, Ordering::SeqCst);
    }

    /// Ends every connection and refuses others.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        self.cuts.send_replace(());
    }

    /// Waits for the next connection, which carries everything.
    pub(crate) async fn open(&self) {
        let mut connections = self.connections.clone();
        connections.mark_unchanged();
        self.swallows.store(false, Ordering::SeqCst);
        self.shut.store(false, Ordering::SeqCst);
        connections.changed().await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(
    client: TcpStream,
    server: String,
    swallows: Arc<AtomicBool>,
    mut cut: watch::Receiver<()>,
) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    cut.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Cut by dropping both streams, whatever is under way.
    tokio::select! {
        _ = cut.changed() => {}
        () = pass(from_client, to_server, || true) => {}
        () = pass(from_server, to_client, || !swallows.load(Ordering::SeqCst)) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, carries: impl Fn() -> bool) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if carries() && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
