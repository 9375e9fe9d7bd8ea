//! Runs operations on both providers, and compares.

mod compare;
mod publish;
mod receive;
mod subscribe;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use a3s_event::{
    provider::{DeliveryHandle, EventProvider, Subscription, memory::MemoryProvider},
    types::SubscribeOptions,
};
use tokio::time::sleep;

use super::{
    consumer::{Consumer, Handles},
    operation::{Open, Operation, Reply, VERBATIM, Way, Which},
    outcome::Both,
};
use crate::pipeline::stage::{MAX_EVENT_BYTES, Stage as Storage};

/// How long to wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to watch the server for what must not happen. What comes too late
/// for it is found by the next operation.
const QUIET: Duration = Duration::from_millis(10);

/// Tells two times of storing apart.
const GAP: Duration = Duration::from_millis(3);

/// Both providers, with everything that was opened and delivered.
pub(super) struct Stage {
    providers: Both<Arc<dyn EventProvider>>,
    prefix: String,
    consumers: Vec<Consumer>,
    readers: Vec<Reader>,
    deliveries: Vec<Delivery>,
    /// How many readers were opened.
    opened: usize,
    /// The reader of the last operation on one.
    current: usize,
    /// The last sequence of the stream.
    last: u64,
    marked: u64,
    /// What happened, for the report of a difference.
    story: String,
}

/// A pair of subscriptions.
struct Reader {
    consumer: usize,
    subscriptions: Both<Box<dyn Subscription>>,
    is_open: bool,
    reads_ahead: bool,
    /// A `next` was dropped in vain, and its request may be left.
    asks: bool,
    /// What `next` handed over last.
    last: Option<u64>,
    id: usize,
}

/// A pair of deliveries of one event.
struct Delivery {
    consumer: usize,
    reader: usize,
    sequence: u64,
    handles: Both<DeliveryHandle>,
}

impl Stage {
    /// Runs `operations` on two empty providers.
    pub(super) fn play(operations: &[Operation]) {
        Storage::nats().play(async |storage: Storage| {
            let nats = storage.process().await;
            let memory = MemoryProvider::builder()
                .subject_prefix(nats.subject_prefix())
                .max_event_bytes(MAX_EVENT_BYTES)
                .build()
                .unwrap();
            let mut stage = Self {
                prefix: nats.subject_prefix().to_owned(),
                providers: Both {
                    memory: Arc::new(memory),
                    nats,
                },
                consumers: Vec::new(),
                readers: Vec::new(),
                deliveries: Vec::new(),
                opened: 0,
                current: 0,
                last: 0,
                marked: 0,
                story: String::new(),
            };
            for operation in operations {
                stage.run(operation).await;
            }
            stage.finish().await;
        });
    }

    async fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish {
                subject,
                msg_id,
                expected,
            } => self.publish(subject, *msg_id, *expected).await,
            Operation::PublishBatch { subjects } => self.publish_batch(subjects).await,
            Operation::Open(open) => self.open(open).await,
            Operation::Take {
                reader,
                way,
                count,
                insist,
            } => {
                if let Some(reader) = self.chosen(reader) {
                    self.take(reader, *way, *count, *insist).await;
                }
            }
            Operation::Answer { back, replies } => self.answer(*back, replies).await,
            Operation::Close { reader } => {
                if let Some(reader) = self.chosen(reader) {
                    self.close(reader).await;
                }
            }
            Operation::Drop { reader } => {
                if let Some(reader) = self.chosen(reader) {
                    self.drop_reader(reader).await;
                }
            }
            Operation::Unsubscribe { name } => self.unsubscribe(name).await,
            Operation::History { pattern, limit } => {
                let pattern = pattern.map(|pattern| self.full(pattern));
                self.history(pattern.as_deref(), *limit).await;
            }
            Operation::Info => self.info().await,
            Operation::Health => {
                let healthy = self.both(async |provider| provider.health().await).await;
                self.same("health", healthy);
            }
            Operation::ConsumerInfo { name } => self.consumer_info(name).await,
            Operation::Mark => {
                sleep(GAP).await;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                self.marked = now.as_millis() as u64;
                sleep(GAP).await;
            }
        }
    }

    /// Leaves a durable and opens it again.
    async fn reopen(&mut self, consumer: usize, name: &'static str) {
        for reader in 0..self.readers.len() {
            if self.readers[reader].consumer == consumer {
                self.close(reader).await;
            }
        }
        self.consumer_info(name).await;
        self.open(&Open {
            name: Some(name),
            pattern: ">",
            options: SubscribeOptions::default().with_prefetch(0),
            at_mark: false,
            as_created: true,
        })
        .await;
    }

    /// Reads what is left, then closes both providers.
    async fn finish(&mut self) {
        for consumer in 0..self.consumers.len() {
            let Consumer { name, gone, .. } = self.consumers[consumer];
            if gone {
                continue;
            }
            if let Some(name) = name {
                self.reopen(consumer, name).await;
            }
            self.take_all(consumer).await;
        }
        self.info().await;
        self.history(None, usize::MAX).await;
        let closed = self.both(async |provider| provider.close().await).await;
        self.agreed("close the provider", closed).unwrap();
        self.publish("a.x", None, None).await;
        self.publish_batch(&["a.x"]).await;
        self.history(None, 1).await;
        self.unsubscribe("one").await;
        let info = self
            .both(async |provider| provider.info().await.map(drop))
            .await;
        self.agreed("info", info).unwrap_err();
        for reader in 0..self.readers.len() {
            if !self.consumers[self.readers[reader].consumer].gone {
                self.take_one(reader, Way::Manual, true).await;
            }
        }
        for delivery in 0..self.deliveries.len().min(4) {
            self.answer(delivery, &[Reply::Ack]).await;
        }
    }

    fn chosen(&mut self, which: &Which) -> Option<usize> {
        let same = |reader: &Reader| reader.is_open && reader.id == self.current;
        if which.same
            && let Some(current) = self.readers.iter().position(same)
        {
            return Some(current);
        }
        let mut readers: Vec<usize> = (0..self.readers.len()).collect();
        readers.retain(|&reader| which.closed_too || self.readers[reader].is_open);
        if readers.is_empty() {
            return None;
        }
        let chosen = *which.index.get(&readers);
        self.current = self.readers[chosen].id;
        Some(chosen)
    }

    fn durable(&self, name: &str) -> Option<usize> {
        let named = |consumer: &Consumer| !consumer.gone && consumer.name == Some(name);
        self.consumers.iter().position(named)
    }

    fn handles(&self, consumer: usize) -> Handles {
        let mut handles = Handles {
            open: 0,
            ahead: false,
        };
        for reader in &self.readers {
            if reader.is_open && reader.consumer == consumer {
                handles.open += 1;
                handles.ahead |= reader.reads_ahead || reader.asks;
            }
        }
        handles
    }

    fn full(&self, subject: &str) -> String {
        match subject.strip_prefix(VERBATIM) {
            Some(verbatim) => verbatim.to_owned(),
            None => format!("{}.{subject}", self.prefix),
        }
    }
}
