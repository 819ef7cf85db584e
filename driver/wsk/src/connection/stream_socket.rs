//! Stream sockets: connection sockets that may decide to listen instead.
//!
//! WskListen commits the socket: what it was bound to goes over to a listening socket of its own, which serves the listening
//! part of the table from then on. WskConnect commits it to the other part.
//!
//! Contract: "WSK_PROVIDER_STREAM_DISPATCH", "WskListen", "WSK_CLIENT_STREAM_DISPATCH".

use super::{Connection, Phase};
use crate::callbacks::Callbacks;
use crate::listen::ListenSocket;
use crate::options::Options;
use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_DEVICE_NOT_READY, STATUS_INVALID_DEVICE_STATE};
use abi::wsk::{WSK_CLIENT_LISTEN_DISPATCH, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_STREAM_SOCKET};
use irp::{Outcome, OwnedIrp};
use kernel::pool::Shared;

/// What a stream socket has beside a connection socket: the callbacks of its listening part.
#[derive(Clone, Copy)]
pub(crate) struct StreamSocket {
    pub(crate) dispatch: *const WSK_CLIENT_LISTEN_DISPATCH,
}

// SAFETY: the client's table, which is valid as long as the socket, is read from any thread.
unsafe impl Send for StreamSocket {}
// SAFETY: as above.
unsafe impl Sync for StreamSocket {}

impl Connection {
    /// WSK_FLAG_CONNECTION_SOCKET or WSK_FLAG_STREAM_SOCKET.
    pub(crate) const fn category(&self) -> u32 {
        if self.stream.is_some() { WSK_FLAG_STREAM_SOCKET } else { WSK_FLAG_CONNECTION_SOCKET }
    }

    /// The listening socket that a stream socket has become.
    pub(crate) fn listener(&self) -> Option<Shared<ListenSocket>> {
        self.state.lock().listen.clone()
    }

    /// WskListen. It ends when the socket listens. INVALID_DEVICE_STATE: not bound, or committed to connecting.
    /// IRQL <= DISPATCH_LEVEL.
    pub(crate) fn listen(this: &Shared<Self>, irp: OwnedIrp) {
        if let Some(listener) = this.listener() {
            // Once more, after it has failed; or too often, which it says.
            let local = this.state.lock().local;
            return ListenSocket::bind(&listener, local, irp.keep(&listener));
        }
        Self::with(this, |state, after| {
            if state.phase != Phase::Bound {
                return after.batch.push(irp, Outcome::failure(STATUS_INVALID_DEVICE_STATE));
            }
            state.phase = Phase::Listening;
            state.bind = Some(irp);
            // Its address is to be the listening socket's.
            state.tcp.retired = true;
            state.go_on(after);
        });
    }

    /// Goes on with WskListen when nothing has the address any more.
    pub(super) fn attach_listener(this: &Shared<Self>, irp: OwnedIrp) {
        let (options, local, bound, endpoints) = {
            let mut state = this.state.lock();
            (state.options, state.local, state.bound.take(), core::mem::take(&mut state.endpoints))
        };
        drop(endpoints);
        if let Some(place) = bound {
            this.client.provider().unbind(place);
        }
        let listener = Self::make_listener(this, options);
        let (listener, refused) = {
            let mut state = this.state.lock();
            match listener {
                Ok(listener) if state.phase == Phase::Listening => {
                    state.listen = Some(listener.clone());
                    (Some(listener), None)
                }
                Ok(listener) => (Some(listener), Some(STATUS_CANCELLED)),
                Err(status) => (None, Some(status)),
            }
        };
        match (listener, refused) {
            (Some(listener), None) => ListenSocket::bind(&listener, local, irp.keep(&listener)),
            (listener, status) => {
                if let Some(listener) = listener {
                    ListenSocket::close(listener, None);
                }
                irp.complete(Outcome::failure(status.unwrap_or(STATUS_CANCELLED)));
            }
        }
    }

    fn make_listener(this: &Shared<Self>, options: Options) -> Result<Shared<ListenSocket>, NTSTATUS> {
        let stream = this.stream.ok_or(STATUS_INVALID_DEVICE_STATE)?;
        let client = this.client.try_clone().ok_or(STATUS_DEVICE_NOT_READY)?;
        let callbacks = Callbacks::new(this.callbacks.context(), stream.dispatch);
        ListenSocket::of_stream(client, this.ipv4, callbacks, options, this.clone())
    }
}
