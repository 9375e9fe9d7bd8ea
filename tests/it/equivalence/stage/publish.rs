//! Publishing, and reading what is stored.

use a3s_event::types::{Event, PublishOptions};
use serde_json::json;

use super::Stage;
use crate::equivalence::operation::Expected;

impl Stage {
    pub(super) async fn publish(
        &mut self,
        subject: &str,
        msg_id: Option<&str>,
        expected: Option<Expected>,
    ) {
        let event = self.event(subject);
        let options = PublishOptions {
            msg_id: msg_id.map(str::to_owned),
            expected_sequence: expected.map(|expected| match expected {
                Expected::Last => self.last,
                Expected::Before => self.last.saturating_sub(1),
                Expected::Beyond => self.last + 1,
                Expected::Number(number) => number,
            }),
            ..Default::default()
        };
        let plain = options == PublishOptions::default();
        let stored = self
            .both(async |provider| match plain {
                true => provider.publish(&event).await,
                false => provider.publish_with_options(&event, &options).await,
            })
            .await;
        let what = format!(
            "publish {subject:?} {msg_id:?} {:?}",
            options.expected_sequence
        );
        if let Ok(sequence) = self.agreed(&what, stored) {
            self.last = self.last.max(sequence);
        }
    }

    pub(super) async fn publish_batch(&mut self, subjects: &[&str]) {
        let events: Vec<Event> = subjects.iter().map(|subject| self.event(subject)).collect();
        let stored = self
            .both(async |provider| provider.publish_batch(&events).await)
            .await;
        let stored = self.agreed(&format!("publish batch {subjects:?}"), stored);
        self.last = stored
            .ok()
            .and_then(|stored| stored.last().copied())
            .unwrap_or(self.last);
    }

    pub(super) async fn history(&mut self, pattern: Option<&str>, limit: usize) {
        let found = self
            .both(async |provider| provider.history(pattern, limit).await)
            .await;
        self.same(&format!("history {pattern:?} {limit}"), found);
    }

    /// Ephemeral subscriptions that were dropped go at their leisure.
    pub(super) async fn info(&mut self) {
        self.eventually("info", async |provider| {
            let info = provider.info().await?;
            Ok((info.messages, info.consumers))
        })
        .await;
    }

    fn event(&self, subject: &str) -> Event {
        let category = subject.split('.').next().unwrap_or_default();
        Event::new(
            self.full(subject),
            category,
            "an event",
            "equivalence",
            json!({"subject": subject}),
        )
    }
}
