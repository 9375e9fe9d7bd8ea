use a3s_event_core::{
    Result,
    subject::validate_category,
    types::{Event, EventCounts},
};

use crate::EventBus;

impl EventBus {
    /// Returns the newest `limit` events, of one category or of all, newest
    /// first, decrypted as the [policy](crate::EncryptionPolicy) says.
    ///
    /// Moves no subscription. `limit` 0 is empty.
    ///
    /// # Errors
    ///
    /// [`InvalidSubject`](a3s_event_core::EventError::InvalidSubject) for a
    /// category that is not one token. An event that cannot be decrypted fails
    /// the call and is named: a ciphertext never passes for a payload. Read past
    /// it with [`EncryptionPolicy::Passthrough`](crate::EncryptionPolicy::Passthrough).
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({})).await?;
    /// bus.publish("system", "deploy", "gateway", "ci", serde_json::json!({})).await?;
    ///
    /// let events = bus.list_events(Some("market"), 50).await?;
    /// assert_eq!(events.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_events(&self, category: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        self.backend.ensure_open()?;
        if let Some(category) = category {
            validate_category(category)?;
        }
        let provider = self.backend.provider();
        let filter = category.map(|category| provider.category_subject(category));
        let mut events = provider.history(filter.as_deref(), limit).await?;
        for event in &mut events {
            if let Some(opened) = self.encryption.open(event, &self.metrics)? {
                *event = opened;
            }
        }
        Ok(events)
    }

    /// Counts the newest `limit` events by category.
    ///
    /// # Errors
    ///
    /// What the provider reports.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({})).await?;
    ///
    /// let counts = bus.counts(1000).await?;
    /// assert_eq!((counts.categories["market"], counts.total), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn counts(&self, limit: usize) -> Result<EventCounts> {
        self.backend.ensure_open()?;
        let events = self.backend.provider().history(None, limit).await?;
        Ok(events.iter().map(|event| event.category.as_str()).collect())
    }
}
