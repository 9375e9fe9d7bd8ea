//! What arrived and was not handed over yet.

use std::collections::VecDeque;

use async_nats::{Message, Subject};

use crate::convert::Delivered;

/// A message that waits to be handed over.
#[derive(Debug)]
pub(crate) struct Buffered {
    pub(crate) message: Message,
    pub(crate) reply: Subject,
    pub(crate) delivered: Delivered,
}

impl Buffered {
    /// Takes a message apart; `None` if it is no delivery.
    pub(crate) fn of(message: Message) -> Option<Self> {
        let reply = message.reply.clone()?;
        let delivered = Delivered::parse(&reply)?;
        Some(Self {
            message,
            reply,
            delivered,
        })
    }
}

/// The events that were read ahead, in the order in which they go out.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    waiting: VecDeque<Buffered>,
    /// How many of them were delivered by a connection that is gone.
    stale: usize,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Puts a delivery in its place.
    pub(super) fn insert(&mut self, arrived: Buffered) {
        let delivered = arrived.delivered;
        let again = delivered.times > 1;
        if again || self.stale > 0 {
            let waiting = self
                .waiting
                .iter_mut()
                .find(|waiting| waiting.delivered.sequence == delivered.sequence);
            if let Some(waiting) = waiting {
                // One event, with the newest delivery.
                *waiting = arrived;
                return;
            }
        }
        if again {
            // Redeliveries precede new events.
            let new = self.waiting.iter().position(|b| b.delivered.times == 1);
            self.waiting
                .insert(new.unwrap_or(self.waiting.len()), arrived);
        } else {
            self.waiting.push_back(arrived);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Buffered> {
        let next = self.waiting.pop_front()?;
        self.stale = self.stale.saturating_sub(1);
        Some(next)
    }

    /// The connection that delivered all of them is gone.
    pub(super) fn mark_stale(&mut self) {
        self.stale = self.waiting.len();
    }

    /// Empties it and hands out what it held.
    pub(super) fn take(&mut self) -> VecDeque<Buffered> {
        self.stale = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Where the answers to its deliveries go.
    pub(super) fn replies(&self) -> impl Iterator<Item = &Subject> {
        self.waiting.iter().map(|waiting| &waiting.reply)
    }
}
