//! Connectors: one end of a connection, from the consumer's point of view.

mod establish;
mod table;

use abi::NTSTATUS;
use abi::ndk::{NDK_CONNECTOR, NdkObjectTypeConnector};
use abi::status::STATUS_CONNECTION_INVALID;
use core::net::SocketAddr;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};

use crate::adapter::Adapter;
use crate::fabric::{Cause, Connection};
use crate::life::{AnyObject, Hold, Life, Object, discard};
use crate::listener::Listener;
use crate::public::{Public, header};
use crate::qp::Qp;
use crate::shared_endpoint::SharedEndpoint;
use crate::tag;

/// A connector (`NDK_CONNECTOR`).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Connector {
    public: Public<NDK_CONNECTOR>,
    life: Life,
    adapter: Hold<Adapter>,
    /// The listener a passive connector came from.
    listener: Option<Hold<Listener>>,
    state: SpinLock<State>,
}

#[derive(Debug)]
struct State {
    attachment: Attachment,
    qp: Option<Hold<Qp>>,
    source: Option<Source>,
}

/// What a connector has to do with a connection.
#[derive(Clone, Debug)]
enum Attachment {
    /// Nothing yet.
    None,
    /// A connect is being started on some processor.
    Starting,
    /// This.
    End(Connection),
}

/// Where an active connector connects from.
#[derive(Debug)]
enum Source {
    /// An endpoint of its own, given back when the connector is closed.
    Own(SocketAddr),
    Shared {
        endpoint: Hold<SharedEndpoint>,
        remote: SocketAddr,
    },
}

impl Source {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Own(local) => *local,
            Self::Shared { endpoint, .. } => endpoint.address(),
        }
    }
}

impl Connector {
    pub(crate) fn create(adapter: &Shared<Adapter>) -> Result<Shared<Self>, NTSTATUS> {
        Ok(Self::new(adapter, None, Attachment::None)?)
    }

    /// The connector that a listener's consumer gets for a request.
    pub(crate) fn for_request(
        listener: Hold<Listener>,
        connection: Connection,
    ) -> Result<Shared<Self>, AllocError> {
        let adapter = listener.adapter().clone();
        Self::new(&adapter, Some(listener), Attachment::End(connection))
    }

    fn new(
        adapter: &Shared<Adapter>,
        listener: Option<Hold<Listener>>,
        attachment: Attachment,
    ) -> Result<Shared<Self>, AllocError> {
        let connector = Self {
            public: Public::new(NDK_CONNECTOR {
                Header: header(adapter.version(), NdkObjectTypeConnector),
                Dispatch: &raw const table::DISPATCH,
            }),
            life: Life::new()?,
            adapter: Hold::new(adapter),
            listener,
            state: SpinLock::new(State { attachment, qp: None, source: None }),
        };
        Shared::try_new(tag::OBJECT, connector)
    }

    /// Ends a connector that no consumer has seen; its request is refused.
    pub(crate) fn discard(this: Shared<Self>) {
        Self::close_issued(&this);
        discard(this);
    }

    /// The connection and this end of it.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_INVALID`: there is none.
    fn end(&self) -> Result<Connection, NTSTATUS> {
        match &self.state.lock().attachment {
            Attachment::End(connection) => Ok(connection.clone()),
            Attachment::None | Attachment::Starting => Err(STATUS_CONNECTION_INVALID),
        }
    }
}

impl Object for Connector {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.adapter.shared()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Connector(this)
    }

    fn close_issued(this: &Shared<Self>) {
        if let Ok(connection) = this.end() {
            connection.terminate(Cause::Close);
        }
    }

    fn closed(&self) {
        let (attachment, source) = {
            let mut state = self.state.lock();
            let attachment = core::mem::replace(&mut state.attachment, Attachment::None);
            let source = match &state.source {
                Some(Source::Own(local)) => Some((*local, None)),
                Some(Source::Shared { endpoint, remote }) => Some((endpoint.address(), Some(*remote))),
                None => None,
            };
            (attachment, source)
        };
        drop(attachment);
        let ports = self.adapter.core().ports();
        match source {
            Some((local, None)) => ports.unbind(local),
            Some((local, Some(remote))) => ports.unpair(local, remote),
            None => {}
        }
    }

    fn release_antecedents(&self) {
        let (qp, source) = {
            let mut state = self.state.lock();
            (state.qp.take(), state.source.take())
        };
        drop(qp);
        drop(source);
        if let Some(listener) = &self.listener {
            listener.release();
        }
        self.adapter.release();
    }
}
