//! Whether the peer of a connection over RDMA still lives: on for every connection, whatever SO_KEEPALIVE says.
//!
//! SO_KEEPALIVE is off by default on Windows, and without it a peer that vanished is never missed. Here the fabric's own
//! signs of death may be as slow, so the question is always asked; SIO_KEEPALIVE_VALS only says when.

use super::{After, Connection, Phase, State};
use crate::options::Options;
use kernel::pool::Shared;
use kernel::time::milliseconds;
use stream::Keepalive;

/// Looks that are further away than this are put off to a full second, so that many connections are looked at in one go.
const FAR: u64 = milliseconds(10_000);
const SECOND: u64 = milliseconds(1_000);

/// Questions that Windows' TCP sends, an interval apart, before it gives a peer up. Here one is sent, with the time of all.
const QUESTIONS: u64 = 10;

impl Options {
    /// The times of SIO_KEEPALIVE_VALS, at least a millisecond each, or `default`.
    fn keepalive(&self, default: Keepalive) -> Keepalive {
        self.keepalive_times.map_or(default, |(time, interval)| Keepalive {
            idle: milliseconds(u64::from(time).max(1)),
            answer: milliseconds(u64::from(interval).max(1).saturating_mul(QUESTIONS)),
        })
    }
}

impl Connection {
    /// Time has passed, it is `now`: a handshake that has taken too long counts as failed, a silent peer is asked or
    /// given up, and an end that has taken too long is cut short. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn time_has_passed(this: &Shared<Self>, now: u64) {
        Self::look(this, now, |_, _| {});
    }

    /// The same after `change`, which may be the beginning of a silence.
    pub(super) fn look(this: &Shared<Self>, now: u64, change: impl FnOnce(&mut State, &mut After)) {
        let provider = this.client.provider();
        let next = Self::with(this, |state, after| {
            change(state, after);
            let handshake = state.limit_handshake(now, after);
            let withdrawal = state.limit_withdrawal(now);
            let silence = handshake.or_else(|| state.keep_alive(now, provider.settings.keepalive));
            let end = state.limit_end(now, &provider.settings, after);
            [withdrawal, silence, end].into_iter().flatten().min()
        });
        if let Some(next) = next {
            provider.clock().wake_in(next.saturating_sub(now));
        }
    }
}

impl State {
    /// When to look again.
    fn keep_alive(&mut self, now: u64, default: Keepalive) -> Option<u64> {
        if self.phase != Phase::Connected || self.silent {
            return None;
        }
        let times = self.options.keepalive(default);
        let next = self.link.as_mut()?.engine.handle_time(now, times)?;
        let far = next.saturating_sub(now) > FAR;
        Some(if far { next.checked_next_multiple_of(SECOND).unwrap_or(next) } else { next })
    }
}
