//! WskBind.

use super::outgoing::Endpoints;
use super::tcp::bind_status;
use super::{After, Connection, Phase, State};
use crate::policy::Direction;
use crate::sharing::Bound;
use crate::system::Wait;
use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_INVALID_ADDRESS_COMPONENT, STATUS_INVALID_DEVICE_STATE};
use core::net::SocketAddr;
use irp::{Outcome, OwnedIrp};
use kernel::pool::Shared;

impl Connection {
    /// WskBind: a work item reserves the address, here and with the system.
    pub(crate) fn bind(this: &Shared<Self>, address: Option<SocketAddr>, irp: OwnedIrp) {
        Self::with(this, |state, after| {
            let refused = match address {
                _ if state.phase != Phase::Created => STATUS_INVALID_DEVICE_STATE,
                Some(address) if address.is_ipv4() == this.ipv4 => {
                    state.phase = Phase::Binding;
                    state.wanted = Some(address);
                    state.bind = Some(irp);
                    return state.bind_in_turn(after);
                }
                _ => STATUS_INVALID_ADDRESS_COMPONENT,
            };
            after.batch.push(irp, Outcome::failure(refused));
        });
    }

    /// Serves WskBind. IRQL: PASSIVE_LEVEL.
    pub(super) fn bind_address(this: &Shared<Self>) {
        let wanted = {
            let state = this.state.lock();
            if state.phase == Phase::Binding { state.wanted } else { None }
        };
        let taken = wanted.ok_or(STATUS_CANCELLED).and_then(|wanted| this.take_address(wanted));
        Self::with(this, |state, after| {
            state.building = false;
            let result = taken.map(|(local, place, endpoints)| {
                state.bound = Some(place);
                state.endpoints = endpoints;
                state.asked_for_port = wanted.is_some_and(|wanted| wanted.port() != 0);
                local
            });
            if state.phase == Phase::Binding {
                state.phase = if result.is_ok() { Phase::Bound } else { Phase::Created };
                state.local = result.ok();
                state.wanted = state.local;
                if let Some(irp) = state.bind.take() {
                    after.batch.push(irp, result.map_or_else(Outcome::failure, |_| Outcome::success(0)));
                } else if let Err(status) = result {
                    state.fail_connect(status, after);
                } else {
                    state.begin_connect(after);
                }
                return;
            }
            state.go_on(after);
        });
        this.release_lost_endpoints();
    }

    /// Takes an address for this socket; port 0 chooses one. Where TCP is possible the system has the last word, and the
    /// twin has the address too; where it is not, the adapters have it. IRQL: PASSIVE_LEVEL.
    fn take_address(&self, wanted: SocketAddr) -> Result<(SocketAddr, usize, Endpoints), NTSTATUS> {
        let provider = self.client.provider();
        let sharing = self.state.lock().options.sharing();
        let bound = Bound { address: wanted, sharing };
        if self.client.system().is_some() && provider.may_use_tcp(Direction::Out) {
            let mut wait = Wait::new()?;
            let twin = self.need_twin(&mut wait, None)?;
            provider.bind(bound, |address| {
                // SAFETY: open, and this work item alone uses it.
                let bound = unsafe { twin.bind(&mut wait, address) };
                bound.map(|()| Endpoints::new()).map_err(bind_status)
            })
        } else {
            provider.bind(bound, |address| {
                let ours = address.ip().is_unspecified() || provider.adapters().at(address.ip()).is_some();
                match wanted.port() {
                    _ if !ours => Err(STATUS_INVALID_ADDRESS_COMPONENT),
                    0 => self.take_everywhere(address),
                    _ => Ok(Endpoints::new()),
                }
            })
        }
    }
}

impl State {
    /// The bind that is wanted begins.
    pub(super) fn bind_in_turn(&mut self, after: &mut After) {
        self.building = true;
        after.rare().work = true;
    }
}
