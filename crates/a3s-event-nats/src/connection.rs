//! The connection to the servers: requests with a limit, answers without an
//! answer, and what happens when it comes and goes.

use std::{
    fmt, slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use a3s_event_core::{EventError, Result};
use async_nats::{
    Client, HeaderMap, Message, Request, RequestErrorKind, Statistics, Subject, connection::State,
};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{self, Instant},
};

use crate::error::{Unreachable, failed};

/// How often the state is looked at while something waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// How often the connection counter of a client that was handed in is looked at.
const LOOK_AT_FOREIGN: Duration = Duration::from_millis(100);

/// A client with what the provider has to know about it.
pub(crate) struct Connection {
    client: Client,
    statistics: Arc<Statistics>,
    /// The servers, without credentials: for errors.
    pub(crate) server: String,
    /// The limit of every request.
    pub(crate) request_timeout: Duration,
    changes: watch::Sender<()>,
    closed: AtomicBool,
    /// Whether the client is ours to drain.
    owned: bool,
    monitor: Option<AbortHandle>,
}

impl Connection {
    /// Wraps a client that this crate connected. `changes` is told about every
    /// event of the client.
    pub(crate) fn owned(
        client: Client,
        changes: watch::Sender<()>,
        server: String,
        request_timeout: Duration,
    ) -> Self {
        Self {
            statistics: client.statistics(),
            client,
            server,
            request_timeout,
            changes,
            closed: AtomicBool::new(false),
            owned: true,
            monitor: None,
        }
    }

    /// Wraps a client that was handed in. It tells nobody about its events, so
    /// one task looks at its counters.
    pub(crate) fn foreign(client: Client, server: String, request_timeout: Duration) -> Self {
        let (changes, _) = watch::channel(());
        let statistics = client.statistics();
        let monitor = tokio::spawn(look_at(
            Arc::clone(&statistics),
            client.clone(),
            changes.clone(),
        ));
        Self {
            client,
            statistics,
            server,
            request_timeout,
            changes,
            closed: AtomicBool::new(false),
            owned: false,
            monitor: Some(monitor.abort_handle()),
        }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Told about every change of the connection, and about `close`.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether the client knows of a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often the client has connected: a change means a new connection.
    pub(crate) fn generation(&self) -> u64 {
        self.statistics.connects.load(Ordering::Relaxed)
    }

    /// Major and minor version of the server that is connected now.
    pub(crate) fn version(&self) -> (u32, u32) {
        let version = self.client.server_info().version;
        let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// Whether the server is one of several. Costs a copy of what it says about itself.
    pub(crate) fn is_clustered(&self) -> bool {
        self.client.server_info().cluster.is_some()
    }

    /// Whether an event that was refused for its expected sequence leaves its id
    /// taken until the duplicate window is over, as clusters before 2.12 do.
    pub(crate) fn keeps_ids_of_refused(&self) -> bool {
        self.is_clustered() && self.version() < (2, 12)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Fails once the provider is closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(EventError::closed("the nats provider"));
        }
        Ok(())
    }

    /// Marks the connection as closed. `false` if it was before.
    pub(crate) fn mark_closed(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.changes.send_replace(());
        first
    }

    /// The error of an operation that found no connection.
    pub(crate) fn unreachable(&self, why: Unreachable) -> EventError {
        EventError::connection(self.server.clone(), why)
    }

    /// The error of an operation that ran out of time. Names the server.
    pub(crate) fn timed_out(&self, operation: &str, after: Duration) -> EventError {
        EventError::timeout(format!("{operation} on {}", self.server), after)
    }

    /// Waits for a connection. Nothing is sent to a server that is known to be
    /// away: it would be stored after the caller has given up.
    pub(crate) async fn wait_until_up(&self, limit: Duration) -> Result<()> {
        if self.is_up() {
            return Ok(());
        }
        let until = Instant::now() + limit;
        while !self.is_up() {
            if Instant::now() >= until {
                return Err(self.unreachable(Unreachable::Down));
            }
            time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// For a request that may have to be sent again because it reached nobody.
    pub(crate) const fn repeats(&self) -> Repeats<'_> {
        Repeats {
            connection: self,
            pauses: None,
        }
    }

    /// Sends a request and waits for its answer, all within `limit`.
    pub(crate) async fn request(
        &self,
        operation: &str,
        subject: Subject,
        headers: Option<HeaderMap>,
        payload: Bytes,
        limit: Duration,
    ) -> Result<Message> {
        let started = Instant::now();
        if !self.is_up() {
            self.wait_until_up(limit).await?;
        }
        // One limit for sending and waiting; the client's own covers only the latter.
        let mut request = Request::new().payload(payload).timeout(None);
        request.headers = headers;
        let answer = self.client.send_request(subject, request);
        match time::timeout_at(started + limit, answer).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders => self.unreachable(Unreachable::NoResponders),
                RequestErrorKind::TimedOut => self.timed_out(operation, limit),
                _ if self.is_closed() => EventError::closed("the nats provider"),
                _ => EventError::connection(self.server.clone(), error),
            }),
            Err(_) => Err(self.timed_out(operation, limit)),
        }
    }

    /// Sends without waiting for room. `None` when there is none.
    pub(crate) fn try_send(
        &self,
        subject: &Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> Option<Result<()>> {
        self.write(subject.clone(), reply, payload).now_or_never()
    }

    /// Sends, waiting for room within the request limit.
    pub(crate) async fn send(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> Result<()> {
        let sent = self.write(subject, reply, payload);
        self.in_time("send", sent).await?
    }

    /// Waits within the request limit.
    pub(crate) async fn in_time<T>(
        &self,
        operation: &str,
        waiting: impl Future<Output = T>,
    ) -> Result<T> {
        let limit = self.request_timeout;
        let done = time::timeout(limit, waiting).await;
        done.map_err(|_| self.timed_out(operation, limit))
    }

    async fn write(&self, subject: Subject, reply: Option<Subject>, payload: Bytes) -> Result<()> {
        let sent = match reply {
            Some(reply) => {
                self.client
                    .publish_with_reply(subject, reply, payload)
                    .await
            }
            None => self.client.publish(subject, payload).await,
        };
        sent.map_err(|error| failed("send", error))
    }

    /// Ends a connection of our own: everything is written, then it is closed.
    /// One that was handed in is flushed and left alone.
    pub(crate) async fn end(&self) {
        let limit = self.request_timeout;
        let flushed = time::timeout(limit, self.client.flush()).await;
        if !matches!(flushed, Ok(Ok(()))) {
            // What could not be sent was confirmed to nobody.
            tracing::warn!(
                server = %self.server,
                "no connection at the end: unconfirmed answers may be lost, and their events come again"
            );
            return;
        }
        if !self.owned {
            return;
        }
        let mut changes = self.changes();
        let drained = time::timeout(limit, async {
            if self.client.drain().await.is_err() {
                return;
            }
            // The client reports its end as an event and drops its sender.
            while self.client.flush().await.is_ok() {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = time::sleep(LOOK) => {}
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(server = %self.server, "the connection did not end in time");
        }
    }
}

/// How often a request that reached nobody is sent again, and after which pauses.
///
/// In a cluster, the servers may still have to agree on which of them answers,
/// or to tell each other; one server alone knows that nobody does.
pub(crate) struct Repeats<'a> {
    connection: &'a Connection,
    /// Milliseconds; unknown until the first are asked for.
    pauses: Option<slice::Iter<'static, u64>>,
}

impl Repeats<'_> {
    const IN_A_CLUSTER: &'static [u64] = &[20, 50, 100, 200, 400, 800, 1600, 1600];

    /// Waits before the next attempt; `false` when there is to be none, or none
    /// before `until`.
    pub(crate) async fn pause(&mut self, until: Instant) -> bool {
        let pauses = self.pauses.get_or_insert_with(|| {
            let pauses = match self.connection.is_clustered() {
                true => Self::IN_A_CLUSTER,
                false => &[],
            };
            pauses.iter()
        });
        let next = pauses
            .next()
            .map(|&pause| Instant::now() + Duration::from_millis(pause));
        match next {
            Some(next) if next < until => {
                time::sleep_until(next).await;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(monitor) = &self.monitor {
            monitor.abort();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.server)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

async fn look_at(statistics: Arc<Statistics>, client: Client, changes: watch::Sender<()>) {
    let look = || {
        (
            statistics.connects.load(Ordering::Relaxed),
            client.connection_state() == State::Connected,
        )
    };
    let mut seen = look();
    loop {
        time::sleep(LOOK_AT_FOREIGN).await;
        let now = look();
        if now != seen {
            seen = now;
            changes.send_replace(());
        }
    }
}
