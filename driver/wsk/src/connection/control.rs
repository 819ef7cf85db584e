//! WskControlSocket.

use super::{Connection, ControlRequest, Phase, State};
use crate::control::Reply;
use crate::control::socket::{Controlled, Question, Stage, Standing};
use crate::options::Options;
use crate::system::SystemSocket;
use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE};
use abi::wskrdma::{
    WSKRDMA_NO_ADAPTER, WSKRDMA_PATH, WSKRDMA_PATH_NONE, WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP,
};
use irp::OwnedIrp;
use kernel::pool::Shared;
use trace::Reason;

impl Phase {
    const fn stage(self) -> Stage {
        match self {
            Self::Created => Stage::Created,
            Self::Binding
            | Self::Listening
            | Self::Bound
            | Self::Connecting
            | Self::Unwinding
            | Self::Accepting => Stage::Bound,
            Self::Connected => Stage::Connected,
            Self::Closing => Stage::Closing,
        }
    }
}

impl State {
    fn stage(&self) -> Stage {
        match &self.link {
            Some(link) if link.dead && self.phase == Phase::Connected => Stage::Dead,
            _ => self.phase.stage(),
        }
    }

    fn path(&self) -> u32 {
        if self.reason == Reason::Rdma { WSKRDMA_PATH_RDMA } else { WSKRDMA_PATH_NONE }
    }

    /// SIO_WSK_SET_TCP_SILENT_MODE: nothing is sent and nothing delivered any more; what arrives stays where it is, and
    /// the peer runs out of room. Receives that wait end with the close.
    fn silence(&mut self) -> Result<(), NTSTATUS> {
        let in_place = self.link.as_ref().is_some_and(|link| link.in_place.any());
        let sending =
            in_place || !self.sends.is_empty() || !self.copied.is_empty() || !self.disconnect.is_empty();
        if self.phase != Phase::Connected || sending || self.send_ended {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        self.silent = true;
        self.send_ended = true;
        Ok(())
    }
}

impl Connection {
    /// What `octets` finds on a connected socket.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE: not connected.
    fn of_connected(&self, octets: impl FnOnce(&Self) -> usize) -> Result<Reply, NTSTATUS> {
        if self.state.lock().phase != Phase::Connected {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        Ok(Reply::of(octets(self)))
    }

    /// SIO_WSKRDMA_QUERY_PATH.
    fn path(&self) -> WSKRDMA_PATH {
        let (path, reason, local) = {
            let state = self.state.lock();
            let path = if self.tcp().is_some() { WSKRDMA_PATH_TCP } else { state.path() };
            (path, state.reason, state.local)
        };
        let (adapter, technology) = local
            .filter(|_| path == WSKRDMA_PATH_RDMA)
            .and_then(|local| self.client.provider().adapters().number(local.ip()))
            .unwrap_or((WSKRDMA_NO_ADAPTER, 0));
        WSKRDMA_PATH {
            Size: size_of::<WSKRDMA_PATH>() as u32,
            Path: path,
            Reason: reason.code(),
            Adapter: adapter,
            Technology: technology,
        }
    }
}

impl Controlled for Connection {
    fn with_options<R>(&self, f: impl FnOnce(&Standing, &mut Options) -> R) -> R {
        let mut state = self.state.lock();
        let (times, buffer) = (state.options.keepalive_times, state.options.receive_buffer);
        let standing = Standing {
            category: self.category(),
            stage: state.stage(),
            path: if self.tcp().is_some() { WSKRDMA_PATH_TCP } else { state.path() },
            static_events: self.client.static_events(),
            receive_buffer: self.client.provider().settings.ring_octets,
        };
        let result = f(&standing, &mut state.options);
        let changed = state.options.keepalive_times != times;
        let resized = state.options.receive_buffer != buffer;
        drop(state);
        if changed {
            self.client.provider().clock().wake_in(0);
        }
        if resized {
            Self::with(&self.shared(), |state, _| state.follow_receive_buffer());
        }
        result
    }

    fn ask(this: &Shared<Self>, question: Question) -> Result<Reply, NTSTATUS> {
        match question {
            Question::IdealSendBacklog => this.of_connected(Self::ideal_send_backlog),
            Question::ReceiveBacklog => this.of_connected(Self::receive_backlog),
            // For the listening socket that a stream socket may become.
            Question::ConditionalAccept(on) => {
                this.state.lock().options.conditional_accept = on;
                Ok(Reply::EMPTY)
            }
            Question::InspectId => this.inspect_id().map(Reply::of).ok_or(STATUS_INVALID_DEVICE_REQUEST),
            Question::Silence => Self::with(this, |state, _| state.silence()).map(|()| Reply::EMPTY),
            Question::ReceiveEx(receive) => {
                Self::set_receive_ex(this, receive);
                match this.tcp() {
                    // SAFETY: the twin is open as long as the client's socket is in use.
                    Some(twin) => unsafe { this.set_twin_receive_ex(twin, receive.is_some()) },
                    None => Ok(()),
                }
                .map(|()| Reply::EMPTY)
            }
            Question::Path => Ok(Reply::of(this.path())),
        }
    }

    fn begin_use(&self) -> Option<SystemSocket> {
        if !self.client.has_system_controls() {
            return None;
        }
        self.state.lock().use_twin()
    }

    fn end_use(this: &Shared<Self>) {
        Self::with(this, State::let_go_of_twin);
    }

    fn ask_for_twin(this: &Shared<Self>, request: ControlRequest, irp: OwnedIrp) {
        Self::ask_for_twin(this, request, irp);
    }

    fn events(this: &Shared<Self>, mask: u32, irp: Option<OwnedIrp>) -> NTSTATUS {
        Self::set_events(this, mask, irp)
    }
}
