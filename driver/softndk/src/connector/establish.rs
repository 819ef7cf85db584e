//! Connecting and accepting.

use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::status::{
    STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_REFUSED, STATUS_HOST_UNREACHABLE,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_NETWORK_UNREACHABLE, STATUS_PENDING,
};
use kernel::pool::{PoolBox, Shared};

use super::{Attachment, Connector, Source};
use crate::answer::Request;
use crate::events::{Action, Job};
use crate::life::{Hold, Object as _, discard};
use crate::listener::{Backlog, Listener};
use crate::loopback::{DisconnectEvent, Handshake, Link, Side};
use crate::qp::Qp;
use crate::shared_endpoint::SharedEndpoint;

/// Where a connect is to come from.
pub(super) enum From {
    Address(SocketAddr),
    Endpoint(Shared<SharedEndpoint>),
}

/// Everything a connect needs beyond what the consumer gave.
struct Prepared {
    link: Shared<Link>,
    listener: Hold<Listener>,
    /// The other consumer's connector.
    connector: Shared<Connector>,
    backlog: Backlog,
    job: PoolBox<Job>,
}

/// Why a connect could not be started, and the request to answer.
struct Failed(NTSTATUS, Request);

impl Connector {
    /// `NdkConnect` and `NdkConnectWithSharedEndpoint`. Consumes the request: the result is what the consumer's call
    /// returns. After an inline failure connector and queue pair are as before.
    pub(super) fn connect(
        this: &Shared<Self>,
        handshake: Handshake,
        from: From,
        remote: SocketAddr,
        request: Request,
    ) -> NTSTATUS {
        let free = {
            let mut state = this.state.lock();
            let free = matches!(state.attachment, Attachment::None);
            if free {
                state.attachment = Attachment::Starting;
            }
            free
        };
        if !free {
            return request.answer(STATUS_INVALID_DEVICE_STATE);
        }
        let Err(Failed(status, request)) = Self::start(this, handshake, from, remote, request) else {
            return STATUS_PENDING;
        };
        let before = core::mem::replace(&mut this.state.lock().attachment, Attachment::None);
        drop(before);
        this.adapter.core().counters().connect_failures.add(1);
        request.answer(status)
    }

    fn start(
        this: &Shared<Self>,
        handshake: Handshake,
        from: From,
        remote: SocketAddr,
        request: Request,
    ) -> Result<(), Failed> {
        if !Shared::ptr_eq(handshake.qp.adapter(), this.adapter.shared()) {
            return Err(Failed(STATUS_INVALID_PARAMETER, request));
        }
        let source = match this.take_source(from, remote) {
            Ok(source) => source,
            Err(status) => return Err(Failed(status, request)),
        };
        let qp = handshake.qp.clone();
        let prepared = match this.prepare(&source, &qp, remote) {
            Ok(prepared) => prepared,
            Err(status) => {
                this.give_back(source);
                return Err(Failed(status, request));
            }
        };
        let Prepared { link, listener, connector, backlog, job } = prepared;
        {
            let mut state = this.state.lock();
            state.qp = Some(Hold::new(&qp));
            state.source = Some(source);
            state.attachment = Attachment::End(link.clone(), Side::Active);
        }
        // From here on the answer may come at any moment.
        if let Err(request) = link.start(handshake, request, backlog, [this, &connector]) {
            // The queue pair was flushed meanwhile.
            let (hold, source) = {
                let mut state = this.state.lock();
                (state.qp.take(), state.source.take())
            };
            drop(hold);
            qp.detach();
            Self::discard(connector);
            if let Some(source) = source {
                this.give_back(source);
            }
            return Err(Failed(STATUS_CONNECTION_ABORTED, request));
        }
        let adapter = connector.adapter().clone();
        adapter.post(job, Action::ConnectRequest { listener, connector });
        Ok(())
    }

    /// Takes the local endpoint.
    fn take_source(&self, from: From, remote: SocketAddr) -> Result<Source, NTSTATUS> {
        let ports = self.adapter.core().ports();
        match from {
            From::Address(local) => {
                if local.is_ipv4() != remote.is_ipv4() {
                    return Err(STATUS_INVALID_PARAMETER);
                }
                Ok(Source::Own(ports.bind(local)?))
            }
            From::Endpoint(endpoint) => {
                if endpoint.address().is_ipv4() != remote.is_ipv4() {
                    return Err(STATUS_INVALID_PARAMETER);
                }
                if !Shared::ptr_eq(endpoint.adapter(), self.adapter.shared()) {
                    return Err(STATUS_INVALID_PARAMETER);
                }
                ports.pair(endpoint.address(), remote)?;
                Ok(Source::Shared { endpoint: Hold::new(&endpoint), remote })
            }
        }
    }

    fn give_back(&self, source: Source) {
        let ports = self.adapter.core().ports();
        match source {
            Source::Own(local) => ports.unbind(local),
            Source::Shared { endpoint, remote } => ports.unpair(endpoint.address(), remote),
        }
    }

    /// Finds the listener and makes everything that is needed to ask its consumer.
    fn prepare(&self, source: &Source, qp: &Shared<Qp>, remote: SocketAddr) -> Result<Prepared, NTSTATUS> {
        let core = self.adapter.core();
        if remote.ip().is_unspecified() {
            return Err(STATUS_NETWORK_UNREACHABLE);
        }
        // Peers are on this adapter: nobody answers at any other address.
        if !core.ports().is_local(remote.ip()) {
            return Err(STATUS_HOST_UNREACHABLE);
        }
        let local = match source {
            Source::Own(local) => *local,
            Source::Shared { endpoint, .. } => endpoint.address(),
        };
        let job = Job::new()?;
        let listener = core.ports().listener(&remote).ok_or(STATUS_CONNECTION_REFUSED)?;
        let backlog = Backlog::take(listener.shared()).ok_or(STATUS_CONNECTION_REFUSED)?;
        let link = Link::new(core, local, remote)?;
        let for_event = Hold::new(listener.shared());
        let connector = Self::for_request(listener, &link)?;
        if let Err(status) = qp.attach(&link, Side::Active) {
            discard(connector);
            return Err(status);
        }
        Ok(Prepared { link, listener: for_event, connector, backlog, job })
    }

    /// `NdkAccept`. Consumes the request: the result is what the consumer's call returns.
    pub(super) fn accept(
        this: &Shared<Self>,
        handshake: Handshake,
        event: Option<DisconnectEvent>,
        request: Request,
    ) -> NTSTATUS {
        let (link, side) = match this.end() {
            Ok(end) => end,
            Err(status) => return request.answer(status),
        };
        if side != Side::Passive {
            return request.answer(STATUS_INVALID_DEVICE_STATE);
        }
        if !Shared::ptr_eq(handshake.qp.adapter(), this.adapter.shared()) {
            return request.answer(STATUS_INVALID_PARAMETER);
        }
        let hold = Hold::new(&handshake.qp);
        let taken = {
            let mut state = this.state.lock();
            if state.qp.is_none() { Ok(state.qp.insert(hold).shared().clone()) } else { Err(hold) }
        };
        if taken.is_err() {
            // It has been accepted already.
            return request.answer(STATUS_INVALID_DEVICE_STATE);
        }
        if let Err(status) = handshake.qp.attach(&link, side) {
            return request.answer(status);
        }
        link.accept(handshake, event, request)
    }
}
