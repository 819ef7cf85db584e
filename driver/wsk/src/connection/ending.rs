//! How long the end of an endpoint may take.
//!
//! ```text
//! finished in order ─► Goodbye: NdkDisconnect waits for the peer ──its time is over──┐
//! anything else ─────────────────────────────────────────────────────────────────────┴─► Close ──its time is over──► forsaken
//! ```
//!
//! A goodbye is worth waiting for although both directions are finished: where a completed Send means that its octets were
//! handed to TCP (iWARP), an abort could lose the last of them. A peer that does not answer it costs
//! [`Settings::disconnect_limit`](crate::Settings).
//!
//! A close that the provider does not end within [`Settings::answer_limit`](crate::Settings) is given up: the socket goes on as
//! if it had ended, and the endpoint keeps what the adapter may still touch. There is one thing it cannot keep: memory of the
//! client's. A socket with a send in place waits on, because completing the IRP would give the memory back. A receive in place
//! waits for the close of its region instead, which ends the peer's access; only with a request for that on the queue pair it
//! waits for the latter.

use super::after::Rare;
use super::{After, Connection, Link, State};
use crate::settings::Settings;
use kernel::time;
use ndk::Endpoint;

/// What the end of an endpoint is waiting for, and until when, in units of 100 ns of interrupt time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer's NdkDisconnect.
    Goodbye(u64),
    /// The provider's closes.
    Close(u64),
}

impl State {
    /// Begins to look at the clock if the end of the endpoint is asked for here. Called with the lock held, after every change.
    pub(super) fn watch_end(&mut self, settings: &Settings, after: &mut After) {
        let Some(link) = &mut self.link else { return };
        // Most changes ask for nothing of the kind.
        let Some(rare) = after.asked() else { return };
        let ending = match (&rare.close, &rare.abort, link.ending) {
            (Some((_, true)), ..) => Ending::Goodbye,
            (Some((_, false)), ..) | (None, Some(_), Some(Ending::Goodbye(_))) => Ending::Close,
            _ => return,
        };
        let limit = ending(0).limit(settings);
        link.ending = Some(ending(time::interrupt_time_100ns().saturating_add(limit)));
        rare.wake_in = Some(limit);
    }

    /// Ends a goodbye, or gives up a close, that has taken too long; otherwise, when to look again.
    pub(super) fn limit_end(&mut self, now: u64, settings: &Settings, after: &mut After) -> Option<u64> {
        let link = self.link.as_mut().filter(|link| !link.closed)?;
        match link.ending? {
            Ending::Goodbye(end) | Ending::Close(end) if now < end => Some(end),
            Ending::Goodbye(_) => {
                let end = now.saturating_add(settings.answer_limit);
                link.ending = Some(Ending::Close(end));
                after.rare().abort = link.endpoint.clone();
                Some(end)
            }
            Ending::Close(_) if link.lends_memory() => {
                let end = now.saturating_add(settings.answer_limit);
                link.ending = Some(Ending::Close(end));
                Some(end)
            }
            Ending::Close(_) => {
                link.ending = None;
                after.rare().forsake = link.endpoint.clone();
                None
            }
        }
    }
}

impl Ending {
    const fn limit(self, settings: &Settings) -> u64 {
        match self {
            Self::Goodbye(_) => settings.disconnect_limit,
            Self::Close(_) => settings.answer_limit,
        }
    }
}

impl Link {
    /// Whether requests that may not be over use memory of the client's.
    fn lends_memory(&self) -> bool {
        self.in_place.any() || self.direct.is_shutting()
    }
}

impl Rare {
    /// The limits' part.
    pub(super) fn run_end(&mut self, connection: &Connection) {
        if let Some(delay) = self.wake_in {
            connection.client.provider().clock().wake_in(delay);
        }
        if let Some(endpoint) = self.forsake.take() {
            Endpoint::forsake(&endpoint);
        }
    }
}
