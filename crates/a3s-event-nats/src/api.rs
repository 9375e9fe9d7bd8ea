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
        self.read(on, "read the stream", "STREAM.INFO", "", &Value::Null)
            .await
    }

    pub(crate) async fn create_stream(
        &self,
        on: &Connection,
        config: &Fields,
    ) -> Result<Answer<StreamInfo>> {
        self.change(on, "create the stream", "STREAM.CREATE", "", &json!(config))
            .await
    }

    pub(crate) async fn update_stream(
        &self,
        on: &Connection,
        config: &Fields,
    ) -> Result<Answer<StreamInfo>> {
        self.change(on, "update the stream", "STREAM.UPDATE", "", &json!(config))
            .await
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
        self.change(on, "create the consumer", "CONSUMER.CREATE", name, &body)
            .await
    }

    pub(crate) async fn consumer_info(
        &self,
        on: &Connection,
        name: &str,
    ) -> Result<Answer<ConsumerState>> {
        self.read(on, "read the consumer", "CONSUMER.INFO", name, &Value::Null)
            .await
    }

    /// Deletes a consumer; one that does not exist is as good.
    pub(crate) async fn delete_consumer(&self, on: &Connection, name: &str) -> Result<()> {
        const OPERATION: &str = "delete the consumer";
        let deleted: Answer<Value> = self
            .change(on, OPERATION, "CONSUMER.DELETE", name, &Value::Null)
            .await?;
        match deleted {
            Err(error) if !error.no_consumer() && !error.is(ApiError::STREAM_NOT_FOUND) => {
                Err(error.during(OPERATION))
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
        const OPERATION: &str = "read a message";
        #[derive(Deserialize)]
        struct Found {
            message: StoredMessage,
        }
        let found: Answer<Found> = self
            .read(on, OPERATION, "STREAM.MSG.GET", "", which)
            .await?;
        match found {
            Ok(found) => Ok(Some(found.message)),
            Err(error) if error.is(ApiError::MESSAGE_NOT_FOUND) => Ok(None),
            Err(error) => Err(error.during(OPERATION)),
        }
    }

    /// Asks for something, and asks again where that gets no answer: in a cluster
    /// without a leader, nobody answers what was asked before there is one.
    async fn read<T: DeserializeOwned>(
        &self,
        on: &Connection,
        operation: &'static str,
        verb: &str,
        name: &str,
        body: &Value,
    ) -> Result<Answer<T>> {
        let again = on.is_clustered().then_some(UNANSWERED);
        self.call(on, operation, verb, name, body, again).await
    }

    /// Changes something. Asked once: a second request may be served after a later
    /// change, and would bring back what that one has removed.
    async fn change<T: DeserializeOwned>(
        &self,
        on: &Connection,
        operation: &'static str,
        verb: &str,
        name: &str,
        body: &Value,
    ) -> Result<Answer<T>> {
        self.call(on, operation, verb, name, body, None).await
    }

    /// Asks `again` after some time without an answer, and where it is certain that
    /// nobody has taken note of the question.
    async fn call<T: DeserializeOwned>(
        &self,
        on: &Connection,
        operation: &'static str,
        verb: &str,
        name: &str,
        body: &Value,
        again: Option<Duration>,
    ) -> Result<Answer<T>> {
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
            let asked = match again {
                Some(again) => first_answer(ask, again).await,
                None => ask().await,
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

/// Asks once more whenever `again` has passed, and returns the first answer to
/// any of the questions.
async fn first_answer<A: Future<Output = Result<Message>>>(
    ask: impl Fn() -> A,
    again: Duration,
) -> Result<Message> {
    let mut asked = FuturesUnordered::new();
    loop {
        asked.push(ask());
        if let Ok(Some(answer)) = time::timeout(again, asked.next()).await {
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
