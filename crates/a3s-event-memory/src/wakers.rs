use std::{mem, task::Waker};

use slab::Slab;

use crate::aftermath::Aftermath;

/// The tasks that wait for one thing to happen.
///
/// Guarded by a lock, under which no waker is cloned, woken or dropped: all of
/// that runs foreign code, which may come back for the lock. A waker is cloned
/// by [`Place::prepare`] before, and woken or dropped in the [`Aftermath`].
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    parked: Slab<Waker>,
    round: u64,
}

/// A waiter's place among [`Wakers`], so that waiting again takes no second one.
#[derive(Debug, Default)]
pub(crate) struct Place {
    held: Option<(u64, usize)>,
    /// The waker to park. What did not park stays for the next time: a waiter
    /// that mostly finds something clones once.
    spare: Option<Waker>,
}

/// A place with a waker to park.
#[derive(Debug)]
pub(crate) struct Prepared<'a>(&'a mut Place);

impl Place {
    /// Readies `waker` to be parked under a lock.
    pub(crate) fn prepare(&mut self, waker: &Waker) -> Prepared<'_> {
        match &self.spare {
            Some(spare) if are_alike(spare, waker) => {}
            _ => self.spare = Some(waker.clone()),
        }
        Prepared(self)
    }
}

/// Whether the two wake the same task.
///
/// `will_wake` compares where the table of functions lies, of which the compiler
/// may make copies, so that a waker and its own clone can seem to differ.
#[inline]
fn are_alike(one: &Waker, other: &Waker) -> bool {
    one.data() == other.data() && one.vtable() == other.vtable()
}

impl Wakers {
    /// Parks the waker of a place.
    pub(crate) fn park(&mut self, Prepared(place): Prepared<'_>, after: &mut Aftermath) {
        let Some(waker) = place.spare.take() else {
            // Unreachable: that is what preparing is for.
            return;
        };
        match place.held {
            Some((round, key)) if round == self.round => {
                let parked = &mut self.parked[key];
                if are_alike(parked, &waker) {
                    place.spare = Some(waker);
                } else {
                    after.discard(mem::replace(parked, waker));
                }
            }
            _ => place.held = Some((self.round, self.parked.insert(waker))),
        }
    }

    /// Gives up `place`, if it is still held.
    pub(crate) fn leave(&mut self, place: &mut Place, after: &mut Aftermath) {
        if let Some((round, key)) = place.held.take()
            && round == self.round
        {
            after.discard(self.parked.remove(key));
        }
    }

    /// Leaves everybody to be woken once the locks are released.
    #[inline]
    pub(crate) fn wake(&mut self, after: &mut Aftermath) {
        if !self.parked.is_empty() {
            after.wake(self.parked.drain());
            self.round += 1;
        }
    }
}
