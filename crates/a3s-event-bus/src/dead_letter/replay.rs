use a3s_event_core::{
    EventError, Result,
    dlq::{DeadLetterEvent, DeadLetterKind},
    types::PublishOptions,
};

use crate::EventBus;

impl EventBus {
    /// Publishes the event of a dead letter again, once what stood in its way is
    /// repaired, and returns its new sequence.
    ///
    /// The event goes out as it was stored: a ciphertext stays the ciphertext it
    /// was, and no schema is asked. It keeps its id and gets a new sequence, so a
    /// reader that deduplicates by the id takes it for a repeat. **Every**
    /// subscription that its subject matches gets it, not just the one that gave
    /// it up.
    ///
    /// Where the provider deduplicates, a letter has a `msg_id` of its own:
    /// replaying it again within the window, after a crash before the letter was
    /// put away, stores nothing and returns the same sequence. Publishing the
    /// event with [`publish_event`](Self::publish_event) instead would encrypt it
    /// twice, and on a bus that [deduplicates](crate::EventBusBuilder::deduplicate)
    /// store nothing within the window.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for a letter without an event
    /// ([`DeadLetterKind::Undecodable`]), [`EventError::InvalidSubject`] for one
    /// from another prefix, [`EventError::Encryption`] for a plaintext where
    /// encryption is required, [`EventError::Closed`], and those of the provider.
    ///
    /// # Cancellation
    ///
    /// A dropped call may or may not have stored the event.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use a3s_event_bus::{EventBus, MemoryDlqHandler};
    /// use a3s_event_core::dlq::DlqHandler;
    /// use a3s_event_memory::MemoryProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let dead_letters = Arc::new(MemoryDlqHandler::default());
    /// let mut bus = EventBus::new(MemoryProvider::default());
    /// bus.set_dlq_handler(dead_letters.clone());
    /// bus.publish("order", "paid", "", "shop", serde_json::json!({"total": 9.5})).await?;
    /// let mut orders = bus.subscribe("events.order.>").await?;
    /// let pending = orders.next_manual_ack().await?.expect("the bus is open");
    /// pending.term("the ledger is closed").await?;
    ///
    /// // The ledger is open again.
    /// for letter in dead_letters.list(10).await? {
    ///     assert_eq!(bus.replay(&letter).await?, 2);
    /// }
    /// let again = orders.next().await?.expect("the bus is open");
    /// assert_eq!(again.event.payload["total"], 9.5);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn replay(&self, letter: &DeadLetterEvent) -> Result<u64> {
        if letter.kind == DeadLetterKind::Undecodable {
            return Err(EventError::invalid_option(
                "letter",
                "holds a message that is no event, which only its publisher can repair",
            ));
        }
        let received = &letter.event;
        let msg_id = self.backend.capabilities.deduplication.then(|| {
            format!(
                "replay-{}-{}-{}",
                received.stream, received.sequence, letter.dead_lettered_at
            )
        });
        let options = PublishOptions {
            msg_id,
            ..Default::default()
        };
        self.send_again(&received.event, &options).await
    }
}
