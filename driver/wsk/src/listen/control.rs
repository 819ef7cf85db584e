//! WskControlSocket.

use super::{ListenSocket, Phase, State};
use crate::connection::ControlRequest;
use crate::control::Reply;
use crate::control::socket::{Controlled, Question, Stage, Standing};
use crate::options::Options;
use crate::system::SystemSocket;
use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_DEVICE_REQUEST, STATUS_NOT_SUPPORTED};
use abi::wsk::WSK_FLAG_LISTEN_SOCKET;
use abi::wskrdma::{
    WSKRDMA_NO_ADAPTER, WSKRDMA_PATH, WSKRDMA_PATH_NONE, WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP,
};
use irp::{Outcome, OwnedIrp};
use kernel::pool::Shared;

impl Phase {
    const fn stage(self) -> Stage {
        match self {
            Self::Created => Stage::Created,
            Self::Binding | Self::Listening => Stage::Bound,
            Self::Dead => Stage::Dead,
            Self::Closed => Stage::Closing,
        }
    }
}

impl State {
    /// The best way that connections may come.
    fn path(&self) -> u32 {
        match (self.phase, self.listeners.is_empty()) {
            (Phase::Listening, false) => WSKRDMA_PATH_RDMA,
            (Phase::Listening, true) => WSKRDMA_PATH_TCP,
            _ => WSKRDMA_PATH_NONE,
        }
    }
}

impl Controlled for ListenSocket {
    fn with_options<R>(&self, f: impl FnOnce(&Standing, &mut Options) -> R) -> R {
        let mut state = self.state.lock();
        let standing = Standing {
            category: WSK_FLAG_LISTEN_SOCKET,
            stage: state.phase.stage(),
            // A listening socket is this provider's, whatever ways its connections come.
            path: WSKRDMA_PATH_RDMA,
            static_events: self.client.static_events(),
            receive_buffer: self.client.provider().settings.ring_octets,
        };
        state.options.conditional_accept = state.inspections.is_some();
        f(&standing, &mut state.options)
    }

    fn ask(this: &Shared<Self>, question: Question) -> Result<Reply, NTSTATUS> {
        match question {
            Question::Path => {
                let (path, reason, local) = {
                    let state = this.state.lock();
                    (state.path(), state.reason(), state.local)
                };
                let (adapter, technology) = local
                    .filter(|_| path == WSKRDMA_PATH_RDMA)
                    .and_then(|local| this.client.provider().adapters().number(local.ip()))
                    .unwrap_or((WSKRDMA_NO_ADAPTER, 0));
                Ok(Reply::of(WSKRDMA_PATH {
                    Size: size_of::<WSKRDMA_PATH>() as u32,
                    Path: path,
                    Reason: reason.code(),
                    Adapter: adapter,
                    Technology: technology,
                }))
            }
            Question::ConditionalAccept(on) => Self::set_conditional_accept(this, on).map(|()| Reply::EMPTY),
            Question::IdealSendBacklog
            | Question::ReceiveBacklog
            | Question::InspectId
            | Question::Silence
            | Question::ReceiveEx(_) => Err(STATUS_INVALID_DEVICE_REQUEST),
        }
    }

    fn begin_use(&self) -> Option<SystemSocket> {
        let mut state = self.state.lock();
        let twin = state.tcp.socket.filter(|_| self.client.has_system_controls())?;
        state.tcp.begin();
        Some(twin)
    }

    fn end_use(this: &Shared<Self>) {
        Self::end_use_of_twin(this, |_| {});
    }

    fn ask_for_twin(_: &Shared<Self>, _: ControlRequest, irp: OwnedIrp) {
        // It has none where the policy keeps it from TCP.
        irp.complete(Outcome::failure(STATUS_NOT_SUPPORTED));
    }

    fn events(this: &Shared<Self>, mask: u32, irp: Option<OwnedIrp>) -> NTSTATUS {
        Self::set_events(this, mask, irp)
    }
}
