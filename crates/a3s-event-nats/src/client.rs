use std::{fmt, path::PathBuf, time::Duration};

use a3s_event_core::{EventError, Result, subject::SubjectPrefix};
use async_nats::{Client, ConnectOptions, Event};
use tokio::sync::watch;

use crate::{
    address::{Addresses, Login},
    api::Api,
    config::NatsConfig,
    connection::Connection,
    consumer::ExistingDurable,
    provider::{NatsProvider, Settings},
    publish::seconds_bounded,
    stream::{self, Discard, ExistingStream, Retention, StreamOptions},
    tls::TlsOptions,
};

/// Longest pause between two attempts to connect again.
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// How often an idle connection is tried. Two missing answers end it.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Most events that a subscription may read ahead: the client drops what
/// exceeds its own queue of 65,536.
pub(crate) const LARGEST_PREFETCH: usize = 32_768;

/// Connects a [`NatsProvider`] with more than a [`NatsConfig`] says.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use a3s_event_nats::{ExistingStream, NatsConfig, NatsProvider};
///
/// # async fn connect() -> a3s_event_core::Result<()> {
/// let provider = NatsProvider::builder(NatsConfig::default())
///     .user_and_password("ann", "secret")
///     .root_certificates("/etc/nats/ca.pem")
///     .replicas(3)
///     .duplicate_window(Duration::from_secs(600))
///     .on_existing(ExistingStream::Update)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing before `connect`"]
pub struct NatsProviderBuilder {
    config: NatsConfig,
    login: Option<(String, String)>,
    nkey_seed: Option<String>,
    tls: TlsOptions,
    stream: StreamOptions,
    domain: Option<String>,
    prefetch: usize,
    on_existing_durable: ExistingDurable,
}

impl NatsProviderBuilder {
    pub(crate) fn new(config: NatsConfig) -> Self {
        Self {
            config,
            login: None,
            nkey_seed: None,
            tls: TlsOptions::default(),
            stream: StreamOptions::default(),
            domain: None,
            prefetch: 200,
            on_existing_durable: ExistingDurable::default(),
        }
    }

    /// Logs in with a user and a password.
    pub fn user_and_password(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// Logs in with the seed of an nkey: the server sends a challenge, the seed
    /// never leaves the process.
    pub fn nkey(mut self, seed: impl Into<String>) -> Self {
        self.nkey_seed = Some(seed.into());
        self
    }

    /// Trusts the certificates in the PEM file `path`, and no others. Without
    /// it, those of the system are trusted.
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.roots = Some(path.into());
        self
    }

    /// Shows the server the certificate in the PEM file `certificate`, whose
    /// key is in the PEM file `key`.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// Refuses to talk to a server without TLS, whatever the URL says.
    pub fn require_tls(mut self) -> Self {
        self.tls.required = true;
        self
    }

    /// Begins with the TLS handshake instead of the greeting of the server,
    /// for servers with `handshake_first`. Implies
    /// [`require_tls`](Self::require_tls).
    pub fn tls_first(mut self) -> Self {
        self.tls.first = true;
        self
    }

    /// Keeps the stream on so many servers of a cluster: 1, 3 or 5. The server
    /// makes it 1 by itself.
    pub fn replicas(mut self, servers: usize) -> Self {
        self.stream.replicas = Some(servers);
        self
    }

    /// Chooses when a stored event may go.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.stream.retention = Some(retention);
        self
    }

    /// Chooses what happens when the stream is full.
    pub fn discard(mut self, discard: Discard) -> Self {
        self.stream.discard = Some(discard);
        self
    }

    /// Sets how long a
    /// [`msg_id`](a3s_event_core::types::PublishOptions::msg_id) is remembered,
    /// from 100 milliseconds, at most the age limit of the stream. The server
    /// makes it 2 minutes by itself, or the age limit if that is shorter.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.stream.duplicate_window = Some(window);
        self
    }

    /// Uses the JetStream of a domain, as seen from a leaf node.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets how many events a subscription reads ahead unless its options say
    /// otherwise; 0 asks when the reader asks. Default: 200, at most 32,768.
    pub fn prefetch(mut self, events: usize) -> Self {
        self.prefetch = events;
        self
    }

    /// Chooses what happens when the stream exists with other settings.
    pub fn on_existing(mut self, policy: ExistingStream) -> Self {
        self.stream.on_existing = policy;
        self
    }

    /// Chooses what happens when a durable is opened with another filter or
    /// other options than it has.
    pub fn on_existing_durable(mut self, policy: ExistingDurable) -> Self {
        self.on_existing_durable = policy;
        self
    }

    /// Connects and makes sure that the stream exists.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] and [`EventError::InvalidSubject`] for what
    /// has no meaning, files that cannot be read included, before anything is
    /// sent; [`EventError::Connection`] when no server is reached or it refuses
    /// the credentials; [`EventError::StreamMismatch`] when the stream exists
    /// with other settings. No error holds a credential.
    pub async fn connect(self) -> Result<NatsProvider> {
        self.validate()?;
        let addresses = Addresses::parse(&self.config.url)?;
        let prefix = SubjectPrefix::parse(&self.config.subject_prefix)?;
        let (changes, _) = watch::channel(());
        let options = self.options(addresses.login, changes.clone()).await?;
        let client = options
            .connect(&addresses.servers[..])
            .await
            .map_err(|error| EventError::connection(addresses.shown.clone(), error))?;
        let timeout = seconds_bounded(self.config.request_timeout_secs);
        let connection = Connection::owned(client, changes, addresses.shown, timeout);
        self.open(connection, prefix).await
    }

    /// Uses a connection that exists. What the builder and the configuration
    /// say about reaching a server is refused or, for the URL and the connect
    /// timeout, not used.
    ///
    /// [`close`](a3s_event_core::provider::EventProvider::close) flushes the
    /// client and leaves it open. Its reconnects are noticed within 100
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    pub async fn connect_with_client(self, client: Client) -> Result<NatsProvider> {
        self.validate()?;
        let config = &self.config;
        let set = [
            ("token", config.token.is_some()),
            ("credentials_path", config.credentials_path.is_some()),
            ("user_and_password", self.login.is_some()),
            ("nkey", self.nkey_seed.is_some()),
            ("root_certificates", self.tls.roots.is_some()),
            ("client_certificate", self.tls.client.is_some()),
            ("require_tls", self.tls.required || self.tls.first),
        ];
        if let Some((option, _)) = set.into_iter().find(|(_, set)| *set) {
            return Err(EventError::invalid_option(
                option,
                "belongs to the client that is handed in",
            ));
        }
        let prefix = SubjectPrefix::parse(&config.subject_prefix)?;
        let info = client.server_info();
        let server = format!("{}:{}", info.host, info.port);
        let timeout = seconds_bounded(config.request_timeout_secs);
        let connection = Connection::foreign(client, server, timeout);
        self.open(connection, prefix).await
    }

    fn validate(&self) -> Result<()> {
        self.config.validate()?;
        self.stream.validate(&self.config)?;
        if self.prefetch > LARGEST_PREFETCH {
            return Err(EventError::invalid_option(
                "prefetch",
                format!("must be at most {LARGEST_PREFETCH}"),
            ));
        }
        if let Some(domain) = &self.domain {
            a3s_event_core::subject::validate_category(domain)
                .map_err(|error| EventError::invalid_option("domain", error.to_string()))?;
        }
        Ok(())
    }

    async fn options(
        &self,
        in_url: Option<Login>,
        changes: watch::Sender<()>,
    ) -> Result<ConnectOptions> {
        let config = &self.config;
        let given = [
            config.token.is_some(),
            self.login.is_some(),
            self.nkey_seed.is_some(),
            config.credentials_path.is_some(),
        ];
        if in_url.is_some() && given.contains(&true) {
            return Err(EventError::invalid_option(
                "url",
                "must not hold credentials when others are given",
            ));
        }
        let tls = self.tls.clone();
        let tls = tokio::task::spawn_blocking(move || tls.load())
            .await
            .map_err(|error| crate::error::failed("set up TLS", error))??;
        let mut options = ConnectOptions::new()
            .name("a3s-event")
            .connection_timeout(seconds_bounded(config.connect_timeout_secs))
            .request_timeout(Some(seconds_bounded(config.request_timeout_secs)))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(pause_before)
            .tls_client_config(tls)
            .require_tls(self.tls.required)
            .event_callback(move |event| {
                report(&event);
                changes.send_replace(());
                async {}
            });
        if self.tls.first {
            options = options.tls_first();
        }
        if let Some(token) = &config.token {
            options = options.token(token.clone());
        }
        if let Some((user, password)) = &self.login {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(seed) = &self.nkey_seed {
            options = options.nkey(seed.clone());
        }
        match in_url {
            Some(Login::Token(token)) => options = options.token(token),
            Some(Login::Password { user, password }) => {
                options = options.user_and_password(user, password);
            }
            None => {}
        }
        if let Some(path) = &config.credentials_path {
            options = options.credentials_file(path).await.map_err(|error| {
                EventError::invalid_option(
                    "credentials_path",
                    format!("`{path}` cannot be used: {}", error.kind()),
                )
            })?;
        }
        Ok(options)
    }

    async fn open(self, connection: Connection, prefix: SubjectPrefix) -> Result<NatsProvider> {
        let api = Api::new(self.domain.as_deref(), &self.config.stream_name);
        let info = stream::open(&connection, &api, &self.config, &prefix, &self.stream).await?;
        let settings = Settings {
            prefix,
            prefetch: self.prefetch,
            on_existing_durable: self.on_existing_durable,
        };
        Ok(NatsProvider::new(connection, api, info, settings))
    }
}

impl fmt::Debug for NatsProviderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsProviderBuilder")
            .field("config", &self.config)
            .field(
                "user_and_password",
                &self.login.as_ref().map(|_| "<hidden>"),
            )
            .field("nkey", &self.nkey_seed.as_ref().map(|_| "<hidden>"))
            .field("tls", &self.tls)
            .field("stream", &self.stream)
            .field("domain", &self.domain)
            .field("prefetch", &self.prefetch)
            .field("on_existing_durable", &self.on_existing_durable)
            .finish()
    }
}

/// Doubles from a millisecond.
fn pause_before(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    match 2_u64.checked_pow(doublings) {
        Some(pause) if attempts > 0 => Duration::from_millis(pause).min(LONGEST_RECONNECT_PAUSE),
        Some(_) => Duration::ZERO,
        None => LONGEST_RECONNECT_PAUSE,
    }
}

fn report(event: &Event) {
    match event {
        Event::Disconnected => tracing::warn!("the connection to NATS is lost"),
        Event::SlowConsumer(_) => {
            tracing::error!("the NATS client dropped messages: its queue is full");
        }
        Event::ServerError(error) => tracing::warn!(%error, "the NATS server reports an error"),
        Event::ClientError(error) => tracing::warn!(%error, "the NATS client reports an error"),
        Event::Connected | Event::LameDuckMode | Event::Draining | Event::Closed => {}
    }
}
