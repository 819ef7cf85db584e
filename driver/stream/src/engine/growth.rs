//! When a longer ring pays.
//!
//! The peer can have no more than a ring of octets on their way, so a stream runs at most one ring in a round trip. One that
//! the reader empties several times in a second is a stream that the ring may limit. A connection that is idle, or on which
//! little is said now and then, never is one, however long it lives; and one whose reader is slow is not made faster by room.

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
    /// only when a turn or more is complete.
    pub(super) fn pays(&mut self, consumed: u64, ring_len: u32, now: impl FnOnce() -> u64) -> bool {
        if consumed == 0 {
            return false;
        }
        let Some((began, before)) = self.began else {
            self.began = Some((now(), consumed));
            return false;
        };
        if consumed.wrapping_sub(before) < TURNS.saturating_mul(u64::from(ring_len)) {
            return false;
        }
        let now = now();
        self.began = Some((now, consumed));
        if now.saturating_sub(began) >= WINDOW || now < self.not_before {
            return false;
        }
        self.not_before = now.saturating_add(AGAIN);
        true
    }
}
