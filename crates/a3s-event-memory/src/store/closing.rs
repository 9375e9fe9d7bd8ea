use std::sync::atomic::Ordering;

use a3s_event_core::{EventError, Result};

use super::Store;
use crate::aftermath::Aftermath;

impl Store {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nobody can publish any more. True for whoever a fetch told so.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Ends everything: readers are woken and end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.seal();
    }

    /// Nobody can publish any more: readers get what is left, then they end.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        Aftermath::after(|after| {
            let mut inner = self.lock();
            inner.sealed = true;
            inner.routes.wake_all(after);
        });
    }

    /// Checked under the lock: what `close` overtook is refused.
    pub(super) fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(EventError::closed("the memory provider"));
        }
        Ok(())
    }
}
