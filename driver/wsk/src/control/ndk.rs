//! NDK adapters for other consumers (`wskndk.h`): the software adapter under its own interface index, every other one
//! through the system's provider.
//!
//! An adapter that is open counts as a use of its client, as a socket does: WskDeregister waits until it is closed.

use crate::client::ClientUse;
use abi::NTSTATUS;
use abi::ndis::NET_IFINDEX;
use abi::ndk::{
    NDK_ADAPTER, NDK_VERSION, PFN_WSK_NDK_CLOSE_ADAPTER, PFN_WSK_NDK_OPEN_ADAPTER, WSK_PROVIDER_NDK_DISPATCH,
    WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH,
};
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_NOT_SUPPORTED, STATUS_UNSUCCESSFUL, nt_success};
use abi::wsk::{PWSK_CLIENT, WSK_PROVIDER_DISPATCH};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use heapless::Vec;
use kernel::lock::SpinLock;

/// Adapters that may be open at one time, over all clients.
pub(crate) const OPEN_MAX: usize = 32;

/// Who opens this driver's own adapters for other consumers ([`Provider::set_ndk_source`](crate::Provider)).
#[derive(Clone, Copy)]
pub struct NdkSource {
    /// Opens the adapter that has an interface index, for a consumer that can live with a version. NOT_SUPPORTED: the
    /// index is none of its adapters'. IRQL: PASSIVE_LEVEL.
    pub open: unsafe fn(*mut c_void, NDK_VERSION, NET_IFINDEX) -> Result<NonNull<NDK_ADAPTER>, NTSTATUS>,
    /// Closes what `open` has opened; may wait for the consumer's objects. IRQL: PASSIVE_LEVEL.
    pub close: unsafe fn(*mut c_void, NonNull<NDK_ADAPTER>),
    /// First argument of both.
    pub context: *mut c_void,
}

// SAFETY: both functions may be called on any thread, with a context that is valid there (`set_ndk_source`).
unsafe impl Send for NdkSource {}

/// Who closes an adapter.
#[derive(Clone, Copy)]
enum Opener {
    Source(NdkSource),
    System(PWSK_CLIENT, PFN_WSK_NDK_CLOSE_ADAPTER),
}

/// An open adapter.
struct Open {
    adapter: NonNull<NDK_ADAPTER>,
    opener: Opener,
    client: ClientUse,
}

// SAFETY: adapters and clients are named by pointers that belong to no thread.
unsafe impl Send for Open {}

struct State {
    source: Option<NdkSource>,
    open: Vec<Open, OPEN_MAX>,
    /// Being opened: their places are taken.
    opening: usize,
}

/// The adapters that are open for other consumers.
pub(crate) struct NdkAdapters(SpinLock<State>);

impl NdkAdapters {
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(State { source: None, open: Vec::new(), opening: 0 }))
    }

    pub(crate) fn set_source(&self, source: NdkSource) {
        self.0.lock().source = Some(source);
    }

    /// How many are open.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.lock().open.len()
    }

    /// WskOpenNdkAdapter. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// NOT_SUPPORTED: no adapter has the index. INSUFFICIENT_RESOURCES: too many are open. Or the opener's status.
    pub(crate) fn open(
        &self,
        client: ClientUse,
        version: NDK_VERSION,
        if_index: NET_IFINDEX,
    ) -> Result<NonNull<NDK_ADAPTER>, NTSTATUS> {
        let source = {
            let mut state = self.0.lock();
            if state.open.len().saturating_add(state.opening) >= OPEN_MAX {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            state.opening = state.opening.saturating_add(1);
            state.source
        };
        let system = client.system();
        let opened = open_somewhere(source, system, version, if_index);
        let mut state = self.0.lock();
        state.opening = state.opening.saturating_sub(1);
        let (adapter, opener) = match opened {
            Ok(opened) => opened,
            Err(status) => {
                drop(state);
                return Err(status);
            }
        };
        // Its place was taken before it was opened.
        let rest = state.open.push(Open { adapter, opener, client }).err();
        drop(state);
        match rest {
            None => Ok(adapter),
            Some(open) => {
                open.close();
                Err(STATUS_INSUFFICIENT_RESOURCES)
            }
        }
    }

    /// WskCloseNdkAdapter: blocks until the consumer's objects are closed. An adapter that is not open here is ignored.
    /// IRQL: PASSIVE_LEVEL.
    pub(crate) fn close(&self, adapter: *mut NDK_ADAPTER) {
        let open = {
            let mut state = self.0.lock();
            let place = state.open.iter().position(|open| open.adapter.as_ptr() == adapter);
            place.map(|place| state.open.swap_remove(place))
        };
        if let Some(open) = open {
            open.close();
        }
    }
}

impl Open {
    fn close(self) {
        match self.opener {
            // SAFETY: opened by the same source, closed once.
            Opener::Source(source) => unsafe { (source.close)(source.context, self.adapter) },
            // SAFETY: opened by the same provider, closed once; the client's use keeps its registration.
            Opener::System(client, close) => unsafe { close(client, self.adapter.as_ptr()) },
        }
        drop(self.client);
    }
}

/// Opens an adapter where one has the index: the driver's own first.
fn open_somewhere(
    source: Option<NdkSource>,
    system: Option<(PWSK_CLIENT, &'static WSK_PROVIDER_DISPATCH)>,
    version: NDK_VERSION,
    if_index: NET_IFINDEX,
) -> Result<(NonNull<NDK_ADAPTER>, Opener), NTSTATUS> {
    if let Some(source) = source {
        // SAFETY: the source's own function and context, at PASSIVE_LEVEL as the caller promises.
        match unsafe { (source.open)(source.context, version, if_index) } {
            Err(STATUS_NOT_SUPPORTED) => {}
            Err(status) => return Err(status),
            Ok(adapter) => return Ok((adapter, Opener::Source(source))),
        }
    }
    let (client, provider) = system.ok_or(STATUS_NOT_SUPPORTED)?;
    let (open, close) = system_functions(client, provider)?;
    let mut adapter = ptr::null_mut();
    // SAFETY: the system's function with its own client, at PASSIVE_LEVEL as the caller promises.
    let status = unsafe { open(client, version, if_index, &raw mut adapter) };
    if !nt_success(status) {
        return Err(status);
    }
    let adapter = NonNull::new(adapter).ok_or(STATUS_UNSUCCESSFUL)?;
    Ok((adapter, Opener::System(client, close)))
}

/// Asks the system's provider for its WSK_PROVIDER_NDK_DISPATCH.
pub(crate) fn system_functions(
    client: PWSK_CLIENT,
    provider: &WSK_PROVIDER_DISPATCH,
) -> Result<(PFN_WSK_NDK_OPEN_ADAPTER, PFN_WSK_NDK_CLOSE_ADAPTER), NTSTATUS> {
    /// WSK_PROVIDER_NDK_DISPATCH before it is known to be filled.
    #[repr(C)]
    struct Functions {
        open: Option<PFN_WSK_NDK_OPEN_ADAPTER>,
        close: Option<PFN_WSK_NDK_CLOSE_ADAPTER>,
    }
    const { assert!(size_of::<Functions>() == size_of::<WSK_PROVIDER_NDK_DISPATCH>()) };
    let mut functions = Functions { open: None, close: None };
    let mut size = 0;
    // SAFETY: a call as `wskndk.h` describes it: no input, output of the size of the table, no IRP.
    let status = unsafe {
        (provider.WskControlClient)(
            client,
            WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH,
            0,
            ptr::null_mut(),
            size_of::<Functions>(),
            (&raw mut functions).cast(),
            &raw mut size,
            ptr::null_mut(),
        )
    };
    if !nt_success(status) {
        return Err(status);
    }
    functions.open.zip(functions.close).ok_or(STATUS_NOT_SUPPORTED)
}
