//! Taking events and answering them.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use a3s_event::{
    EventError,
    provider::{Answer, DeliveryHandle, Subscription},
    types::ReceivedEvent,
};
use tokio::{task::coop::unconstrained, time::timeout};

use super::{Delivery, PATIENCE, QUIET, Reader, Stage};
use crate::equivalence::{
    operation::{Reply, Way},
    outcome::Both,
};

/// An event, and the way back where the caller has to answer.
type Received = (ReceivedEvent, Option<DeliveryHandle>);
type Taken = Result<Option<Received>, EventError>;

impl Stage {
    pub(super) async fn take(&mut self, reader: usize, way: Way, count: usize, insist: bool) {
        let Reader {
            consumer, is_open, ..
        } = self.readers[reader];
        if is_open && !self.consumers[consumer].is_ordered(self.handles(consumer)) {
            self.take_all(consumer).await;
            return;
        }
        for _ in 0..count {
            if !self.take_one(reader, way, insist).await {
                break;
            }
        }
    }

    /// Takes the next event of a reader; whether there was one. Where memory has
    /// none, the server is asked only by who insists or has to come back.
    pub(super) async fn take_one(&mut self, index: usize, way: Way, insist: bool) -> bool {
        let insist = insist || self.readers[index].last.is_some();
        self.come_back(index);
        let reader = &mut self.readers[index];
        let what = format!("take {way:?} from reader {}", reader.id);
        let Both { memory, nats } = &mut reader.subscriptions;
        let Some(memory) = at_once(way.take(&mut **memory)) else {
            if !insist {
                return false;
            }
            let nats = timeout(QUIET, way.take(&mut **nats)).await;
            reader.asks = true;
            let consumer = reader.consumer;
            self.consumers[consumer].asked_in_vain();
            if let Ok(nats) = nats {
                self.differ(&what, &"nothing", &nats);
            }
            self.tell(&format!("{what} -> nothing"));
            return false;
        };
        let Ok(nats) = timeout(PATIENCE, way.take(&mut **nats)).await else {
            self.differ(&what, &memory, &"nothing");
        };
        reader.asks = false;
        match (memory, nats) {
            (Ok(Some(memory)), Ok(Some(nats))) => {
                if way == Way::Automatic {
                    reader.last = Some(memory.0.sequence);
                }
                let reader = Both {
                    memory: index,
                    nats: index,
                };
                self.deliver(&what, reader, Both { memory, nats });
                true
            }
            (memory, nats) => {
                self.same(
                    &what,
                    Both {
                        memory: memory.map(|taken| taken.map(|taken| taken.0)),
                        nats: nats.map(|taken| taken.map(|taken| taken.0)),
                    },
                );
                false
            }
        }
    }

    /// Takes everything that comes to the open handles of a consumer.
    pub(super) async fn take_all(&mut self, consumer: usize) {
        let what = format!("take all of consumer {consumer}");
        let handles = self.handles(consumer);
        let mut open: Vec<usize> = (0..self.readers.len()).collect();
        open.retain(|&index| {
            self.readers[index].is_open && self.readers[index].consumer == consumer
        });
        for &index in &open {
            self.come_back(index);
        }
        let mut memory = self.take_from_memory(&what, &open);
        let mut nats = Vec::new();
        while nats.len() < memory.len() {
            match timeout(PATIENCE, self.whichever(&open)).await {
                Ok((index, Ok(Some(taken)))) => nats.push((index, taken)),
                other => self.differ(&what, &sequences(&memory), &(sequences(&nats), other)),
            }
        }
        if let Ok(more) = timeout(QUIET, self.whichever(&open)).await {
            self.differ(&what, &sequences(&memory), &(sequences(&nats), more));
        }
        for &index in &open {
            self.readers[index].asks = true;
        }
        // Memory knows which of them came before; the server may count more.
        let again: BTreeSet<u64> = memory
            .iter()
            .filter(|(_, (received, _))| received.num_delivered > 1)
            .map(|(_, (received, _))| received.sequence)
            .collect();
        let [one, other] = [&memory, &nats].map(|taken| {
            let order = sequences(taken).into_iter();
            let mut order: Vec<_> = order.map(|s| (s, again.contains(&s))).collect();
            self.consumers[consumer].arrange(handles, &mut order);
            order
        });
        if one != other {
            self.differ(&what, &one, &other);
        }
        for taken in [&mut memory, &mut nats] {
            taken.sort_by_key(|(_, (received, _))| received.sequence);
        }
        for ((one, memory), (other, nats)) in memory.into_iter().zip(nats) {
            let reader = Both {
                memory: one,
                nats: other,
            };
            self.deliver(&what, reader, Both { memory, nats });
        }
        self.consumers[consumer].asked_in_vain();
        self.consumers[consumer].drained();
    }

    /// Everything that memory has for these readers.
    fn take_from_memory(&mut self, what: &str, open: &[usize]) -> Vec<(usize, Received)> {
        let mut all = Vec::new();
        // Twice: by coming back to one handle, another may get something.
        for &index in open.iter().chain(open) {
            let subscription = &mut self.readers[index].subscriptions.memory;
            while let Some(taken) = at_once(Way::Manual.take(&mut **subscription)) {
                match taken {
                    Ok(Some(taken)) => all.push((index, taken)),
                    other => self.differ(what, &other, &"not asked"),
                }
            }
        }
        all
    }

    /// The next event of any of these readers from the server.
    async fn whichever(&mut self, open: &[usize]) -> (usize, Taken) {
        let chosen = self.readers.iter_mut().enumerate();
        let mut waiting: Vec<_> = chosen
            .filter(|(index, _)| open.contains(index))
            .map(|(index, reader)| {
                let subscription = &mut *reader.subscriptions.nats;
                (index, Box::pin(Way::Manual.take(subscription)))
            })
            .collect();
        poll_fn(|context| {
            for (index, next) in &mut waiting {
                if let Poll::Ready(taken) = next.as_mut().poll(context) {
                    return Poll::Ready((*index, taken));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whoever asks for an event acknowledges what `next` handed over before.
    fn come_back(&mut self, reader: usize) {
        let reader = &mut self.readers[reader];
        if let Some(last) = reader.last.take()
            && !self.consumers[reader.consumer].gone
        {
            self.consumers[reader.consumer].settle(last);
        }
    }

    /// Compares two deliveries and remembers them for answers.
    fn deliver(&mut self, what: &str, reader: Both<usize>, taken: Both<Received>) {
        let (memory, nats) = (taken.memory, taken.nats);
        let received = Both {
            memory: memory.0,
            nats: nats.0,
        };
        let same_event = received.memory.sequence == received.nats.sequence
            && received.memory.event == received.nats.event;
        let consumer = self.readers[reader.memory].consumer;
        if !same_event || !self.consumers[consumer].deliver(&received) {
            self.differ(what, &received.memory, &received.nats);
        }
        let ReceivedEvent {
            sequence,
            num_delivered,
            ..
        } = received.memory;
        self.tell(&format!("{what} -> {sequence}, delivery {num_delivered}"));
        if let (Some(memory), Some(nats)) = (memory.1, nats.1) {
            self.deliveries.push(Delivery {
                consumer,
                reader: self.readers[reader.nats].id,
                sequence,
                handles: Both { memory, nats },
            });
        }
    }

    pub(super) async fn answer(&mut self, back: usize, replies: &[Reply]) {
        if self.deliveries.is_empty() {
            return;
        }
        let index = self.deliveries.len() - 1 - back % self.deliveries.len();
        for &reply in replies {
            let Delivery {
                consumer,
                reader,
                sequence,
                ..
            } = self.deliveries[index];
            let handles = self.handles(consumer);
            let mut open = self
                .readers
                .iter()
                .filter(|r| r.is_open && r.consumer == consumer);
            let gated = handles.open == 1 && !handles.ahead && open.all(|r| r.id == reader);
            let held = |r: &Reader| r.consumer == consumer && r.last == Some(sequence);
            let held = self.readers.iter().any(held);
            let permitted =
                self.consumers[consumer].permitted(reply, sequence, held, gated, handles);
            let Some(reply) = permitted else { continue };
            let given = &self.deliveries[index].handles;
            let answered = Both {
                memory: given.memory.answer(reply.answer()).await,
                nats: timeout(PATIENCE, given.nats.answer(reply.answer()))
                    .await
                    .expect("an answer is given in time"),
            };
            let what = format!("{reply:?} event {sequence} of consumer {consumer}");
            if self.agreed(&what, answered).is_ok() {
                self.consumers[consumer].reply(reply, sequence, gated);
            }
        }
    }
}

impl Way {
    async fn take(self, subscription: &mut dyn Subscription) -> Taken {
        match self {
            Self::Manual => Ok(subscription.next_manual_ack().await?.map(|pending| {
                let (received, handle) = pending.into_parts();
                (received, Some(handle))
            })),
            Self::Automatic => Ok(subscription.next().await?.map(|received| (received, None))),
        }
    }
}

impl Reply {
    fn answer(self) -> Answer {
        match self {
            Self::Ack => Answer::Ack,
            Self::AckConfirmed => Answer::AckConfirmed,
            Self::Nak => Answer::Nak,
            Self::NakLater => Answer::NakAfter(Duration::from_secs(600)),
            Self::Term => Answer::Term("equivalence".to_owned()),
            Self::InProgress => Answer::InProgress,
        }
    }
}

fn sequences(taken: &[(usize, Received)]) -> Vec<u64> {
    taken
        .iter()
        .map(|(_, (received, _))| received.sequence)
        .collect()
}

/// What memory answers, which never waits for anything but events.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(unconstrained(future));
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
