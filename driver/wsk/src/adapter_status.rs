//! What an adapter's status means to a client: one table for everything that takes an address or makes a connection.
//!
//! The pages of NdkListen, NdkCreateSharedEndpoint, NdkConnect, NdkCompleteConnect and NdkAccept name the statuses on the left,
//! those of WskBind and WskConnect the ones on the right. `docs/ndk-usage.md` shows both.

use abi::NTSTATUS;
use abi::status::{
    STATUS_ADDRESS_ALREADY_EXISTS, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_INVALID,
    STATUS_CONNECTION_REFUSED, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_ADDRESS,
    STATUS_INVALID_ADDRESS_COMPONENT, STATUS_IO_TIMEOUT, STATUS_SHARING_VIOLATION, STATUS_TOO_MANY_ADDRESSES,
};
use trace::Reason;

/// The status of WskBind, or WskConnect, for one of NdkListen, NdkCreateSharedEndpoint, NdkConnect and what follows it.
pub(crate) const fn to_client(status: NTSTATUS) -> NTSTATUS {
    match status {
        // An address in use is exactly this one (WskBind page).
        STATUS_SHARING_VIOLATION => STATUS_ADDRESS_ALREADY_EXISTS,
        STATUS_INVALID_ADDRESS => STATUS_INVALID_ADDRESS_COMPONENT,
        // The peer has changed its mind between its accept and our NdkCompleteConnect, which to a client is the refusal.
        STATUS_CONNECTION_ABORTED | STATUS_CONNECTION_INVALID => STATUS_CONNECTION_REFUSED,
        // No resources, no free port, and everything that is said of the network and the peer has the same name there.
        other => other,
    }
}

/// Why there is no connection, or no listener, over RDMA. Which of these are the peer's doing, and so are remembered of the
/// destination, is what the pages call an attempt that may be retried: here it is retried over TCP, if that is allowed.
pub(crate) const fn reason(status: NTSTATUS) -> Reason {
    match status {
        STATUS_INSUFFICIENT_RESOURCES => Reason::AdapterResources,
        STATUS_SHARING_VIOLATION | STATUS_TOO_MANY_ADDRESSES | STATUS_ADDRESS_ALREADY_EXISTS => {
            Reason::AddressBusy
        }
        STATUS_INVALID_ADDRESS => Reason::NoAdapter,
        STATUS_IO_TIMEOUT => Reason::RdmaTimeout,
        // NETWORK_UNREACHABLE, HOST_UNREACHABLE, CONNECTION_REFUSED, an aborted handshake, and what no page names.
        _ => Reason::PeerUnreachable,
    }
}
