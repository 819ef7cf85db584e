//! Control requests for the system's socket of a connection that has none: they wait until a work item has made one.
//!
//! A connection that was accepted over RDMA has no twin, because few clients ask it for anything that only the system
//! knows; nor has a socket that the policy keeps from TCP.

use super::{Connection, Phase, State};
use crate::control::socket::TwinUse;
use crate::policy::Direction;
use crate::system::Wait;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_NOT_SUPPORTED};
use abi::wsk::WSK_CONTROL_SOCKET_TYPE;
use core::ffi::c_void;
use irp::{IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

/// The parameters of a WskControlSocket. The buffers are the client's until its IRP is completed.
#[derive(Clone, Copy)]
pub(crate) struct ControlRequest {
    pub(crate) request: WSK_CONTROL_SOCKET_TYPE,
    pub(crate) code: u32,
    pub(crate) level: u32,
    /// Octets of `input` and `output`: a longer one is no control request's.
    pub(crate) input_size: u32,
    pub(crate) output_size: u32,
    pub(crate) input: *mut c_void,
    pub(crate) output: *mut c_void,
    pub(crate) returned: *mut usize,
}

// SAFETY: the client's buffers may be used from any thread until the IRP is completed.
unsafe impl Send for ControlRequest {}

/// The requests that wait.
pub(super) enum Unserved {}

// SAFETY: lock and queue are fields of the socket and of the state under its lock; nothing moves the state.
unsafe impl QueueKind for Unserved {
    type Owner = Connection;
    type State = State;
    type Record = ControlRequest;

    fn lock(owner: &Connection) -> &SpinLock<State> {
        &owner.state
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.unserved
    }
}

impl Connection {
    /// A request that only the system can answer has come, and there is no twin. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn ask_for_twin(this: &Shared<Self>, request: ControlRequest, irp: OwnedIrp) {
        let served = this.client.has_system_controls();
        Self::with(this, |state, after| {
            let refused = match state.phase {
                Phase::Closing => Outcome::failure(STATUS_INVALID_DEVICE_STATE),
                _ if !served || state.listen.is_some() => Outcome::failure(STATUS_NOT_SUPPORTED),
                _ => match state.unserved.park(this, irp, request) {
                    Ok(()) => {
                        state.lending = true;
                        after.rare().work = true;
                        return;
                    }
                    Err(cancelled) => return after.batch.push(cancelled, Outcome::CANCELLED),
                },
            };
            after.batch.push(irp, refused);
        });
    }

    /// Makes the twin, and hands it what waits. IRQL: PASSIVE_LEVEL.
    pub(super) fn serve_controls(this: &Shared<Self>) {
        let bound = {
            let state = this.state.lock();
            // One that may yet become the connection has the socket's address, as every such twin.
            let may_connect = this.client.provider().may_use_tcp(Direction::Out);
            let may_connect = may_connect && state.bound.is_some() && state.phase != Phase::Connected;
            state.wanted.filter(|_| may_connect)
        };
        let made = Wait::new().and_then(|mut wait| this.need_twin(&mut wait, bound));
        while let Some((irp, request)) = Self::next_unserved(this) {
            match (made, TwinUse::begin(this)) {
                (Ok(_), Some(using)) => {
                    let twin = using.twin;
                    // SAFETY: open until the end of this use.
                    let functions = unsafe { twin.basic() };
                    // SAFETY: the client's own parameters and its IRP, for the function that they are meant for.
                    irp.hand_on(|irp| unsafe {
                        (functions.WskControlSocket)(
                            twin.as_ptr(),
                            request.request,
                            request.code,
                            request.level,
                            request.input_size as usize,
                            request.input,
                            request.output_size as usize,
                            request.output,
                            request.returned,
                            irp,
                        )
                    });
                }
                (Err(status), _) => irp.complete(Outcome::failure(status)),
                (Ok(_), None) => irp.complete(Outcome::failure(STATUS_INVALID_DEVICE_STATE)),
            }
        }
    }

    /// The oldest request that waits; without one the lending is over.
    fn next_unserved(this: &Shared<Self>) -> Option<(OwnedIrp, ControlRequest)> {
        Self::with(this, |state, after| {
            let next = state.unserved.take_next();
            if next.is_none() {
                state.lending = false;
                state.go_on(after);
            }
            next
        })
    }
}
