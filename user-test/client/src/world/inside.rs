//! Calls that are made from inside a callback or a completion routine, and the sockets that `WskAcceptEvent` brings.

use abi::wsk::WSK_FLAG_CONNECTION_SOCKET;
use cases::world::{Call, Operation, Socket};
use kernel::pool::AllocError;

use super::request::Request;
use super::{Kernel, Known};
use crate::calls::{self, Effect, Open};
use crate::watch::inside::Inside;

impl Kernel<'_> {
    /// Makes a request ready that is made from inside; its place is reserved.
    pub(super) fn prepare_inside(&mut self, call: &Call<'static>) -> Result<(Operation, Inside), AllocError> {
        let mut request = self.prepare(call)?;
        let open = match calls::target(call) {
            Some(on) => Some(self.sockets.get(on.socket.0).ok_or(AllocError)?.open),
            None => None,
        };
        // SAFETY: captured; the socket is open until it is closed here, before which what is not made is called off; the
        // request stays in the table until it is completed or called off.
        let inside = unsafe { Inside::new(*call, open, self.npi, request.submit())? };
        request.fate = Some(inside.fate());
        if let Effect::Makes(_) = request.effect {
            self.sockets_to_come = self.sockets_to_come.saturating_add(1);
        }
        if let Effect::Closes(socket) = request.effect
            && let Some(known) = self.sockets.get_mut(socket.0)
        {
            known.closing = true;
        }
        self.made = self.made.saturating_add(1);
        match self.requests.add(request) {
            Ok(number) => Ok((Operation(number), inside)),
            // Not reached: the place was reserved. It is not made.
            Err(_) => Err(AllocError),
        }
    }

    /// Nothing that was to be made from inside is made from here on, unless it has begun.
    pub(super) fn call_off(&mut self) {
        for operation in self.operations() {
            let Some(request) = self.requests.get_mut(operation.0) else { continue };
            if !request.settled && request.fate.as_ref().is_some_and(|fate| fate.call_off()) {
                let effect = request.effect;
                self.requests.take(operation.0);
                if let Effect::Closes(socket) = effect
                    && let Some(known) = self.sockets.get_mut(socket.0)
                {
                    known.closing = false;
                }
            }
        }
    }

    /// Gives numbers to sockets that `WskAcceptEvent` has brought.
    pub(super) fn adopt(&mut self) -> Result<(), AllocError> {
        // Without such sockets nothing is allocated: clearing away needs no memory.
        while self.watchers.has_accepted() {
            self.sockets.reserve(self.sockets_to_come.saturating_add(1))?;
            self.requests
                .reserve(self.sockets.len().saturating_add(self.sockets_to_come).saturating_add(2))?;
            let close = Call::Close { on: Socket(u32::MAX).into() };
            let closer = Some(Request::new(&close, &self.completions)?);
            let Some((listener, number, pointer, watch)) = self.watchers.accepted() else { return Ok(()) };
            let open = Open { pointer, category: WSK_FLAG_CONNECTION_SOCKET };
            if let Ok(socket) = self.sockets.add(Known { open, closer, closing: false, watch }) {
                self.watchers.adopt(listener, number, Socket(socket));
            }
        }
        Ok(())
    }
}
