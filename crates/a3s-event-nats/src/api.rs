//! The JetStream API: JSON requests below one subject.

use std::time::Duration;

use a3s_event_core::{EventError, Result};
use async_nats::{Message, Subject};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::time::{self, Instant};

use crate::{
    connection::Connection,
    error::{ApiError, failed, reached_nobody},
};

/// After which a question without an answer is asked again.
const UNANSWERED: Duration = Duration::from_secs(2);

/// Before a cluster that has no leader is asked again.
const NO_LEADER: Duration = Duration::from_millis(250);

/// A configuration as the server has it: fields by name.
pub(crate) type Fields = Map<String, Value>;

/// Where the API of a stream is.
#[derive(Debug)]
pub(crate) struct Api {
    /// `$JS.API`, or the same of a domain.
    prefix: String,
    pub(crate) stream: String,
}

/// What the server says about a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: Fields,
    #[serde(default)]
    pub(crate) created: String,
    #[serde(default)]
    pub(crate) state: StreamState,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct StreamState {
    #[serde(default)]
    pub(crate) messages: u64,
    #[serde(default)]
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) last_seq: u64,
    #[serde(default)]
    pub(crate) consumer_count: usize,
}

/// What the server says about a consumer.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerState {
    pub(crate) config: Fields,
    #[serde(default)]
    pub(crate) created: String,
    #[serde(default)]
    pub(crate) delivered: Position,
    #[serde(default)]
    pub(crate) num_pending: u64,
    #[serde(default)]
    pub(crate) num_ack_pending: u64,
}

impl ConsumerState {
    /// What lies before the first event that it hands over, `first` or higher.
    pub(crate) fn position(&self, first: u64) -> u64 {
        self.delivered.stream_seq.max(first.saturating_sub(1))
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Position {
    #[serde(default)]
    pub(crate) stream_seq: u64,
}

/// How a consumer is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Refused if another one has the name. Servers before 2.10 do not know it.
    Create,
    /// Refused if none has the name. Servers before 2.10 do not know it.
    Update,
    /// Creates or overwrites.
    Any,
}

/// An answer of the API, which the server may have refused.
pub(crate) type Answer<T> = Result<T, ApiError>;

/// What can be asked of the API.
struct Verb {
    /// In the subject.
    name: &'static str,
    /// For errors.
    operation: &'static str,
    /// Whether it changes nothing, so that it may be asked again where that gets no
    /// answer. A second change may be served after a later one, and would bring back
    /// what that one has removed.
    reads: bool,
}

impl Verb {
    const STREAM_INFO: Self = Self::read("STREAM.INFO", "read the stream");
    const STREAM_CREATE: Self = Self::change("STREAM.CREATE", "create the stream");
    const STREAM_UPDATE: Self = Self::change("STREAM.UPDATE", "update the stream");
    const CONSUMER_INFO: Self = Self::read("CONSUMER.INFO", "read the consumer");
    const CONSUMER_CREATE: Self = Self::change("CONSUMER.CREATE", "create the consumer");
    const CONSUMER_DELETE: Self = Self::change("CONSUMER.DELETE", "delete the consumer");
    const MESSAGE: Self = Self::read("STREAM.MSG.GET", "read a message");

    const fn read(name: &'static str, operation: &'static str) -> Self {
        Self {
            name,
            operation,
            reads: true,
        }
    }

    const fn change(name: &'static str, operation: &'static str) -> Self {
        Self {
            name,
            operation,
            reads: false,
        }
    }
}

impl Api {
    pub(crate) fn new(domain: Option<&str>, stream: &str) -> Self {
        Self {
            prefix: match domain {
                Some(domain) => format!("$JS.{domain}.API"),
                None => "$JS.API".to_owned(),
            },
            stream: stream.to_owned(),
        }
    }

    /// The subject that answers direct reads.
    pub(crate) fn direct_get(&self) -> Subject {
        format!("{}.DIRECT.GET.{}", self.prefix, self.stream).into()
    }

    /// The subject of pull requests for `consumer`.
    pub(crate) fn pull(&self, consumer: &str) -> Subject {
        let Self { prefix, stream } = self;
        format!("{prefix}.CONSUMER.MSG.NEXT.{stream}.{consumer}").into()
    }

    pub(crate) async fn stream_info(&self, on: &Connection) -> Result<Answer<StreamInfo>> {
        self.call(on, Verb::STREAM_INFO, "", &Value::Null).await
    }

    pub(crate) async fn create_stream(
        &self,
        on: &Connection,
        config: &Fields,
    ) -> Result<Answer<StreamInfo>> {
        self.call(on, Verb::STREAM_CREATE, "", &json!(config)).await
    }

    pub(crate) async fn update_stream(
        &self,
        on: &Connection,
        config: &Fields,
    ) -> Result<Answer<StreamInfo>> {
        self.call(on, Verb::STREAM_UPDATE, "", &json!(config)).await
    }

    pub(crate) async fn create_consumer(
        &self,
        on: &Connection,
        name: &str,
        config: &Fields,
        action: Action,
    ) -> Result<Answer<ConsumerState>> {
        let mut body = json!({"stream_name": self.stream, "config": config});
        match action {
            Action::Create => body["action"] = "create".into(),
            Action::Update => body["action"] = "update".into(),
            Action::Any => {}
        }
        self.call(on, Verb::CONSUMER_CREATE, name, &body).await
    }

    pub(crate) async fn consumer_info(
        &self,
        on: &Connection,
        name: &str,
    ) -> Result<Answer<ConsumerState>> {
        self.call(on, Verb::CONSUMER_INFO, name, &Value::Null).await
    }

    /// Deletes a consumer; one that does not exist is as good.
    pub(crate) async fn delete_consumer(&self, on: &Connection, name: &str) -> Result<()> {
        const VERB: Verb = Verb::CONSUMER_DELETE;
        let deleted: Answer<Value> = self.call(on, VERB, name, &Value::Null).await?;
        match deleted {
            Err(error) if !error.no_consumer() && !error.is(ApiError::STREAM_NOT_FOUND) => {
                Err(error.during(VERB.operation))
            }
            _ => Ok(()),
        }
    }

    /// Reads one stored message from the leader of the stream; `None` if there is none.
    pub(crate) async fn message(
        &self,
        on: &Connection,
        which: &Value,
    ) -> Result<Option<StoredMessage>> {
        const VERB: Verb = Verb::MESSAGE;
        #[derive(Deserialize)]
        struct Found {
            message: StoredMessage,
        }
        let found: Answer<Found> = self.call(on, VERB, "", which).await?;
        match found {
            Ok(found) => Ok(Some(found.message)),
            Err(error) if error.is(ApiError::MESSAGE_NOT_FOUND) => Ok(None),
            Err(error) => Err(error.during(VERB.operation)),
        }
    }

    /// Asks again where it is certain that nobody has taken note of the question,
    /// and where nobody answers in a cluster without a leader: not before there is one.
    async fn call<T: DeserializeOwned>(
        &self,
        on: &Connection,
        verb: Verb,
        name: &str,
        body: &Value,
    ) -> Result<Answer<T>> {
        let Verb {
            name: verb,
            operation,
            reads,
        } = verb;
        let Self { prefix, stream } = self;
        let subject = if name.is_empty() {
            format!("{prefix}.{verb}.{stream}")
        } else {
            format!("{prefix}.{verb}.{stream}.{name}")
        };
        let payload = match body {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body)?,
        };
        let (subject, payload) = (Subject::from(subject), Bytes::from(payload));
        let until = Instant::now() + on.request_timeout;
        let left = || until.saturating_duration_since(Instant::now());
        let ask = || on.request(operation, subject.clone(), None, payload.clone(), left());
        let mut repeats = on.repeats();
        loop {
            on.wait_until_up(left()).await?;
            let asked = match reads && on.is_clustered() {
                true => first_answer(ask).await,
                false => ask().await,
            };
            let answer = match asked {
                Ok(answer) => answer_of(operation, &answer)?,
                Err(EventError::Timeout { .. }) => {
                    return Err(on.timed_out(operation, on.request_timeout));
                }
                Err(error) if reached_nobody(&error) && repeats.pause(until).await => continue,
                Err(error) => return Err(error),
            };
            match answer {
                Err(ref error) if error.passes() && left() > NO_LEADER => {
                    time::sleep(NO_LEADER).await;
                }
                answer => return Ok(answer),
            }
        }
    }
}

/// Asks once more whenever there was no answer for some time, and returns the
/// first answer to any of the questions.
async fn first_answer<A: Future<Output = Result<Message>>>(ask: impl Fn() -> A) -> Result<Message> {
    let mut asked = FuturesUnordered::new();
    loop {
        asked.push(ask());
        if let Ok(Some(answer)) = time::timeout(UNANSWERED, asked.next()).await {
            return answer;
        }
    }
}

/// Reads an answer of the API.
pub(crate) fn answer_of<T: DeserializeOwned>(
    operation: &'static str,
    answer: &Message,
) -> Result<Answer<T>> {
    #[derive(Deserialize)]
    struct Refused {
        error: ApiError,
    }
    // An answer without the fields of a success is tried as a refusal.
    match serde_json::from_slice(&answer.payload) {
        Ok(value) => match serde_json::from_slice::<Refused>(&answer.payload) {
            Ok(refused) => Ok(Err(refused.error)),
            Err(_) => Ok(Ok(value)),
        },
        Err(unreadable) => match serde_json::from_slice::<Refused>(&answer.payload) {
            Ok(refused) => Ok(Err(refused.error)),
            Err(_) => Err(failed(operation, unreadable)),
        },
    }
}

/// A message as the API gives it out.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredMessage {
    pub(crate) seq: u64,
    #[serde(default)]
    hdrs: String,
}

impl StoredMessage {
    /// The value of the header `name`.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = STANDARD.decode(&self.hdrs).ok()?;
        let headers = String::from_utf8(headers).ok()?;
        headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

/// A number in `config`, 0 when it is absent.
pub(crate) fn number(config: &Fields, field: &str) -> i64 {
    config.get(field).and_then(Value::as_i64).unwrap_or(0)
}

/// A text in `config`, empty when it is absent.
pub(crate) fn text<'a>(config: &'a Fields, field: &str) -> &'a str {
    config.get(field).and_then(Value::as_str).unwrap_or("")
}

/// The error of a stream that does not exist.
pub(crate) fn no_stream(stream: &str) -> EventError {
    EventError::not_found("stream", stream)
}
