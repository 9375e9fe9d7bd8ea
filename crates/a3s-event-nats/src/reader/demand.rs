//! When a subscription asks for more, and for how much.

use std::task::{Context, Poll};

use a3s_event_core::BoxFuture;

use super::Reader;

impl Reader {
    /// Asks for more where it is time to. Whether anything was sent.
    pub(super) fn poll_ask(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(asking) = &mut self.asking {
            match asking.as_mut().poll(cx) {
                Poll::Ready(sent) => {
                    self.asking = None;
                    if !sent {
                        self.requests.reset();
                        self.pause();
                    }
                    return true;
                }
                Poll::Pending => return false,
            }
        }
        if self.recovery.is_some() || self.pausing || self.is_refusing() || self.inbox.is_none() {
            return false;
        }
        let most = self.plan.prefetch.max(1);
        let held = self.requests.outstanding() + self.buffer.len();
        if held > most / 2 {
            return false;
        }
        let (subject, reply, payload) = self.requests.ask(most - held);
        let client = self.provider.connection.client().clone();
        let mut sent: BoxFuture<'static, bool> = Box::pin(async move {
            client
                .publish_with_reply(subject, reply, payload)
                .await
                .is_ok()
        });
        match sent.as_mut().poll(cx) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => {
                self.requests.reset();
                self.pause();
            }
            Poll::Pending => self.asking = Some(sent),
        }
        true
    }

    /// Whether a refusal is on its way that the next request must not overtake.
    pub(super) fn is_refusing(&self) -> bool {
        let refusals = self.link.refusals.as_ref();
        refusals.is_some_and(|refusals| !refusals.are_confirmed())
    }
}
