//! The newest events, newest first, at a cost that follows what is asked for.
//!
//! JetStream reads forwards only. What it does offer is a count: a read from a
//! sequence on says how many matches follow. So the sequence from which on just
//! enough matches exist is searched by interpolation, and read from there.

mod direct;
mod probe;

use std::{collections::VecDeque, mem, time::Duration};

use a3s_event_core::{Result, types::Event};
use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::{self, Instant};

use crate::{
    api::number,
    connection::Connection,
    convert,
    error::{failed, is_unheard},
    provider::Shared,
};
use direct::Direct;
use probe::Probe;

/// Most messages of one read.
const PAGE: usize = 1000;

/// The first version whose direct reads take a batch.
const BATCHES_SINCE: (u32, u32) = (2, 11);

/// How often the search starts again when what it found changes under it.
const ROUNDS: usize = 5;

/// Before a source is asked again for what the leader of the stream has and it has not: the
/// first pause, which doubles up to the longest.
const LAG: Duration = Duration::from_millis(5);
const LONGEST_LAG: Duration = Duration::from_millis(320);

const READ: &str = "read the history";

/// A stored message.
pub(crate) struct Stored {
    sequence: u64,
    payload: Bytes,
}

/// What a read from a sequence on gives.
pub(crate) struct Page {
    /// The messages from there on, in order.
    messages: Vec<Stored>,
    /// How many matches follow behind them.
    pending: u64,
}

impl Page {
    fn count(&self) -> u64 {
        self.messages.len() as u64 + self.pending
    }

    /// Puts `tail`, all that was found at or behind the sequence `high`, in place of
    /// what was read from there on; leaves the page as it is where it does not reach there.
    fn join(&mut self, tail: Vec<Stored>, high: u64) {
        let last = self.messages.last().map(|message| message.sequence);
        let reaches = self.pending == 0 || last >= Some(high);
        if tail.is_empty() || !reaches {
            return;
        }
        self.messages.retain(|message| message.sequence < high);
        self.messages.extend(tail);
        self.pending = 0;
    }
}

/// A way to read matches forwards.
enum Source<'a> {
    Direct(Direct<'a>),
    Probe(Probe<'a>),
}

impl Source<'_> {
    /// At most `most` matches from `sequence` on, and how many follow.
    async fn read(&mut self, sequence: u64, most: usize) -> Result<Page> {
        match self {
            Self::Direct(direct) => direct.read(sequence, most).await,
            Self::Probe(probe) => probe.read(sequence, most).await,
        }
    }

    /// The sequence of the newest match, as the leader of the stream knows it: up
    /// to 2.11 it may find none, or an older one, after the newest was deleted.
    async fn newest(&mut self) -> Result<Option<u64>> {
        match self {
            Self::Direct(direct) => direct.newest().await,
            Self::Probe(probe) => probe.newest().await,
        }
    }

    /// Whether a read finds all there is. A replica may lag behind the leader of
    /// the stream, and what a new consumer counts may be short before 2.10.
    const fn is_exact(&self) -> bool {
        matches!(self, Self::Direct(direct) if !direct.replicated)
    }

    async fn end(self) -> Result<()> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Probe(probe) => probe.end().await,
        }
    }
}

/// The newest `limit` events that match `filter`, newest first.
pub(crate) async fn newest(shared: &Shared, filter: &str, limit: usize) -> Result<Vec<Event>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let stream = shared.stream_info().await?;
    let mut source = if shared.direct && shared.connection.version() >= BATCHES_SINCE {
        let replicated = number(&stream.config, "num_replicas") > 1;
        Source::Direct(Direct::open(shared, filter, replicated).await?)
    } else {
        Source::Probe(Probe::open(shared, filter))
    };
    let events = collect(shared, &mut source, limit, stream.state.last_seq).await;
    let ended = source.end().await;
    let events = events?;
    ended?;
    Ok(events)
}

/// Sends a request and waits for the first answer; again where nobody has heard it.
async fn ask(
    connection: &Connection,
    subject: Subject,
    inbox: &Subject,
    request: Bytes,
    answers: &mut Subscriber,
) -> Result<Message> {
    let until = Instant::now() + connection.request_timeout;
    let mut repeats = connection.repeats();
    loop {
        let (subject, inbox, request) = (subject.clone(), inbox.clone(), request.clone());
        let sent = connection
            .client()
            .publish_with_reply(subject, inbox, request);
        let sent = connection.in_time(READ, sent).await?;
        sent.map_err(|error| failed(READ, error))?;
        let answer = next_answer(connection, answers).await?;
        if !(is_unheard(&answer) && repeats.pause(until).await) {
            return Ok(answer);
        }
    }
}

async fn next_answer(connection: &Connection, answers: &mut Subscriber) -> Result<Message> {
    let answer = connection.in_time(READ, answers.next()).await?;
    answer.ok_or_else(|| failed(READ, "the connection ended"))
}

/// The sequence of the newest match that the leader of the stream has.
pub(crate) async fn newest_of_leader(shared: &Shared, filter: &str) -> Result<Option<u64>> {
    let which = json!({"last_by_subj": filter});
    let message = shared.api.message(&shared.connection, &which).await?;
    Ok(message.map(|message| message.seq))
}

/// What is published after the sequence `end` need not be in the answer, so that reading ends.
async fn collect(
    shared: &Shared,
    source: &mut Source<'_>,
    limit: usize,
    mut end: u64,
) -> Result<Vec<Event>> {
    let mut skipped = 0;
    for _ in 0..ROUNDS {
        let wanted = limit.saturating_add(skipped);
        let (page, oldest_read) = search(source, wanted, end).await?;
        let mut tail = Tail::new(limit);
        tail.read(&shared.connection, source, page, end).await?;
        if tail.events.len() == limit || oldest_read {
            return Ok(tail.into_newest_first());
        }
        // Foreign messages do not count, and what a limit removed is gone: look further back.
        skipped = skipped.saturating_mul(2).max(tail.foreign).max(16);
        end = shared.stream_info().await?.state.last_seq;
    }
    Err(failed(
        READ,
        "the stream changes faster than it can be read",
    ))
}

/// Finds a place from which on at least `wanted` matches exist, and not many
/// more. Returns the page read there, and whether it begins at the oldest match.
///
/// What a read costs follows the span of the stream that it covers: the server
/// opens every block of it. So the first guess reaches back just as far as it
/// must, and one that falls short is kept, and only what lies before it is read.
async fn search(source: &mut Source<'_>, wanted: usize, end: u64) -> Result<(Page, bool)> {
    let wanted = wanted as u64;
    // More than wanted by half: the search ends early, and the rest is cheap to read.
    let enough = wanted.saturating_add((wanted / 2).max(16));
    let page = usize::try_from(enough).unwrap_or(PAGE).min(PAGE);
    let oldest = source.read(1, 1).await?;
    let total = oldest.count();
    let Some(first) = oldest.messages.first().map(|first| first.sequence) else {
        return Ok((oldest, true));
    };
    if total <= enough {
        return Ok((source.read(first, page).await?, true));
    }
    // More than `enough` matches lie at or behind `low`, and fewer than `wanted` at or behind
    // `high`, which the server may be wrong about: then the search ends early and more is read.
    let newest = source.newest().await?.unwrap_or(end);
    let (mut low, mut low_count) = (first, total);
    let (mut high, mut high_count) = (newest.max(first) + 1, 0);
    // The matches at or behind `high`, where a page held them all and would hold what is wanted.
    let mut tail = Vec::new();
    let mut step = 0_u32;
    while high - low > 1 {
        step += 1;
        let at = if step.is_multiple_of(3) {
            low + (high - low) / 2
        } else {
            interpolate((low, low_count), (high, high_count), wanted + wanted / 16)
        };
        // One more than what lies before the tail, so that the two meet.
        let most = page - tail.len() + usize::from(!tail.is_empty());
        let mut read = source.read(at, most).await?;
        if read.count() > enough {
            (low, low_count) = (at, read.count());
            continue;
        }
        read.join(mem::take(&mut tail), high);
        if read.count() >= wanted {
            return Ok((read, false));
        }
        (high, high_count) = (at, read.count());
        if source.is_exact() && read.pending == 0 && wanted <= page as u64 {
            tail = read.messages;
        }
    }
    // Neighbors: from the lower one on there is at least enough.
    Ok((source.read(low, page).await?, low == first))
}

/// The place between `low` and `high` behind which `target` matches are
/// expected, strictly between the two.
fn interpolate(low: (u64, u64), high: (u64, u64), target: u64) -> u64 {
    let span = (high.0 - low.0) as f64;
    let matches = low.1.saturating_sub(high.1).max(1) as f64;
    let behind = target.saturating_sub(high.1) as f64;
    let back = (span * behind / matches).ceil() as u64;
    high.0.saturating_sub(back).clamp(low.0 + 1, high.0 - 1)
}

/// The last events of what is read.
struct Tail {
    limit: usize,
    events: VecDeque<Event>,
    foreign: usize,
}

impl Tail {
    const fn new(limit: usize) -> Self {
        Self {
            limit,
            events: VecDeque::new(),
            foreign: 0,
        }
    }

    /// Reads from `page` on to the sequence `end`, or as far as matches exist.
    async fn read(
        &mut self,
        connection: &Connection,
        source: &mut Source<'_>,
        mut page: Page,
        end: u64,
    ) -> Result<()> {
        let mut last = 0;
        let (mut lagging_since, mut lag) = (None, LAG);
        loop {
            let found = !page.messages.is_empty();
            for message in page.messages {
                last = message.sequence;
                self.push(&message);
            }
            if last >= end || (page.pending == 0 && source.is_exact()) {
                return Ok(());
            }
            if found {
                (lagging_since, lag) = (None, LAG);
            } else {
                if source.newest().await? <= Some(last) {
                    return Ok(());
                }
                let since = *lagging_since.get_or_insert_with(Instant::now);
                if since.elapsed() > connection.request_timeout {
                    return Err(connection.timed_out(READ, connection.request_timeout));
                }
                time::sleep(lag).await;
                lag = LONGEST_LAG.min(2 * lag);
            }
            page = source.read(last + 1, PAGE).await?;
        }
    }

    fn push(&mut self, message: &Stored) {
        let Ok(event) = convert::event_of(&message.payload) else {
            self.foreign += 1;
            return;
        };
        if self.events.len() == self.limit {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn into_newest_first(self) -> Vec<Event> {
        self.events.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_stays_between_its_ends() {
        for target in [0, 1, 50, 1_000_000] {
            let at = interpolate((1, 1000), (1001, 0), target);
            assert!((2..=1000).contains(&at), "{at}");
        }
        assert_eq!(interpolate((1, 1000), (1001, 0), 100), 901);
        assert_eq!(interpolate((5, 10), (7, 10), 3), 6);
    }
}
