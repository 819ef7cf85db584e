//! The NDK objects as a consumer sees them (`ndkpi.h`).
//!
//! A provider embeds one of these as the first member of a private structure and knows the object by its
//! address; the layer above may replace `Dispatch`. A consumer uses them only through the pointer it was
//! given and always calls through the `Dispatch` of that very object.

use super::{
    NDK_ADAPTER_DISPATCH, NDK_CONNECTOR_DISPATCH, NDK_CQ_DISPATCH, NDK_LISTENER_DISPATCH, NDK_MR_DISPATCH,
    NDK_MW_DISPATCH, NDK_OBJECT_HEADER, NDK_PD_DISPATCH, NDK_QP_DISPATCH, NDK_SHARED_ENDPOINT_DISPATCH,
    NDK_SRQ_DISPATCH,
};
use crate::layout;

/// Declares one object structure and proves its layout, which is the same for all of them.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $dispatch:ident) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            pub Header: NDK_OBJECT_HEADER,
            pub Dispatch: *const $dispatch,
        }

        layout!($name: 0x30, 8; Header 0x0, Dispatch 0x28);
    };
}

object! {
    /// An opened adapter (`NDK_ADAPTER`); closed by whoever opened it, at `PASSIVE_LEVEL`.
    NDK_ADAPTER, NDK_ADAPTER_DISPATCH
}
object! {
    /// Protection domain (`NDK_PD`), a child of the adapter.
    NDK_PD, NDK_PD_DISPATCH
}
object! {
    /// Completion queue (`NDK_CQ`), a child of the adapter.
    NDK_CQ, NDK_CQ_DISPATCH
}
object! {
    /// Memory region (`NDK_MR`), a child of the protection domain.
    NDK_MR, NDK_MR_DISPATCH
}
object! {
    /// Memory window (`NDK_MW`), a child of the protection domain.
    NDK_MW, NDK_MW_DISPATCH
}
object! {
    /// Shared receive queue (`NDK_SRQ`), a child of the protection domain.
    NDK_SRQ, NDK_SRQ_DISPATCH
}
object! {
    /// Queue pair (`NDK_QP`), a child of the protection domain; serves one connection in its life.
    NDK_QP, NDK_QP_DISPATCH
}
object! {
    /// One end of a connection (`NDK_CONNECTOR`), made by the consumer or delivered by a listener's connect
    /// event.
    NDK_CONNECTOR, NDK_CONNECTOR_DISPATCH
}
object! {
    /// Listener (`NDK_LISTENER`), a child of the adapter.
    NDK_LISTENER, NDK_LISTENER_DISPATCH
}
object! {
    /// A local address several connectors share (`NDK_SHARED_ENDPOINT`), a child of the adapter.
    NDK_SHARED_ENDPOINT, NDK_SHARED_ENDPOINT_DISPATCH
}
