use std::fmt;

use a3s_event_core::{EventError, Result};

/// Where a stream keeps its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum StorageType {
    /// In files: events survive a restart of the server.
    #[default]
    File,
    /// In memory: faster to write, lost when the server ends.
    Memory,
}

impl StorageType {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

/// How to reach a server and what the stream looks like.
///
/// The fields never change; what is not among them is set on
/// [`NatsProvider::builder`](crate::NatsProvider::builder). `docs/deployment.md`
/// describes each field with what the server does.
///
/// `Debug` hides the token and everything in the URL that could be a secret.
///
/// # Examples
///
/// ```
/// use a3s_event_nats::NatsConfig;
///
/// let config = NatsConfig {
///     url: "nats://10.0.0.1:4222,nats://10.0.0.2:4222".to_string(),
///     max_events: 1_000_000,
///     ..Default::default()
/// };
/// assert_eq!(config.stream_name, "A3S_EVENTS");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NatsConfig {
    /// One server or several, separated by commas: `nats://host:port` or
    /// `tls://host:port`, optionally with `user:password@` or `token@`.
    /// Default: `nats://127.0.0.1:4222`.
    pub url: String,
    /// Token that the server asks for. Default: none.
    pub token: Option<String>,
    /// Path of a `.creds` file with a JWT and its key. Read when connecting;
    /// a missing file is an error. Default: none.
    pub credentials_path: Option<String>,
    /// Name of the stream. Default: `A3S_EVENTS`.
    pub stream_name: String,
    /// First tokens of every subject. Default: `events`.
    pub subject_prefix: String,
    /// Where the stream keeps its events. Default: files.
    pub storage: StorageType,
    /// Most events to retain; the oldest go first. 0 is unlimited. Default: 100,000.
    pub max_events: i64,
    /// Longest time to retain an event, in seconds. 0 is unlimited. Default: 7 days.
    pub max_age_secs: u64,
    /// Most bytes to retain. 0 is unlimited, which is the default.
    pub max_bytes: i64,
    /// Limit for connecting to one server, in seconds. Default: 5.
    pub connect_timeout_secs: u64,
    /// Limit for every request, publishing included, in seconds. Default: 10.
    pub request_timeout_secs: u64,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            token: None,
            credentials_path: None,
            stream_name: "A3S_EVENTS".to_owned(),
            subject_prefix: "events".to_owned(),
            storage: StorageType::File,
            max_events: 100_000,
            max_age_secs: 604_800,
            max_bytes: 0,
            connect_timeout_secs: 5,
            request_timeout_secs: 10,
        }
    }
}

impl NatsConfig {
    /// Checks what needs no server, apart from the subject prefix and the URL.
    pub(crate) fn validate(&self) -> Result<()> {
        validate_stream_name(&self.stream_name)?;
        for (option, value) in [
            ("max_events", self.max_events),
            ("max_bytes", self.max_bytes),
        ] {
            if value < -1 {
                return Err(EventError::invalid_option(
                    option,
                    "must be positive, or 0 for unlimited",
                ));
            }
        }
        for (option, seconds) in [
            ("connect_timeout_secs", self.connect_timeout_secs),
            ("request_timeout_secs", self.request_timeout_secs),
        ] {
            if seconds == 0 {
                return Err(EventError::invalid_option(option, "must be at least 1"));
            }
        }
        // The server counts in nanoseconds in a signed number.
        if self.max_age_secs > i64::MAX as u64 / 1_000_000_000 {
            return Err(EventError::invalid_option(
                "max_age_secs",
                "must be at most 9,223,372,036 (292 years)",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "<hidden>");
        f.debug_struct("NatsConfig")
            .field("url", &crate::address::without_credentials(&self.url))
            .field("token", &hidden(&self.token))
            .field("credentials_path", &self.credentials_path)
            .field("stream_name", &self.stream_name)
            .field("subject_prefix", &self.subject_prefix)
            .field("storage", &self.storage)
            .field("max_events", &self.max_events)
            .field("max_age_secs", &self.max_age_secs)
            .field("max_bytes", &self.max_bytes)
            .field("connect_timeout_secs", &self.connect_timeout_secs)
            .field("request_timeout_secs", &self.request_timeout_secs)
            .finish()
    }
}

/// The name is a token of the subjects of requests and a folder on the server.
fn validate_stream_name(name: &str) -> Result<()> {
    let rule = if name.is_empty() {
        "must not be empty"
    } else if name.len() > 255 {
        "must not be longer than 255 bytes"
    } else if name
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || ".*>/\\".contains(c))
    {
        "must not hold white space, control characters or any of `.*>/\\`"
    } else {
        return Ok(());
    };
    Err(EventError::invalid_option("stream_name", rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_token_and_the_credentials_in_the_url() {
        let config = NatsConfig {
            url: "nats://ann:hunter2@a:4222,s3cret@b".to_owned(),
            token: Some("t0ken".to_owned()),
            ..NatsConfig::default()
        };
        let shown = format!("{config:?}");
        for secret in ["hunter2", "s3cret", "t0ken", "ann"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("a:4222"), "{shown}");
    }

    #[test]
    fn values_without_meaning_are_refused() {
        let check = |change: fn(&mut NatsConfig), option: &str| {
            let mut config = NatsConfig::default();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(
                matches!(&error, EventError::InvalidOption { option: o, .. } if o == option),
                "{error}"
            );
        };
        check(|c| c.stream_name = String::new(), "stream_name");
        check(|c| c.stream_name = "a.b".to_owned(), "stream_name");
        check(|c| c.stream_name = "a\r\nb".to_owned(), "stream_name");
        check(|c| c.max_events = -2, "max_events");
        check(|c| c.max_bytes = -2, "max_bytes");
        check(|c| c.request_timeout_secs = 0, "request_timeout_secs");
        check(|c| c.connect_timeout_secs = 0, "connect_timeout_secs");
        check(|c| c.max_age_secs = u64::MAX, "max_age_secs");
        assert!(NatsConfig::default().validate().is_ok());
    }
}
