//! Opening and leaving.

use a3s_event::types::{DeliverPolicy, SubscribeOptions};
use tokio::time::{sleep, timeout};

use super::{GAP, PATIENCE, Reader, Stage};
use crate::equivalence::{
    consumer::{Consumer, Leaving},
    operation::Open,
    outcome::Both,
};

impl Stage {
    pub(super) async fn open(&mut self, open: &Open) {
        let mut options = open.options.clone();
        if open.at_mark && self.marked > 0 {
            options.deliver_policy = DeliverPolicy::ByStartTime {
                timestamp: self.marked,
            };
        }
        let mut pattern = self.full(open.pattern);
        let existing = open.name.and_then(|name| self.durable(name));
        if let Some(existing) = existing
            && open.as_created
        {
            let existing = &self.consumers[existing];
            pattern.clone_from(&existing.pattern);
            options = SubscribeOptions {
                deliver_policy: options.deliver_policy,
                prefetch: options.prefetch,
                ..existing.options.clone()
            };
        }
        let opened = self
            .both(async |provider| match open.name {
                Some(name) => {
                    let opened = provider.subscribe_durable_with_options(name, &pattern, &options);
                    opened.await
                }
                None => provider.subscribe_with_options(&pattern, &options).await,
            })
            .await;
        let what = format!("open {:?} {pattern} {options:?}", open.name);
        let subscriptions = match opened {
            Both {
                memory: Ok(memory),
                nats: Ok(nats),
            } => Both { memory, nats },
            Both { memory, nats } => {
                let (memory, nats) = (memory.map(drop), nats.map(drop));
                self.same(&what, Both { memory, nats });
                return;
            }
        };
        let id = self.opened;
        self.opened += 1;
        self.tell(&format!("{what} -> reader {id}"));
        let reads_ahead = Consumer::reads_ahead(&options);
        let consumer = existing.unwrap_or_else(|| {
            let consumer = Consumer::new(open.name, pattern, options, self.last);
            self.consumers.push(consumer);
            self.consumers.len() - 1
        });
        let handles = self.handles(consumer);
        self.consumers[consumer].join(handles);
        self.readers.push(Reader {
            consumer,
            subscriptions,
            is_open: true,
            reads_ahead,
            asks: false,
            last: None,
            id,
        });
    }

    pub(super) async fn close(&mut self, reader: usize) {
        self.settle_request(reader).await;
        let Both { memory, nats } = &mut self.readers[reader].subscriptions;
        let closed = Both {
            memory: memory.close().await,
            nats: timeout(PATIENCE, nats.close())
                .await
                .expect("it closes in time"),
        };
        let id = self.readers[reader].id;
        self.same(&format!("close reader {id}"), closed);
        self.leave(reader, false);
    }

    pub(super) async fn drop_reader(&mut self, reader: usize) {
        if self.may_spend_a_delivery(reader) {
            // Nobody would hear of it.
            self.close(reader).await;
        }
        self.tell(&format!("drop reader {}", self.readers[reader].id));
        self.leave(reader, true);
        self.readers.remove(reader);
    }

    /// Takes what a request that is left may have fetched: a delivery that
    /// nobody sees counts, and may be the last permitted one.
    async fn settle_request(&mut self, reader: usize) {
        if self.may_spend_a_delivery(reader) {
            self.take_all(self.readers[reader].consumer).await;
        }
    }

    fn may_spend_a_delivery(&self, reader: usize) -> bool {
        let reader = &self.readers[reader];
        let consumer = &self.consumers[reader.consumer];
        reader.is_open && reader.asks && !consumer.gone && consumer.is_capped()
    }

    fn leave(&mut self, reader: usize, dropped: bool) {
        let reader = &mut self.readers[reader];
        if !std::mem::replace(&mut reader.is_open, false) {
            return;
        }
        let capped = self.consumers[reader.consumer].is_capped();
        let leaving = Leaving {
            last: reader.last.take(),
            ahead: reader.reads_ahead || (reader.asks && !capped),
            dropped,
        };
        let consumer = reader.consumer;
        let rest = self.handles(consumer);
        self.consumers[consumer].leave(leaving, rest);
    }

    pub(super) async fn unsubscribe(&mut self, name: &str) {
        let done = self
            .both(async |provider| provider.unsubscribe(name).await)
            .await;
        let done = self.agreed(&format!("unsubscribe {name:?}"), done);
        if done.is_ok()
            && let Some(consumer) = self.durable(name)
        {
            self.consumers[consumer].gone = true;
        }
    }

    pub(super) async fn consumer_info(&mut self, name: &str) {
        let Some(consumer) = self.durable(name) else {
            let info = self
                .both(async |provider| provider.consumer_info(name).await)
                .await;
            self.same(&format!("consumer info {name:?}"), info);
            return;
        };
        let memory = self.providers.memory.consumer_info(name).await.unwrap();
        let handles = self.handles(consumer);
        let mut last = None;
        // Answers may be under way.
        let agreed = timeout(PATIENCE, async {
            loop {
                let nats = self.providers.nats.consumer_info(name).await.unwrap();
                if self.consumers[consumer].same_info(Both { memory, nats }, handles) {
                    break;
                }
                last = Some(nats);
                sleep(GAP).await;
            }
        })
        .await;
        if agreed.is_err() {
            self.differ(&format!("consumer info {name:?}"), &memory, &last);
        }
        self.tell(&format!("consumer info {name:?} -> {memory:?}"));
    }
}
