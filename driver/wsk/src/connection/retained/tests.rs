//! Every order of releases, over a ring of our own.

use super::*;
use crate::tests::harness::{boot, left};
use std::vec::Vec;

const RING: u64 = 100;

/// A stream of which so many octets arrived.
struct World {
    retained: Retained,
    arrived: u64,
    consumed: u64,
}

impl World {
    fn new() -> Self {
        Self { retained: Retained::new().unwrap(), arrived: 0, consumed: 0 }
    }

    fn show(&mut self) -> Option<Indication> {
        let (arrived, consumed) = (self.arrived, self.consumed);
        self.retained.show(|skip| {
            let at = consumed + skip;
            let offset = at % RING;
            let length = (arrived - at.min(arrived)).min(RING - offset) as usize;
            let buffer = WSK_BUF { Mdl: ptr::null_mut(), Offset: offset as u32, Length: length };
            (length != 0).then_some(buffer)
        })
    }

    fn arrive(&mut self, octets: u64) {
        self.arrived += octets;
        assert!(self.arrived - self.consumed <= RING, "the peer writes into room that it was given");
    }

    fn kept(&mut self, octets: u64) -> Indication {
        self.arrive(octets);
        let shown = self.show().unwrap();
        assert_eq!(shown.octets as u64, octets);
        self.retained.answer(&shown, Answer::Kept);
        shown
    }

    /// What can be given back now.
    fn given(&mut self) -> u64 {
        let octets = self.retained.consume();
        self.consumed += octets;
        octets
    }

    fn release(&mut self, list: *mut WSK_DATA_INDICATION) -> bool {
        // SAFETY: this test uses no node that it has released.
        unsafe { self.retained.release(list) }
    }
}

/// Ring offsets and lengths of a list.
fn pieces(list: *mut WSK_DATA_INDICATION) -> Vec<(u32, usize)> {
    let mut all = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: a node that is out.
        let node = unsafe { next.read() };
        all.push((node.Buffer.Offset, node.Buffer.Length));
        next = node.Next;
    }
    all
}

fn set_next(node: *mut WSK_DATA_INDICATION, next: *mut WSK_DATA_INDICATION) {
    // SAFETY: a node that is out.
    unsafe { (*node).Next = next };
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return [Vec::new()].into();
    }
    let mut all = Vec::new();
    for (place, first) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(place);
        for mut tail in permutations(&rest) {
            tail.insert(0, *first);
            all.push(tail);
        }
    }
    all
}

/// Room goes back in the order of the stream, whatever the order of the releases, with octets in between that were copied.
#[test]
fn nodes_are_released_in_every_order() {
    let _alone = boot();
    const SIZES: [u64; 5] = [7, 1, 20, 5, 30];
    /// Octets copied out after each of them.
    const COPIED: [u64; 5] = [0, 3, 0, 2, 4];
    for order in permutations(&[0, 1, 2, 3, 4]) {
        let mut world = World::new();
        let mut nodes = Vec::new();
        for (size, copied) in SIZES.into_iter().zip(COPIED) {
            nodes.push(world.kept(size).list);
            world.arrive(copied);
            world.retained.take(copied);
            assert_eq!(world.given(), 0, "the first one is out");
        }
        let mut out = [true; 5];
        for index in order {
            assert!(world.release(nodes[index]));
            assert!(!world.release(nodes[index]), "a second time");
            out[index] = false;
            world.given();
            let oldest = out.iter().position(|is_out| *is_out).unwrap_or(5);
            let expected: u64 =
                SIZES.iter().zip(COPIED).take(oldest).map(|(size, copied)| size + copied).sum();
            assert_eq!(world.consumed, expected);
        }
        assert!(!world.retained.any_out());
        assert_eq!(world.retained.held(), 0);
    }
    assert_eq!(left(), []);
}

/// Octets around the end of the ring are two nodes, which go back together or one by one.
#[test]
fn an_indication_wraps() {
    let _alone = boot();
    for order in [None, Some([0, 1]), Some([1, 0])] {
        let mut world = World::new();
        let first = world.kept(70);
        assert!(world.release(first.list));
        assert_eq!(world.given(), 70);
        let second = world.kept(50);
        assert_eq!(pieces(second.list), [(70, 30), (0, 20)]);
        match order {
            None => assert!(world.release(second.list)),
            Some(order) => {
                // SAFETY: out.
                let nodes = [second.list, unsafe { (*second.list).Next }];
                set_next(nodes[0], ptr::null_mut());
                for (index, given) in order.into_iter().zip([[30, 20], [0, 50]][order[0]]) {
                    assert!(world.release(nodes[index]));
                    assert_eq!(world.given(), given);
                }
            }
        }
        world.given();
        assert_eq!(world.consumed, 120);
    }
}

/// A chain is checked before anything of it is released.
#[test]
fn what_is_not_out_cannot_be_released() {
    let _alone = boot();
    let mut world = World::new();
    let lists = [10, 10, 10].map(|octets| world.kept(octets).list);
    let mut stranger = WSK_DATA_INDICATION {
        Next: ptr::null_mut(),
        Buffer: WSK_BUF { Mdl: ptr::null_mut(), Offset: 0, Length: 0 },
    };
    assert!(!world.release(ptr::null_mut()));
    assert!(!world.release(&mut stranger));
    // Inside a node is no node.
    assert!(!world.release(lists[0].wrapping_byte_add(8)));
    for wrong in [&raw mut stranger, lists[0]] {
        // A stranger, or a circle.
        set_next(lists[0], lists[1]);
        set_next(lists[1], wrong);
        assert!(!world.release(lists[0]));
    }
    set_next(lists[1], ptr::null_mut());
    assert_eq!(world.given(), 0, "nothing was changed");
    assert!(world.release(lists[0]));
    assert_eq!(world.given(), 20);
    set_next(lists[2], lists[1]);
    assert!(!world.release(lists[2]), "one that is released already");
    set_next(lists[2], ptr::null_mut());
    assert!(world.release(lists[2]));
    assert_eq!(world.given(), 10);
}

/// What the client released inside the callback stays released, whatever it answers; what it did not take is shown again.
#[test]
fn nodes_are_released_inside_the_callback() {
    let _alone = boot();
    for (answer, taken) in
        [(Answer::Kept, 50), (Answer::Done(50), 50), (Answer::Done(10), 10), (Answer::Done(0), 0)]
    {
        for released in 0..4 {
            let mut world = World::new();
            world.arrive(80);
            world.retained.take(80);
            world.given();
            world.arrive(50);
            let shown = world.show().unwrap();
            // SAFETY: out.
            let nodes = [shown.list, unsafe { (*shown.list).Next }];
            set_next(nodes[0], ptr::null_mut());
            for (bit, node) in nodes.into_iter().enumerate() {
                assert!(released & (1 << bit) == 0 || world.release(node));
            }
            assert_eq!(world.given(), 0, "not before the answer");
            world.retained.answer(&shown, answer);
            world.given();
            let kept = answer == Answer::Kept;
            for (bit, node) in nodes.into_iter().enumerate() {
                assert_eq!(world.release(node), kept && released & (1 << bit) == 0);
            }
            world.given();
            assert_eq!(world.consumed, 80 + taken);
            let again = world.show();
            assert_eq!(again.map_or(0, |shown| shown.octets as u64), 50 - taken);
        }
    }
}

/// With every node out nothing is shown; with one left, one piece.
#[test]
fn nodes_run_out() {
    let _alone = boot();
    let mut world = World::new();
    let mut lists: Vec<_> = (0..NODES).map(|_| world.kept(3).list).collect();
    assert!(!world.retained.has_free());
    world.arrive(4);
    assert!(world.show().is_none());
    // 100 octets: the ring is full. The first nodes make room for what wraps.
    for list in lists.drain(..2) {
        assert!(world.release(list));
    }
    world.given();
    world.arrive(5);
    let shown = world.show().unwrap();
    assert_eq!(pieces(shown.list), [(96, 4), (0, 5)]);
    world.retained.answer(&shown, Answer::Kept);
    assert!(!world.retained.has_free());
    // A node of the two, and one more: room at the beginning of the ring.
    // SAFETY: out.
    let second = unsafe { (*shown.list).Next };
    set_next(shown.list, ptr::null_mut());
    for list in [second].into_iter().chain(lists) {
        assert!(world.release(list));
    }
    world.given();
    assert_eq!(world.consumed, 96, "the node at the end of the ring is out");
    assert!(world.release(shown.list));
    assert_eq!(world.given(), 9);
}
