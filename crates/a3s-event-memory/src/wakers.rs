use std::task::Waker;

use slab::Slab;

use crate::aftermath::Aftermath;

/// The tasks that wait for one thing to happen.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    parked: Slab<Waker>,
    round: u64,
}

/// A waiter's place among [`Wakers`], so that waiting again takes no second one.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<(u64, usize)>);

impl Wakers {
    /// Parks `waker` at `place`.
    pub(crate) fn park(&mut self, place: &mut Place, waker: &Waker) {
        match place.0 {
            Some((round, key)) if round == self.round => {
                let parked = &mut self.parked[key];
                if !parked.will_wake(waker) {
                    parked.clone_from(waker);
                }
            }
            _ => place.0 = Some((self.round, self.parked.insert(waker.clone()))),
        }
    }

    /// Gives up `place`, if it is still held.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        if let Some((round, key)) = place.0.take()
            && round == self.round
        {
            self.parked.remove(key);
        }
    }

    /// Leaves everybody to be woken once the locks are released.
    #[inline]
    pub(crate) fn wake(&mut self, after: &mut Aftermath) {
        if !self.parked.is_empty() {
            self.parked.drain().for_each(|waker| after.wake(waker));
            self.round += 1;
        }
    }
}
