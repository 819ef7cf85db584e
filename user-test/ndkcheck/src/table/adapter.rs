//! The adapter's slots.

use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_ADAPTER, NDK_ADAPTER_DISPATCH, NDK_ADAPTER_INFO, NDK_CONNECTOR, NDK_CQ,
    NDK_FN_CONNECT_EVENT_CALLBACK, NDK_FN_CQ_NOTIFICATION_CALLBACK, NDK_FN_CREATE_COMPLETION,
    NDK_FN_REQUEST_COMPLETION, NDK_LISTENER, NDK_LOGICAL_ADDRESS_MAPPING, NDK_PD, NDK_SHARED_ENDPOINT,
    NdkObjectTypeConnector, NdkObjectTypeCq, NdkObjectTypeListener, NdkObjectTypePd,
    NdkObjectTypeSharedEndpoint,
};
use abi::nt::{DISPATCH_LEVEL, GROUP_AFFINITY, MDL, PASSIVE_LEVEL};
use abi::status::nt_success;
use abi::wsk::SOCKADDR;

use super::connector::Connector;
use super::cq::{self, Cq};
use super::listener::{self, Listener};
use super::pd::{self, Pd};
use super::{answer, connector, create, extension_slot, give, shared_endpoint};
use crate::check::lock;
use crate::object::{Body, Object, enter, forward};
use crate::request::{Completion, Opaque, created, requested};
use crate::rule::Rule;
use crate::script::Slot;

extension_slot!(NDK_ADAPTER);

pub(crate) static TABLE: NDK_ADAPTER_DISPATCH = NDK_ADAPTER_DISPATCH {
    NdkQueryExtension: query_extension,
    NdkQueryAdapterInfo: query_adapter_info,
    NdkCreateCq: create_cq,
    NdkCreatePd: create_pd,
    NdkCreateSharedEndpoint: create_shared_endpoint,
    NdkCreateConnector: create_connector,
    NdkCreateListener: create_listener,
    NdkBuildLAM: build_lam,
    NdkReleaseLAM: release_lam,
};

/// `NDK_FN_QUERY_ADAPTER_INFO`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn query_adapter_info(
    adapter: *mut NDK_ADAPTER,
    info: *mut NDK_ADAPTER_INFO,
    size: *mut u32,
) -> NTSTATUS {
    let query = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkQueryAdapterInfo", PASSIVE_LEVEL) }?;
        let status = forward!(call.object, NDK_ADAPTER, NdkQueryAdapterInfo(info, size));
        if nt_success(status)
            && let Some(change) = *lock(&call.check.script.limits)
        {
            // SAFETY: filled by the provider, in room of the consumer's.
            change(unsafe { &mut *info });
        }
        Ok(status)
    };
    answer(query())
}

/// `NDK_FN_CREATE_CQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_cq(
    adapter: *mut NDK_ADAPTER,
    depth: u32,
    notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
    notification_context: *mut c_void,
    affinity: *const GROUP_AFFINITY,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_CQ,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkCreateCq", DISPATCH_LEVEL) }?;
        let most = call.check.info.MaxCqDepth;
        call.demand(depth <= most, Rule::Limits, || format!("{depth} entries, {most} allowed"))?;
        let body = Body::Cq(Cq::new(depth, notification, Opaque(notification_context)));
        let proxy = Object::make(&call.check, NdkObjectTypeCq, (&raw const cq::TABLE).cast(), body);
        let notified = proxy.as_ptr().cast();
        let object = call.object;
        let made = create(
            &call,
            Slot::CreateCq,
            (completion, context),
            proxy,
            |_| (),
            |context, made| {
                let (tell, done) = (cq::notified, created);
                forward!(
                    object,
                    NDK_ADAPTER,
                    NdkCreateCq(depth, tell, notified, affinity, done, context, made)
                )
            },
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// `NDK_FN_CREATE_PD`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_pd(
    adapter: *mut NDK_ADAPTER,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_PD,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkCreatePd", DISPATCH_LEVEL) }?;
        let table = (&raw const pd::TABLE).cast();
        let proxy = Object::make(&call.check, NdkObjectTypePd, table, Body::Pd(Pd::default()));
        let settled = move |made| {
            if made {
                pd::read_privileged(proxy);
            }
        };
        let object = call.object;
        let made = create(&call, Slot::CreatePd, (completion, context), proxy, settled, |context, made| {
            forward!(object, NDK_ADAPTER, NdkCreatePd(created, context, made))
        });
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// `NDK_FN_CREATE_SHARED_ENDPOINT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_shared_endpoint(
    adapter: *mut NDK_ADAPTER,
    address: *const SOCKADDR,
    length: u32,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_SHARED_ENDPOINT,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkCreateSharedEndpoint", DISPATCH_LEVEL) }?;
        let table = (&raw const shared_endpoint::TABLE).cast();
        let proxy = Object::make(&call.check, NdkObjectTypeSharedEndpoint, table, Body::SharedEndpoint);
        let (object, slot) = (call.object, Slot::CreateSharedEndpoint);
        let made = create(
            &call,
            slot,
            (completion, context),
            proxy,
            |_| (),
            |context, made| {
                let done = created;
                forward!(object, NDK_ADAPTER, NdkCreateSharedEndpoint(address, length, done, context, made))
            },
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// `NDK_FN_CREATE_CONNECTOR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_connector(
    adapter: *mut NDK_ADAPTER,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_CONNECTOR,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkCreateConnector", DISPATCH_LEVEL) }?;
        let body = Body::Connector(Connector::idle());
        let table = (&raw const connector::TABLE).cast();
        let proxy = Object::make(&call.check, NdkObjectTypeConnector, table, body);
        let object = call.object;
        let made = create(
            &call,
            Slot::CreateConnector,
            (completion, context),
            proxy,
            |_| (),
            |context, made| forward!(object, NDK_ADAPTER, NdkCreateConnector(created, context, made)),
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// `NDK_FN_CREATE_LISTENER`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_listener(
    adapter: *mut NDK_ADAPTER,
    event: NDK_FN_CONNECT_EVENT_CALLBACK,
    event_context: *mut c_void,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_LISTENER,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkCreateListener", DISPATCH_LEVEL) }?;
        let body = Body::Listener(Listener::new(event, Opaque(event_context)));
        let table = (&raw const listener::TABLE).cast();
        let proxy = Object::make(&call.check, NdkObjectTypeListener, table, body);
        let (object, told) = (call.object, proxy.as_ptr().cast());
        let made = create(
            &call,
            Slot::CreateListener,
            (completion, context),
            proxy,
            |_| (),
            |context, made| {
                let (tell, done) = (listener::requested, created);
                forward!(object, NDK_ADAPTER, NdkCreateListener(tell, told, done, context, made))
            },
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// Pages of a mapping that exists.
///
/// # Safety
/// `lam` was filled by a successful `NdkBuildLAM`.
unsafe fn pages(lam: *const NDK_LOGICAL_ADDRESS_MAPPING) -> Vec<i64> {
    // SAFETY: filled (caller).
    let count = unsafe { (*lam).AdapterPageCount } as usize;
    // SAFETY: inside the structure.
    let first = unsafe { &raw const (*lam).AdapterPageArray }.cast::<i64>();
    // SAFETY: the array has that many entries (provider).
    unsafe { std::slice::from_raw_parts(first, count) }.to_vec()
}

/// `NDK_FN_BUILD_LAM`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn build_lam(
    adapter: *mut NDK_ADAPTER,
    mdl: *mut MDL,
    length: usize,
    completion: Option<NDK_FN_REQUEST_COMPLETION>,
    context: *mut c_void,
    lam: *mut NDK_LOGICAL_ADDRESS_MAPPING,
    size: *mut u32,
    fbo: *mut u32,
) -> NTSTATUS {
    let build = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(adapter, "NdkBuildLAM", DISPATCH_LEVEL) }?;
        let (check, at) = (std::sync::Arc::clone(&call.check), Opaque(lam.cast()));
        let done = move |status, _: *mut _| {
            // A scripted success has mapped nothing.
            let at = at;
            let lam = at.0.cast::<NDK_LOGICAL_ADDRESS_MAPPING>();
            if nt_success(status) {
                // SAFETY: the request has succeeded.
                let pages = unsafe { pages(lam) };
                lock(&check.memory).add_mapping(lam.addr(), pages);
            }
            ptr::null_mut()
        };
        let completion = Completion::Request(completion, Opaque(context));
        let object = call.object;
        let (status, _) = call.control(Slot::BuildLam, completion, Box::new(done), |context| {
            let done = Some(requested as NDK_FN_REQUEST_COMPLETION);
            let status =
                forward!(object, NDK_ADAPTER, NdkBuildLAM(mdl, length, done, context, lam, size, fbo));
            (status, ptr::null_mut())
        });
        Ok(status)
    };
    answer(build())
}

/// `NDK_FN_RELEASE_LAM`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn release_lam(adapter: *mut NDK_ADAPTER, lam: *mut NDK_LOGICAL_ADDRESS_MAPPING) {
    // SAFETY: a proxy (consumer).
    let Ok(call) = (unsafe { enter(adapter, "NdkReleaseLAM", DISPATCH_LEVEL) }) else { return };
    let released = lock(&call.check.memory).release_mapping(lam.addr());
    if let Err((rule, text)) = released {
        call.check.broken(rule, text);
        return;
    }
    forward!(call.object, NDK_ADAPTER, NdkReleaseLAM(lam));
}
