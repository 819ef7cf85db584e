//! When a longer ring pays.
//!
//! The peer can have no more than a ring of octets on their way, so a stream runs at most one ring in a round trip. One that
//! the reader empties several times in a second is a stream that the ring may limit. A connection that is idle, or on which
//! little is said now and then, never is one, however long it lives.
//!
//! The other reason is a ring that is full: its owner was promised more room for what nobody reads, or keeps what it has read
//! until more of it is there.

/// Units of 100 ns in a second.
const SECOND: u64 = 10_000_000;
/// So many rings read within [`WINDOW`] are many. Less is enough for a round trip of a quarter of a second.
const TURNS: u64 = 4;
const WINDOW: u64 = SECOND;
/// Who was told that it pays, and has found no memory, is not told again before.
const AGAIN: u64 = 10 * SECOND;

/// How fast a ring turns.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    /// A moment, and the octets consumed until then.
    began: Option<(u64, u64)>,
    /// When it may be said again.
    not_before: u64,
}

impl Growth {
    pub(super) const fn new() -> Self {
        Self { began: None, not_before: 0 }
    }

    /// Whether a longer ring pays, said of one of `ring_len` octets through which `consumed` octets went. Looks at the clock
    /// only when it is full, or some turns are complete.
    pub(super) fn pays(
        &mut self,
        consumed: u64,
        ring_len: u32,
        full: bool,
        now: impl FnOnce() -> u64,
    ) -> bool {
        let turns = TURNS.saturating_mul(u64::from(ring_len));
        let turned = match self.began {
            Some((_, before)) => consumed.wrapping_sub(before) >= turns,
            None => consumed != 0,
        };
        if !turned && !full {
            return false;
        }
        let now = now();
        let began = self.began;
        if turned {
            self.began = Some((now, consumed));
        }
        let fast = turned && began.is_some_and(|(began, _)| now.saturating_sub(began) < WINDOW);
        if !(fast || full) || now < self.not_before {
            return false;
        }
        self.not_before = now.saturating_add(AGAIN);
        true
    }
}
