//! From the inbox into the buffer, and out of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use async_nats::Message;
use futures_util::Stream;

use super::{Buffered, End, Reader, Source};
use crate::{error::is_unheard, pull::Status};

impl Reader {
    /// Moves everything that has arrived into the buffer.
    pub(super) fn drain_inbox(&mut self, cx: &mut Context<'_>) {
        // Taken out, so that each message can be received where it is.
        let Some(mut inbox) = self.inbox.take() else {
            return;
        };
        loop {
            match Pin::new(&mut inbox).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    self.read += 1;
                    self.uncounted += u64::from(is_unheard(&message));
                    self.receive(message);
                }
                Poll::Ready(None) => {
                    // The client itself ended: nothing comes any more.
                    self.end.get_or_insert(End::Closed);
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.inbox = Some(inbox);
    }

    fn receive(&mut self, message: Message) {
        self.heard = true;
        if let Some(refusals) = &self.link.refusals
            && message.subject == refusals.reply
        {
            refusals.confirm();
            return;
        }
        if message.status.is_some() {
            match self.requests.status(&message) {
                Status::Alive | Status::Ended => {}
                Status::Busy | Status::Away => self.pause(),
                Status::Lost => self.find_out(),
                Status::Refused(text) => self.refused = Some(text),
            }
            return;
        }
        self.requests.received();
        let Some(arrived) = Buffered::of(message) else {
            tracing::warn!("a message that is no delivery reached the inbox and was dropped");
            return;
        };
        let delivered = arrived.delivered;
        if delivered.consumer_sequence <= self.gaps.delivery {
            // A server that was killed may count anew, and so does another durable of the name.
            self.doubtful |= matches!(self.source, Source::Durable(_));
        }
        self.failures = 0;
        if let Some(ledger) = &self.link.ledger {
            ledger.deliver(&delivered);
        }
        self.buffer.insert(arrived);
        self.gaps.note(&delivered);
    }

    /// The next of the buffer that is to be handed over.
    pub(super) fn take(&mut self) -> Option<Buffered> {
        loop {
            let next = self.buffer.pop()?;
            let sequence = next.delivered.sequence;
            let answered = self.link.ledger.as_ref();
            let unwanted = answered.is_some_and(|ledger| ledger.is_answered(sequence))
                || sequence < self.gaps.first;
            if !unwanted {
                return Some(next);
            }
            self.link.acknowledge_unseen(&next.reply);
        }
    }
}
