use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Open handles by the subscriber whose changes they follow: a change wakes no
/// others.
#[derive(Default)]
pub(super) struct Followers(Mutex<Channels>);

#[derive(Default)]
struct Channels {
    senders: HashMap<String, watch::Sender<()>>,
    /// How many there may be before those that nobody follows are dropped.
    most: usize,
}

impl Followers {
    /// Wakes on every change of the subscriber from now on, also where it is not
    /// registered yet.
    pub(super) fn follow(&self, subscriber_id: &str) -> watch::Receiver<()> {
        let mut channels = self.channels();
        if channels.senders.len() >= channels.most {
            let followed = |_: &String, sender: &mut watch::Sender<()>| sender.receiver_count() > 0;
            channels.senders.retain(followed);
            channels.most = 2 * channels.senders.len() + 16;
        }
        let sender = channels.senders.entry(subscriber_id.to_owned());
        sender.or_insert_with(|| watch::Sender::new(())).subscribe()
    }

    pub(super) fn wake(&self, subscriber_id: &str) {
        // Wakers are foreign code, which no lock may hold up.
        let sender = self.channels().senders.get(subscriber_id).cloned();
        if let Some(sender) = sender {
            sender.send_replace(());
        }
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
