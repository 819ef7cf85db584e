//! Shared endpoints: one local address and port for many outgoing connections.

use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::ndk::{NDK_SHARED_ENDPOINT, NDK_SHARED_ENDPOINT_DISPATCH, NdkObjectTypeSharedEndpoint};
use abi::wsk::SOCKADDR;
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::address;
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle};
use crate::public::{Public, header, query_extension};
use crate::tag;

/// A shared endpoint (`NDK_SHARED_ENDPOINT`).
#[repr(C)]
#[derive(Debug)]
pub(crate) struct SharedEndpoint {
    public: Public<NDK_SHARED_ENDPOINT>,
    life: Life,
    adapter: Hold<Adapter>,
    address: SocketAddr,
}

impl SharedEndpoint {
    pub(crate) fn create(adapter: &Shared<Adapter>, local: SocketAddr) -> Result<Shared<Self>, NTSTATUS> {
        let life = Life::new()?;
        let ports = adapter.core().ports();
        let address = ports.bind(local)?;
        let endpoint = Self {
            public: Public::new(NDK_SHARED_ENDPOINT {
                Header: header(adapter.version(), NdkObjectTypeSharedEndpoint),
                Dispatch: &raw const DISPATCH,
            }),
            life,
            adapter: Hold::new(adapter),
            address,
        };
        Ok(Shared::try_new(tag::OBJECT, endpoint).inspect_err(|_| ports.unbind(address))?)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Object for SharedEndpoint {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.adapter.shared()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::SharedEndpoint(this)
    }

    fn closed(&self) {
        self.adapter.core().ports().unbind(self.address);
    }

    fn release_antecedents(&self) {
        self.adapter.release();
    }
}

/// The table of every shared endpoint.
static DISPATCH: NDK_SHARED_ENDPOINT_DISPATCH = NDK_SHARED_ENDPOINT_DISPATCH {
    NdkCloseSharedEndpoint: close::<SharedEndpoint>,
    NdkQueryExtension: query_extension,
    NdkGetLocalAddress: get_local_address,
};

/// `NDK_FN_GET_SHARED_ENDPOINT_LOCAL_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_local_address(
    endpoint: *mut NDK_SHARED_ENDPOINT,
    buffer: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let endpoint: Shared<SharedEndpoint> = unsafe { from_handle(endpoint.cast()) };
    // SAFETY: valid (consumer).
    unsafe { address::write(&endpoint.address, buffer, length) }
}
