//! The deliveries of one channel that are not acked yet, and the fewest acks that take some of
//! them off.

use std::collections::VecDeque;

/// The tags that are out, in order; never more than the broker was allowed to send ahead.
///
/// It counts them up from 1 on each channel. Several consumers of one channel are read apart, so
/// a tag may be seen before a lower one: that one is out too, and keeps the front where it is.
#[derive(Debug, Default)]
pub(crate) struct Window {
    open: VecDeque<u64>,
    last: u64,
}

/// The acks that take a group of deliveries off their queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acks {
    /// Everything up to this tag at once.
    pub(crate) upto: Option<u64>,
    /// These, one by one.
    pub(crate) single: Vec<u64>,
}

impl Window {
    /// The broker has sent this one.
    pub(crate) fn received(&mut self, tag: u64) {
        self.open.extend(self.last + 1..=tag);
        self.last = self.last.max(tag);
    }

    /// How many are out.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// These may go. What is at the front of the window goes with one ack; only what was overtaken
    /// needs its own.
    pub(crate) fn close(&mut self, mut tags: Vec<u64>) -> Acks {
        tags.sort_unstable();
        let front = self
            .open
            .iter()
            .zip(&tags)
            .take_while(|(open, tag)| open == tag)
            .count();
        self.open.drain(..front);
        let mut rest = tags.split_off(front);
        if !rest.is_empty() {
            // Both are in order, so one walk over the window finds all of them.
            let mut gone = rest.iter().copied().peekable();
            let before = self.open.len();
            self.open.retain(|open| gone.next_if_eq(open).is_none());
            debug_assert_eq!(before - self.open.len(), rest.len(), "a tag was not out");
        }
        match tags.as_slice() {
            [one] => {
                rest.push(*one);
                Acks {
                    upto: None,
                    single: rest,
                }
            }
            _ => Acks {
                upto: tags.last().copied(),
                single: rest,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn window(tags: std::ops::RangeInclusive<u64>) -> Window {
        let mut window = Window::default();
        tags.for_each(|tag| window.received(tag));
        window
    }

    #[test]
    fn what_was_overtaken_is_never_acked_with_the_rest() {
        let mut window = window(1..=6);
        assert_eq!(
            window.close(vec![3, 2, 5]),
            Acks {
                upto: None,
                single: vec![2, 3, 5]
            }
        );
        assert_eq!(
            window.close(vec![4, 1]),
            Acks {
                upto: Some(4),
                single: vec![]
            }
        );
        assert_eq!(
            window.close(vec![6]),
            Acks {
                upto: None,
                single: vec![6]
            }
        );
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn the_front_goes_at_once_and_the_stragglers_one_by_one() {
        let mut window = window(1..=5);
        assert_eq!(
            window.close(vec![5, 1, 2]),
            Acks {
                upto: Some(2),
                single: vec![5]
            }
        );
        assert_eq!(window.len(), 2);
    }

    #[test]
    fn what_was_not_seen_yet_is_never_acked_with_what_came_after_it() {
        let mut window = Window::default();
        for tag in [1, 3, 4] {
            window.received(tag);
        }
        let acks = window.close(vec![1, 3, 4]);
        assert_eq!((acks.upto, acks.single), (None, vec![3, 4, 1]));
        window.received(2);
        assert_eq!(window.len(), 1);
        assert_eq!(window.close(vec![2]).single, [2]);
    }

    #[test]
    fn nothing_needs_no_ack() {
        assert_eq!(window(1..=2).close(Vec::new()), Acks::default());
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_order_exactly_what_is_done_is_acked(
            order in proptest::collection::vec(0u64..1_000, 1..60),
            group in 1usize..9,
        ) {
            let count = order.len() as u64;
            let mut window = window(1..=count);
            let mut by_order: Vec<u64> = (1..=count).collect();
            by_order.sort_by_key(|tag| order[*tag as usize - 1]);
            let mut unacked: BTreeSet<u64> = (1..=count).collect();
            for tags in by_order.chunks(group) {
                let acks = window.close(tags.to_vec());
                let mut gone: Vec<u64> = acks.single.clone();
                if let Some(upto) = acks.upto {
                    proptest::prop_assert!(unacked.contains(&upto), "an ack of an acked tag");
                    gone.extend(unacked.iter().filter(|tag| **tag <= upto));
                }
                let gone: BTreeSet<u64> = gone.into_iter().collect();
                proptest::prop_assert_eq!(&gone, &tags.iter().copied().collect());
                unacked.retain(|tag| !gone.contains(tag));
            }
            proptest::prop_assert!(unacked.is_empty() && window.len() == 0);
        }
    }
}
