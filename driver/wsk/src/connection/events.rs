//! What the endpoint tells.

use super::layout::{LOCAL, Layout};
use super::{Connection, Link, State};
use abi::NTSTATUS;
use abi::status::{STATUS_CONNECTION_RESET, STATUS_INTERNAL_ERROR, nt_success};
use kernel::pool::Shared;
use kernel::time;
use ndk::{Completion, Handler};
use stream::{ConnData, Event, MESSAGE_LEN};
use trace::{Counters, Reason};

/// Context of a Send; receives carry the number of their slot.
pub(super) const SEND: usize = 1 << 31;

impl Connection {
    /// The owner of `self`: connections live inside a [`Shared`] only.
    fn shared(&self) -> Shared<Self> {
        // SAFETY: connections are made by `Connection::build` only, inside a `Shared`, and somebody holds one now.
        unsafe { Shared::clone_from_raw(core::ptr::from_ref(self)) }
    }
}

impl Handler for Connection {
    fn peer_data(&self, data: &[u8]) -> bool {
        let mut state = self.state.lock();
        let Some(link) = &mut state.link else { return false };
        let accepted = ConnData::decode(data).is_ok_and(|peer| link.engine.establish(&peer).is_ok());
        if !accepted {
            state.reason = Reason::PeerProtocol;
        }
        accepted
    }

    fn established(&self, status: NTSTATUS) {
        let this = self.shared();
        Self::look(&this, time::interrupt_time_100ns(), |state, after| {
            state.established(&this, status, after);
        });
    }

    fn completions(&self, entries: &[Completion]) {
        let this = self.shared();
        Self::with(&this, |state, after| {
            after.direct = true;
            self.counters.completions.add(entries.len() as u64);
            let Some(link) = &mut state.link else { return };
            for entry in entries {
                if let Err(status) = link.take(entry, &self.counters) {
                    link.lose(status);
                }
            }
        });
    }

    fn disconnected(&self) {
        let this = self.shared();
        Self::with(&this, |state, _| {
            if let Some(link) = &mut state.link {
                link.lose(STATUS_CONNECTION_RESET);
            }
        });
    }

    fn closed(&self) {
        let this = self.shared();
        Self::with(&this, State::endpoint_closed);
    }
}

impl Link {
    /// Takes one completion. An error loses the connection, unless it is already over.
    fn take(&mut self, entry: &Completion, counters: &Counters) -> Result<(), NTSTATUS> {
        if !nt_success(entry.status) {
            // Flushed by our own close, or the end of the connection.
            return Err(STATUS_CONNECTION_RESET);
        }
        if entry.context == SEND {
            self.completed = self.completed.wrapping_add(1);
            return self.engine.handle_transmit_complete().map(|_| ()).map_err(|_| STATUS_INTERNAL_ERROR);
        }
        if entry.octets as usize != MESSAGE_LEN {
            // A message of another length is not of this protocol.
            return Err(STATUS_INTERNAL_ERROR);
        }
        let slot = Layout::receive_slot(entry.context);
        let mut word = [0; MESSAGE_LEN];
        let local = self.memory(LOCAL).ok_or(STATUS_INTERNAL_ERROR)?;
        local.region().read(slot.offset, &mut word).map_err(|_| STATUS_INTERNAL_ERROR)?;
        // Posted again before the engine hears of the message: it counts on that.
        let Some(poster) = &mut self.poster else { return Ok(()) };
        poster.receive(slot, entry.context)?;
        counters.receives.add(1);
        let snapshot = self.target_entry();
        // What a peer did wrong stays in the engine's state; settling ends the connection.
        let event = self.engine.handle_message(u32::from_le_bytes(word), snapshot);
        if let Ok(Event::Credit { clear_entry: Some(index) }) = event {
            self.clear_entry(index);
        }
        Ok(())
    }
}

impl State {
    /// The endpoint is closed: whoever waited for that goes on.
    fn endpoint_closed(&mut self, after: &mut super::After) {
        if let Some(link) = &mut self.link {
            link.closed = true;
        }
        self.go_on(after);
    }
}
