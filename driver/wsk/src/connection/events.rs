//! What the endpoint tells.

use super::layout::LOCAL;
use super::{Connection, Link};
use abi::NTSTATUS;
use abi::status::{STATUS_CONNECTION_RESET, STATUS_INTERNAL_ERROR, nt_success};
use kernel::pool::Shared;
use kernel::time;
use ndk::{Completion, Handler};
use stream::{ConnData, Event, MAX_MESSAGE_LEN};
use trace::{Counters, Reason};

/// Context of a Send; receives carry the number of their slot.
pub(super) const SEND: usize = 1 << 31;
/// Context of a fast registration, and of its end.
pub(super) const REGISTER: usize = SEND + 1;
pub(super) const INVALIDATE: usize = SEND + 2;

impl Connection {
    /// The owner of `self`: connections live inside a [`Shared`] only.
    pub(super) fn shared(&self) -> Shared<Self> {
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

    fn refused(&self, data: &[u8]) {
        if stream::refused_by_program(data) {
            // TCP would ask the same program.
            self.state.lock().falls_back = false;
        }
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
                let status = link.unposted.unwrap_or(STATUS_CONNECTION_RESET);
                link.lose(status);
            }
        });
    }

    fn closed(&self) {
        let this = self.shared();
        Self::with(&this, |state, after| {
            if let Some(link) = &mut state.link {
                link.closed = true;
                link.close_rings(after);
            }
            // Whoever waited for that goes on.
            state.end_loans(&this, after);
        });
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
        if entry.context == REGISTER {
            return Ok(());
        }
        if entry.context == INVALIDATE {
            self.direct.shut();
            return Ok(());
        }
        let slot = self.layout.receive_slot(entry.context);
        let mut message = [0; MAX_MESSAGE_LEN as usize];
        let message = message.get_mut(..entry.octets as usize).ok_or(STATUS_INTERNAL_ERROR)?;
        let local = self.memory(LOCAL).ok_or(STATUS_INTERNAL_ERROR)?;
        local.region().read(slot.offset, message).map_err(|_| STATUS_INTERNAL_ERROR)?;
        // Posted again before the engine hears of the message: it counts on that.
        let Some(poster) = &mut self.poster else { return Ok(()) };
        match poster.receive(slot, entry.context) {
            Ok(()) => counters.receives.add(1),
            Err(status) => self.give_up(status),
        }
        let snapshot = self.target_entry();
        // What a peer did wrong stays in the engine's state; settling ends the connection.
        match self.engine.handle_message(message, snapshot) {
            Ok(Event::Credit { clear_entry: Some(index) }) => self.clear_entry(index),
            Ok(Event::Place { message_offset, span }) => {
                let octets = message.get(message_offset..).ok_or(STATUS_INTERNAL_ERROR)?;
                let ring = self.rings.get(span.ring).ok_or(STATUS_INTERNAL_ERROR)?;
                ring.region().write(span.offset as usize, octets).map_err(|_| STATUS_INTERNAL_ERROR)?;
                counters.octets_copied_in.add(octets.len() as u64);
            }
            Ok(Event::Direct(len)) => self.buffer_filled(len),
            Ok(Event::Refused) => self.buffer_refused(),
            _ => {}
        }
        Ok(())
    }
}
