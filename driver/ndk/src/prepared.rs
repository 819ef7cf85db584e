//! What a connection needs before it knows its peer.

use crate::adapter::{Adapter, Use};
use crate::cq::Cq;
use crate::endpoint::{Depths, Endpoint, Handler, MEMORIES};
use crate::handles::Reserved;
use crate::listener::Incoming;
use crate::memory::Memory;
use crate::object::slot;
use crate::post::Poster;
use crate::table::Key;
use crate::{TAG, wait};
use abi::NTSTATUS;
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_INVALID_PARAMETER};
use heapless::Vec;
use kernel::pool::{AllocError, Shared};
use kernel::processor::Processor;

/// An endpoint that nobody has: a queue pair, its room on a completion queue, and registered memory. A connector makes it one
/// side of a connection, for good: what a peer has been told of is never anybody else's.
///
/// Dropping it closes it. It keeps the adapter from being closed. Drop: IRQL <= DISPATCH_LEVEL.
pub struct Prepared<H: Handler> {
    /// There until it has an owner.
    endpoint: Option<Shared<Endpoint<H>>>,
    adapter: Shared<Adapter>,
    processor: Processor,
}

impl<H: Handler> Prepared<H> {
    /// Builds one whose completions are asked for on `processor`. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, DEVICE_NOT_READY (the adapter is being closed), INVALID_PARAMETER (depths beyond the
    /// adapter's), IO_TIMEOUT (no answer), or the provider's status; nothing is left behind.
    pub fn new(
        adapter: &Shared<Adapter>,
        processor: Processor,
        depths: Depths,
        memories: Vec<Memory, MEMORIES>,
    ) -> Result<Self, NTSTATUS> {
        let user = Use::new(adapter)?;
        let info = *adapter.info();
        if depths.receives > info.max_receives || depths.initiators > info.max_initiators {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let entries = depths.receives.checked_add(depths.initiators).ok_or(STATUS_INVALID_PARAMETER)?;
        let callbacks = adapter.context()?;
        let cq = Adapter::cq(adapter, processor, entries)?;
        let built = cq.expect().map_err(Failed).and_then(|key| {
            Self::build(adapter, &cq, depths, entries, memories, user, (key, callbacks))
                .inspect_err(|_| cq.forget(key))
        });
        match built {
            Ok(endpoint) => {
                Endpoint::hold(&endpoint);
                // SAFETY: held until it has retired.
                unsafe { cq.attach(endpoint.attachment()) };
                Ok(Self { endpoint: Some(endpoint), adapter: adapter.clone(), processor })
            }
            Err(Failed(status)) => {
                cq.release(entries);
                Err(status)
            }
        }
    }

    fn build(
        adapter: &Shared<Adapter>,
        cq: &Shared<Cq>,
        depths: Depths,
        entries: u32,
        memories: Vec<Memory, MEMORIES>,
        user: Use,
        (key, callbacks): (Key, Reserved),
    ) -> Result<Shared<Endpoint<H>>, Failed> {
        let info = *adapter.info();
        let pd = adapter.pd();
        // The memory of the endpoint comes before the queue pair, whose creation is the last thing that can fail.
        Shared::try_new_cyclic(TAG, |_| {
            let (object, context) = (cq.object(), Cq::context(key));
            let inline = info.max_inline.min(crate::post::INLINE_MAX);
            let gather = info.gather();
            let create = slot!(pd, NdkCreateQp);
            let kept = Use::new(adapter).map_err(Failed)?;
            let qp = wait::create(&adapter.patience(), kept, |_, done, request, out| {
                let (receives, initiators) = (depths.receives, depths.initiators);
                // SAFETY: PD and CQ are open.
                unsafe {
                    create(
                        pd, object, object, context, receives, initiators, 1, gather, inline, done, request,
                        out,
                    )
                }
            })
            .map_err(Failed)?;
            Ok(Endpoint::new(qp, cq.clone(), entries, memories, user, (key, callbacks)))
        })
    }

    /// The registered memory, in the order it was given.
    #[must_use]
    pub fn memory(&self, index: usize) -> Option<&Memory> {
        self.endpoint.as_ref()?.memory(index)
    }

    /// Where its completions are asked for.
    #[must_use]
    pub fn processor(&self) -> Processor {
        self.processor
    }

    /// Makes it the side of a connection that connects. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, IO_TIMEOUT (no answer), or the provider's status; it is closed.
    pub fn active(self, handler: Shared<H>) -> Result<Poster<H>, NTSTATUS> {
        let object = self.adapter.object();
        let create = slot!(object, NdkCreateConnector);
        let (kept, user) = (Use::new(&self.adapter)?, Use::new(&self.adapter)?);
        let connector = wait::create(&self.adapter.patience(), kept, |_, done, context, out| {
            // SAFETY: the adapter is open; the cell outlives the request.
            unsafe { create(object, done, context, out) }
        })?;
        // As an incoming connector it is closed by itself when what follows fails.
        self.passive(Incoming::new(connector, user), handler)
    }

    /// Makes it the side of a connection that accepts. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INVALID_PARAMETER: the request is another adapter's. It is closed, and the request rejected.
    pub fn passive(mut self, incoming: Incoming, handler: Shared<H>) -> Result<Poster<H>, NTSTATUS> {
        if !Shared::ptr_eq(&self.adapter, incoming.adapter()) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let endpoint = self.endpoint.take().ok_or(STATUS_INTERNAL_ERROR)?;
        let (connector, user) = incoming.into_parts();
        // SAFETY: nobody else has the endpoint; the connector is this call's.
        unsafe { endpoint.occupy(connector, handler) };
        // The endpoint has a use of its own.
        drop(user);
        Ok(Poster::new(endpoint, *self.adapter.info(), self.adapter.privileged_token()))
    }
}

impl<H: Handler> Drop for Prepared<H> {
    fn drop(&mut self) {
        if let Some(endpoint) = self.endpoint.take()
            && endpoint.mark_closing()
        {
            endpoint.tear_down();
        }
    }
}

/// A status on its way out of `try_new_cyclic`.
struct Failed(NTSTATUS);

impl From<AllocError> for Failed {
    fn from(e: AllocError) -> Self {
        Self(e.status())
    }
}
