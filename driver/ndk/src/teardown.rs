//! Ending an endpoint: one sequence, whatever the state, driven by close completions.
//!
//! disconnect (if graceful and established) or flush → close the connector (now no request touches memory) → close the queue pair →
//! wait until its last entry is taken → `closed`. Each step answers inline, later, or before its call returns.
//!
//! How long it takes: a disconnect, as long as the provider waits for the peer, or until [`Endpoint::abort`]. A close, as
//! long as the provider takes: only its end says that no request touches memory, so what is there stays until then. The
//! owner does not have to wait that long: [`Endpoint::forsake`]. A last entry that does not come,
//! [`Limits::entries`](crate::Limits) at most twice.

use crate::endpoint::{Endpoint, Handler, Teardown};
use crate::faults::Fault;
use crate::object::slot;
use crate::post::Poster;
use abi::NTSTATUS;
use abi::status::STATUS_PENDING;
use core::ffi::c_void;
use core::sync::atomic::Ordering;
use kernel::pool::Shared;

impl<H: Handler> Poster<H> {
    /// Ends the endpoint; [`Handler::closed`] tells when that is over. `graceful` tells the peer first and waits for
    /// its answer as long as the provider does; otherwise, and where there is no connection yet, it is aborted. IRQL <= DISPATCH_LEVEL.
    pub fn close(self, graceful: bool) {
        let this = self.endpoint;
        this.graceful.store(graceful, Ordering::SeqCst);
        if this.mark_closing() {
            this.tear_down();
        }
    }

    /// The endpoint that this posts to.
    #[must_use]
    pub fn endpoint(&self) -> &Shared<Endpoint<H>> {
        &self.endpoint
    }
}

impl<H: Handler> Endpoint<H> {
    /// Ends a graceful [`Poster::close`] at once, by aborting the connection. Beside it, after it, or before it on
    /// another processor; it never ends an endpoint by itself. Any number of times. IRQL <= DISPATCH_LEVEL.
    pub fn abort(this: &Shared<Self>) {
        this.aborted.store(true, Ordering::SeqCst);
        // Either this sees that the disconnect was issued, or the one who issues it sees the mark: no close is issued
        // while a call into the connector is under way, and no abort is lost.
        if this.disconnecting.load(Ordering::SeqCst) {
            this.close_connector();
        }
    }

    /// The first step; nothing uses the connector any more, nor will.
    pub(crate) fn tear_down(&self) {
        let established = self.established.load(Ordering::SeqCst);
        if established && self.graceful.load(Ordering::SeqCst) && !self.aborted.load(Ordering::SeqCst) {
            let connector = self.connector();
            let disconnect = slot!(connector, NdkDisconnect);
            // SAFETY: the connector is open.
            let status = unsafe { disconnect(connector, disconnect_done::<H>, self.context()) };
            self.disconnecting.store(true, Ordering::SeqCst);
            if status == STATUS_PENDING && !self.aborted.load(Ordering::SeqCst) {
                return;
            }
            return self.close_connector();
        }
        let qp = self.qp.as_ptr();
        let flush = slot!(qp, NdkFlush);
        // SAFETY: the queue pair is open.
        unsafe { flush(qp) };
        self.close_connector();
    }

    fn close_connector(&self) {
        if !self.step(Teardown::Open, Teardown::ClosingConnector) {
            return;
        }
        let connector = self.connector();
        if connector.is_null() {
            return self.close_qp();
        }
        let close = slot!(connector, NdkCloseConnector);
        // SAFETY: the connector is open: the step lets one caller through.
        let status = unsafe { close(connector.cast(), connector_closed::<H>, self.context()) };
        if status != STATUS_PENDING {
            self.close_qp();
        }
    }

    fn close_qp(&self) {
        if !self.step(Teardown::ClosingConnector, Teardown::ClosingQp) {
            return self.cq.faults().note(Fault::AnsweredTwice);
        }
        let qp = self.qp.as_ptr();
        let close = slot!(qp, NdkCloseQp);
        // SAFETY: the queue pair is open, no post is under way (the poster is gone).
        let status = unsafe { close(qp.cast(), qp_closed::<H>, self.context()) };
        if status != STATUS_PENDING {
            self.hand_in();
        }
    }

    fn hand_in(&self) {
        if !self.step(Teardown::ClosingQp, Teardown::HandedIn) {
            return self.cq.faults().note(Fault::AnsweredTwice);
        }
        // SAFETY: the endpoint is held until `retire`; this is reached once.
        unsafe { self.cq.retire(self.attachment()) };
    }
}

extern "system" fn disconnect_done<H: Handler>(context: *mut c_void, _status: NTSTATUS) {
    // Whatever the status, the connection is closed and all DMA is over.
    if let Some(this) = Endpoint::<H>::of(context, Fault::AnsweredTwice) {
        this.close_connector();
    }
}

extern "system" fn connector_closed<H: Handler>(context: *mut c_void) {
    if let Some(this) = Endpoint::<H>::of(context, Fault::AnsweredTwice) {
        this.close_qp();
    }
}

extern "system" fn qp_closed<H: Handler>(context: *mut c_void) {
    if let Some(this) = Endpoint::<H>::of(context, Fault::AnsweredTwice) {
        this.hand_in();
    }
}
