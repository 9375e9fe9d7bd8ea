use std::{
    mem,
    panic::{self, AssertUnwindSafe},
    task::Waker,
    vec,
};

use a3s_event_core::types::Event;

/// What a locked section leaves to be done once its locks are released: wakers
/// and log subscribers are foreign code, which may come back to the provider,
/// and freeing an event may take longer than a publish.
///
/// All of it is done even where some of the foreign code panics: a bad neighbor
/// must leave nobody asleep.
#[derive(Default)]
pub(crate) struct Aftermath {
    woken: Few<Waker>,
    evicted: Few<Event>,
    rare: Option<Box<Rare>>,
}

/// What is seldom left.
#[derive(Default)]
struct Rare {
    discarded: Vec<Waker>,
    logged: Vec<Box<dyn FnOnce()>>,
}

/// Calls into foreign code: the rest is made even where one of them panics.
struct Calls<T, F: FnMut(T)>(vec::IntoIter<T>, F);

/// A list that allocates from the second element on.
struct Few<T> {
    first: Option<T>,
    more: Vec<T>,
}

impl Aftermath {
    /// Runs `locked`, which releases its locks before it returns, then does
    /// what is left. The caller holds no lock.
    #[inline]
    pub(crate) fn after<R>(locked: impl FnOnce(&mut Self) -> R) -> R {
        let mut left = Self::default();
        let result = locked(&mut left);
        if left.woken.first.is_none() && left.evicted.first.is_none() && left.rare.is_none() {
            // Mostly there is nothing, and no destructor needs to find that out.
            mem::forget(left);
        } else {
            left.work_off();
        }
        result
    }

    fn work_off(self) {
        let Self {
            woken,
            evicted,
            rare,
        } = self;
        match rare {
            Some(rare) => rare.work_off(woken),
            None if woken.first.is_none() => mem::forget(woken),
            None => woken.wake(),
        }
        drop(evicted);
    }

    pub(crate) fn wake(&mut self, wakers: impl ExactSizeIterator<Item = Waker>) {
        self.woken.extend(wakers);
    }

    /// Drops a waker that waits no longer.
    pub(crate) fn discard(&mut self, waker: Waker) {
        self.rare().discarded.push(waker);
    }

    pub(crate) fn free(&mut self, event: Event) {
        self.evicted.push(event);
    }

    pub(crate) fn log(&mut self, log: impl FnOnce() + 'static) {
        self.rare().logged.push(Box::new(log));
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Rare {
    fn work_off(self, woken: Few<Waker>) {
        let logged = Calls(self.logged.into_iter(), |log: Box<dyn FnOnce()>| log());
        woken.wake();
        logged.run();
        // What is discarded is dropped last.
    }
}

impl Few<Waker> {
    fn wake(self) {
        let more = Calls(self.more.into_iter(), Waker::wake);
        if let Some(first) = self.first {
            first.wake();
        }
        more.run();
    }
}

impl<T, F: FnMut(T)> Calls<T, F> {
    #[inline]
    fn run(mut self) {
        for next in self.0.by_ref() {
            (self.1)(next);
        }
    }
}

impl<T, F: FnMut(T)> Drop for Calls<T, F> {
    #[inline]
    fn drop(&mut self) {
        // Something is left only while a panic unwinds, which the caller sees. A
        // second one would abort the process: the panic hook reports it, no more.
        for next in self.0.by_ref() {
            let _ = panic::catch_unwind(AssertUnwindSafe(|| (self.1)(next)));
        }
    }
}

impl<T> Few<T> {
    fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.more.push(element),
        }
    }

    fn extend(&mut self, mut elements: impl ExactSizeIterator<Item = T>) {
        if self.first.is_none() {
            self.first = elements.next();
        }
        self.more.extend(elements);
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self {
            first: None,
            more: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{self, AssertUnwindSafe},
        sync::{Arc, Mutex},
        task::{Wake, Waker},
    };

    use super::Aftermath;

    /// A waker that notes its number when it is woken, or panics without one.
    struct Notes(Option<usize>, Arc<Mutex<Vec<usize>>>);

    impl Wake for Notes {
        fn wake(self: Arc<Self>) {
            match self.0 {
                Some(number) => self.1.lock().unwrap().push(number),
                None => panic!("a waker that panics"),
            }
        }
    }

    #[test]
    fn what_panics_keeps_nothing_else_from_being_done() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let waker = |number| Waker::from(Arc::new(Notes(number, Arc::clone(&notes))));
        let wakers = [Some(1), None, Some(2), None, Some(3)].map(waker);
        let ended = panic::catch_unwind(AssertUnwindSafe(|| {
            Aftermath::after(|after| {
                after.wake(wakers.into_iter());
                after.log(|| panic!("a log subscriber that panics"));
                let notes = Arc::clone(&notes);
                after.log(move || notes.lock().unwrap().push(4));
            });
        }));
        let reason = ended.unwrap_err();
        assert_eq!(reason.downcast_ref(), Some(&"a waker that panics"));
        assert_eq!(*notes.lock().unwrap(), [1, 2, 3, 4]);
    }
}
