use std::collections::VecDeque;

/// Elements per segment.
const SEGMENT: usize = 512;

/// A queue with access by index that never moves what it holds: growing costs
/// one segment, where a plain ring would copy everything now and then.
#[derive(Debug)]
pub(crate) struct SegmentedDeque<T> {
    // Invariant: no segment is empty, and all but the first and the last are full.
    segments: VecDeque<VecDeque<T>>,
    spare: Option<VecDeque<T>>,
    len: usize,
}

impl<T> SegmentedDeque<T> {
    pub(crate) const fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            spare: None,
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push_back(&mut self, element: T) {
        match self.segments.back_mut() {
            Some(last) if last.len() < SEGMENT => last.push_back(element),
            last => {
                // The first segment grows on demand: most queues stay small.
                let capacity = if last.is_some() { SEGMENT } else { 0 };
                let mut segment = self
                    .spare
                    .take()
                    .unwrap_or_else(|| VecDeque::with_capacity(capacity));
                segment.push_back(element);
                self.segments.push_back(segment);
            }
        }
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.segments.front_mut()?;
        let element = first.pop_front()?;
        if first.is_empty() {
            self.spare = self.segments.pop_front();
        }
        self.len -= 1;
        Some(element)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.segments.front()?.front()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let first = self.segments.front()?;
        match index.checked_sub(first.len()) {
            None => first.get(index),
            Some(rest) => self.segments.get(rest / SEGMENT + 1)?.get(rest % SEGMENT),
        }
    }

    /// The elements from `index` on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> {
        let first = self.segments.front().map_or(0, VecDeque::len);
        let (segment, within) = match index.checked_sub(first) {
            None => (0, index),
            Some(rest) => (rest / SEGMENT + 1, rest % SEGMENT),
        };
        let mut rest = self.segments.iter().skip(segment);
        let start = rest.next().map(|segment| segment.iter().skip(within));
        start.into_iter().flatten().chain(rest.flatten())
    }

    /// The first index from `from` on whose element does not satisfy `before`;
    /// elements that do come first.
    pub(crate) fn partition_point(&self, from: usize, before: impl Fn(&T) -> bool) -> usize {
        let (mut low, mut high) = (from.min(self.len), self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::SegmentedDeque;

    proptest! {
        #[test]
        fn it_behaves_as_a_plain_queue(steps in prop::collection::vec((0usize..1500, 0usize..1500), 1..12)) {
            let (mut plain, mut ours) = (VecDeque::new(), SegmentedDeque::new());
            let mut next = 0u64;
            for (pushes, pops) in steps {
                for _ in 0..pushes {
                    plain.push_back(next);
                    ours.push_back(next);
                    next += 1;
                }
                for _ in 0..pops {
                    prop_assert_eq!(ours.pop_front(), plain.pop_front());
                }
                prop_assert_eq!(ours.len(), plain.len());
                prop_assert_eq!(ours.front(), plain.front());
                for index in [0, 1, 511, 512, 513, plain.len().saturating_sub(1), plain.len()] {
                    prop_assert_eq!(ours.get(index), plain.get(index));
                }
                for index in [0, 1, 511, 512, 700, plain.len(), plain.len() + 1] {
                    prop_assert!(ours.iter_from(index).eq(plain.iter().skip(index)));
                }
                let middle = next / 2;
                let expected = plain.partition_point(|&element| element < middle);
                prop_assert_eq!(ours.partition_point(0, |&element| element < middle), expected);
            }
        }
    }
}
