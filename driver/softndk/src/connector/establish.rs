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
use crate::fabric::{Connection, DisconnectEvent, Handshake, Side};
use crate::life::{Hold, Object as _, discard};
use crate::listener::{Backlog, Listener};
use crate::loopback::Link;
use crate::qp::Qp;
use crate::shared_endpoint::SharedEndpoint;
use crate::stream::Stream;
use crate::tcp::SystemWsk;

/// Where a connect is to come from.
pub(super) enum From {
    Address(SocketAddr),
    Endpoint(Shared<SharedEndpoint>),
}

/// Which way a connect goes.
enum Way {
    /// The listener is on this adapter.
    Memory(Hold<Listener>),
    Tcp(SystemWsk),
}

/// Everything a connect in memory needs beyond what the consumer gave.
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
        let listener = match this.way(remote) {
            Ok(Way::Memory(listener)) => listener,
            Ok(Way::Tcp(system)) => {
                return Self::start_stream(this, system, handshake, source, remote, request);
            }
            Err(status) => {
                this.give_back(source);
                return Err(Failed(status, request));
            }
        };
        let qp = handshake.qp.clone();
        let prepared = match this.prepare(listener, source.address(), &qp, remote) {
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
            state.attachment = Attachment::End(Connection::Memory(link.clone(), Side::Active));
        }
        // From here on the answer may come at any moment.
        if let Err(request) = link.start(handshake, request, backlog, [this, &connector]) {
            // The queue pair was flushed meanwhile.
            this.undo(&qp);
            Self::discard(connector);
            return Err(Failed(STATUS_CONNECTION_ABORTED, request));
        }
        let adapter = connector.adapter().clone();
        adapter.post(job, Action::ConnectRequest { listener, connector });
        Ok(())
    }

    /// The same over TCP.
    fn start_stream(
        this: &Shared<Self>,
        system: SystemWsk,
        handshake: Handshake,
        source: Source,
        remote: SocketAddr,
        request: Request,
    ) -> Result<(), Failed> {
        let qp = handshake.qp.clone();
        let adapter = this.adapter.shared();
        let made = Stream::active(adapter, system, source.address(), remote, &handshake)
            .map_err(|no_memory| no_memory.status())
            .and_then(|(stream, deadline)| {
                qp.attach(Connection::Stream(stream.clone()))?;
                Ok((stream, deadline))
            });
        let (stream, deadline) = match made {
            Ok(made) => made,
            Err(status) => {
                this.give_back(source);
                return Err(Failed(status, request));
            }
        };
        {
            let mut state = this.state.lock();
            state.qp = Some(Hold::new(&qp));
            state.source = Some(source);
            state.attachment = Attachment::End(Connection::Stream(stream.clone()));
        }
        // From here on the answer may come at any moment.
        Stream::begin(&stream, handshake, request, this, deadline).map_err(|request| {
            // The queue pair was flushed meanwhile.
            this.undo(&qp);
            Failed(STATUS_CONNECTION_ABORTED, request)
        })
    }

    /// An attempt that nobody will hear of: queue pair and address are as before.
    fn undo(&self, qp: &Qp) {
        let (hold, source) = {
            let mut state = self.state.lock();
            (state.qp.take(), state.source.take())
        };
        drop(hold);
        qp.detach();
        if let Some(source) = source {
            self.give_back(source);
        }
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

    /// Finds out which way leads to `remote`: memory where somebody listens on this adapter, else TCP if the port is served by iWARP.
    fn way(&self, remote: SocketAddr) -> Result<Way, NTSTATUS> {
        let core = self.adapter.core();
        if remote.ip().is_unspecified() {
            return Err(STATUS_NETWORK_UNREACHABLE);
        }
        let is_local = core.ports().is_local(remote.ip());
        if is_local && !core.iwarp_local_too() && core.ports().listens(&remote) {
            let listener = core.ports().listener(&remote).ok_or(STATUS_CONNECTION_REFUSED)?;
            return Ok(Way::Memory(listener));
        }
        let unserved = if is_local { STATUS_CONNECTION_REFUSED } else { STATUS_HOST_UNREACHABLE };
        core.iwarp(remote.port()).map(Way::Tcp).ok_or(unserved)
    }

    /// Makes everything that is needed to ask the listener's consumer.
    fn prepare(
        &self,
        listener: Hold<Listener>,
        local: SocketAddr,
        qp: &Shared<Qp>,
        remote: SocketAddr,
    ) -> Result<Prepared, NTSTATUS> {
        let core = self.adapter.core();
        let job = Job::new()?;
        let backlog = Backlog::take(listener.shared()).ok_or(STATUS_CONNECTION_REFUSED)?;
        let link = Link::new(core, local, remote)?;
        let for_event = Hold::new(listener.shared());
        let passive = Connection::Memory(link.clone(), Side::Passive);
        let connector = Self::for_request(listener, passive)?;
        if let Err(status) = qp.attach(Connection::Memory(link.clone(), Side::Active)) {
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
        let connection = match this.end() {
            Ok(connection) => connection,
            Err(status) => return request.answer(status),
        };
        if connection.side() != Side::Passive {
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
        if let Err(status) = handshake.qp.attach(connection.clone()) {
            return request.answer(status);
        }
        connection.accept(handshake, event, request)
    }
}
