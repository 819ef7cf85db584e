//! Which event callbacks of a socket are enabled, and how many calls of each are in progress.
//!
//! Contract: "Enabling and Disabling Event Callback Functions", SO_WSK_EVENT_CALLBACK, WSK_SET_STATIC_EVENT_CALLBACKS.

use abi::NTSTATUS;
use abi::status::{
    STATUS_EVENT_PENDING, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS, nt_success,
};
use abi::wsk::{
    WSK_EVENT_ACCEPT, WSK_EVENT_DISABLE, WSK_EVENT_DISCONNECT, WSK_EVENT_RECEIVE, WSK_EVENT_SEND_BACKLOG,
};
use irp::{Outcome, OwnedIrp};

/// The event of a listening socket that this side calls.
pub(crate) const LISTEN_EVENTS: u32 = WSK_EVENT_ACCEPT;
/// The events of a connection socket. On a listening socket they are kept for the sockets that WskAcceptEvent delivers.
pub(crate) const CONNECTION_EVENTS: u32 = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT | WSK_EVENT_SEND_BACKLOG;

/// How disabling an event ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disabled {
    /// No call is in progress, and none will begin.
    Now,
    /// No call will begin, but some are in progress: EVENT_PENDING without an IRP, otherwise complete it after them.
    AfterCalls,
    /// Enabled statically, or inherited for accepted sockets: it cannot be disabled.
    Never,
}

/// The events of one socket. Lives under the socket's lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events {
    /// Enabled by SO_WSK_EVENT_CALLBACK, or inherited from a listening socket.
    enabled: u32,
    /// Enabled by WSK_SET_STATIC_EVENT_CALLBACKS.
    fixed: u32,
    /// Calls in progress, by the place of the event's bit.
    running: [u16; 16],
}

impl Events {
    /// No event but the static ones.
    pub(crate) const fn new(fixed: u32) -> Self {
        Self { enabled: 0, fixed, running: [0; 16] }
    }

    /// Enables events; bits add up.
    pub(crate) const fn enable(&mut self, mask: u32) {
        self.enabled |= mask;
    }

    /// Everything enabled.
    pub(crate) const fn mask(&self) -> u32 {
        self.enabled | self.fixed
    }

    /// Whether calls for `event` may begin.
    pub(crate) const fn is_on(&self, event: u32) -> bool {
        self.mask() & event != 0
    }

    /// Disables one event.
    pub(crate) fn disable(&mut self, event: u32) -> Disabled {
        if self.fixed & event != 0 {
            return Disabled::Never;
        }
        self.enabled &= !event;
        if self.is_running(event) { Disabled::AfterCalls } else { Disabled::Now }
    }

    /// A call for `event` begins.
    pub(crate) fn begin(&mut self, event: u32) {
        if let Some(calls) = self.calls(event) {
            *calls = calls.saturating_add(1);
        }
    }

    /// A call for `event` has returned. Whether it was the last one in progress.
    pub(crate) fn end(&mut self, event: u32) -> bool {
        match self.calls(event) {
            Some(calls) => {
                *calls = calls.saturating_sub(1);
                *calls == 0
            }
            None => true,
        }
    }

    /// Whether a call for `event` is in progress.
    pub(crate) fn is_running(&self, event: u32) -> bool {
        self.running.get(event.trailing_zeros() as usize).is_some_and(|calls| *calls != 0)
    }

    /// Whether a call for any event is in progress.
    pub(crate) fn any_running(&self) -> bool {
        self.running.iter().any(|calls| *calls != 0)
    }

    /// SO_WSK_EVENT_CALLBACK: changes what `mask` says, for a socket whose own events are `known`. `Ok(true)`: calls of
    /// the event that was disabled are still in progress.
    ///
    /// # Errors
    /// INVALID_PARAMETER: an event of another category of socket; more than one to disable; or one that cannot be.
    pub(crate) fn change(&mut self, mask: u32, known: u32) -> Result<bool, NTSTATUS> {
        let bits = mask & !WSK_EVENT_DISABLE;
        if bits == 0 || bits & !known != 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        if mask & WSK_EVENT_DISABLE == 0 {
            self.enable(bits);
            return Ok(false);
        }
        if !bits.is_power_of_two() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        match self.disable(bits) {
            Disabled::Now => Ok(false),
            Disabled::AfterCalls => Ok(true),
            Disabled::Never => Err(STATUS_INVALID_PARAMETER),
        }
    }

    fn calls(&mut self, event: u32) -> Option<&mut u16> {
        self.running.get_mut(event.trailing_zeros() as usize)
    }
}

/// Answers SO_WSK_EVENT_CALLBACK where nothing has to be waited for: completes `irp` if there is one, and returns what the
/// function returns.
pub(crate) fn answer(changed: Result<bool, NTSTATUS>, irp: Option<OwnedIrp>) -> NTSTATUS {
    let status = match changed {
        Ok(false) => STATUS_SUCCESS,
        Ok(true) => STATUS_EVENT_PENDING,
        Err(status) => status,
    };
    let Some(irp) = irp else { return status };
    irp.complete(if nt_success(status) { Outcome::success(0) } else { Outcome::failure(status) });
    STATUS_PENDING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_add_up_and_go_one_by_one() {
        let mut events = Events::new(0);
        events.enable(WSK_EVENT_RECEIVE);
        events.enable(WSK_EVENT_DISCONNECT);
        assert!(events.is_on(WSK_EVENT_RECEIVE) && events.is_on(WSK_EVENT_DISCONNECT));
        assert_eq!(events.disable(WSK_EVENT_RECEIVE), Disabled::Now);
        assert!(!events.is_on(WSK_EVENT_RECEIVE) && events.is_on(WSK_EVENT_DISCONNECT));
    }

    #[test]
    fn an_event_in_progress_is_disabled_after_it() {
        let mut events = Events::new(0);
        events.enable(WSK_EVENT_ACCEPT);
        events.begin(WSK_EVENT_ACCEPT);
        events.begin(WSK_EVENT_ACCEPT);
        assert_eq!(events.disable(WSK_EVENT_ACCEPT), Disabled::AfterCalls);
        assert!(!events.is_on(WSK_EVENT_ACCEPT) && events.any_running());
        assert!(!events.end(WSK_EVENT_ACCEPT));
        assert!(events.end(WSK_EVENT_ACCEPT));
        assert!(!events.any_running());
    }

    #[test]
    fn a_static_event_stays() {
        let mut events = Events::new(WSK_EVENT_ACCEPT);
        assert_eq!(events.disable(WSK_EVENT_ACCEPT), Disabled::Never);
        assert!(events.is_on(WSK_EVENT_ACCEPT));
    }
}
