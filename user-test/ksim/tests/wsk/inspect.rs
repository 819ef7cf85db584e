//! Conditional accept, and what tests install.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION, WSK_PROVIDER_NDK_DISPATCH, WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH};
use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::wsk;

/// What the callbacks saw, and what the next inspection answers.
#[derive(Default)]
struct Context {
    inspected: Mutex<Vec<WSK_INSPECT_ID>>,
    aborted: Mutex<Vec<WSK_INSPECT_ID>>,
    answers: Mutex<Vec<WSK_INSPECT_ACTION>>,
    dead: Mutex<usize>,
}

fn take<T>(from: &Mutex<Vec<T>>) -> Vec<T> {
    ksim::quiesce();
    std::mem::take(&mut from.lock().unwrap_or_else(PoisonError::into_inner))
}

unsafe extern "system" fn inspect_event(
    context: *mut c_void,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    id: *mut WSK_INSPECT_ID,
) -> WSK_INSPECT_ACTION {
    // SAFETY: the test's.
    let me = unsafe { &*context.cast::<Context>() };
    // SAFETY: the provider's, during the call.
    let Some(id) = (unsafe { id.as_ref() }) else {
        *me.dead.lock().unwrap() += 1;
        return WskInspectReject;
    };
    // SAFETY: as above.
    let [local, remote] = [local, remote].map(|address| unsafe { read_raw(address) });
    assert!(local.port() != 0 && remote.port() != 0 && local != remote);
    me.inspected.lock().unwrap().push(*id);
    me.answers.lock().unwrap().pop().unwrap_or(WskInspectAccept)
}

unsafe extern "system" fn abort_event(context: *mut c_void, id: *mut WSK_INSPECT_ID) -> NTSTATUS {
    // SAFETY: the test's.
    let me = unsafe { &*context.cast::<Context>() };
    // SAFETY: the provider's, during the call.
    me.aborted.lock().unwrap().push(unsafe { *id });
    STATUS_SUCCESS
}

static LISTEN: WSK_CLIENT_LISTEN_DISPATCH = WSK_CLIENT_LISTEN_DISPATCH {
    WskAcceptEvent: None,
    WskInspectEvent: Some(inspect_event),
    WskAbortEvent: Some(abort_event),
};

fn complete(listener: Sock, mut id: WSK_INSPECT_ID, action: WSK_INSPECT_ACTION) -> NTSTATUS {
    // SAFETY: an open listener; the id is the client's own copy.
    wait(|irp| unsafe { (listener.listen_table().WskInspectComplete)(listener.0, &raw mut id, action, irp) })
        .status
}

#[test]
fn connections_are_inspected_before_they_are_made() {
    Machine::each(|| {
        let client = Client::new();
        let me = Context::default();
        let context = ptr::from_ref(&me).cast_mut().cast();
        let listener = client.tcp_with(WSK_FLAG_LISTEN_SOCKET, context, (&raw const LISTEN).cast());
        assert_eq!(listener.set((SOL_SOCKET, SO_CONDITIONAL_ACCEPT), 1), 0);
        let at = listener.bind_any();
        assert_eq!(listener.set((SOL_SOCKET, SO_CONDITIONAL_ACCEPT), 0), STATUS_INVALID_DEVICE_STATE);
        let connector = || {
            let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
            socket.bind_any();
            socket
        };
        let answer = |action| me.answers.lock().unwrap().push(action);

        // Accepted in the callback.
        let one = connector();
        assert_eq!(one.connect(at).status, 0);
        let ids = take(&me.inspected);
        let two = listener.accept();
        let (status, bytes, size) = two.control(WskIoctl, (0, SIO_WSK_QUERY_INSPECT_ID), &[], 16, false);
        assert_eq!((status, size), (0, 16));
        assert_eq!(bytes[..8], ids[0].Key.to_le_bytes());
        assert_eq!(bytes[8..12], ids[0].SerialNumber.to_le_bytes());

        // Refused in the callback.
        let three = connector();
        answer(WskInspectReject);
        assert_eq!(three.connect(at).status, STATUS_CONNECTION_REFUSED);
        take(&me.inspected);

        // Held, then accepted; held, then refused.
        for (action, outcome) in
            [(WskInspectAccept, STATUS_SUCCESS), (WskInspectReject, STATUS_CONNECTION_REFUSED)]
        {
            answer(WskInspectPend);
            let four = connector();
            let connect = four.connect_start(at);
            let id = take(&me.inspected)[0];
            assert_eq!(connect.completion(), None);
            assert_eq!(complete(listener, id, WskInspectPend), STATUS_INVALID_PARAMETER);
            assert_eq!(complete(listener, id, action), 0);
            assert_eq!(connect.wait().status, outcome);
            assert_eq!(complete(listener, id, action), STATUS_INVALID_PARAMETER, "answered already");
            if outcome == 0 {
                listener.accept().close();
            }
            four.close();
        }

        // Held, and given up by who connects.
        answer(WskInspectPend);
        let five = connector();
        let connect = five.connect_start(at);
        let id = take(&me.inspected)[0];
        assert!(connect.cancel());
        assert_eq!(take(&me.aborted), [id]);
        assert_eq!(complete(listener, id, WskInspectAccept), STATUS_INVALID_PARAMETER);
        // Held while the listener goes.
        answer(WskInspectPend);
        let connect = five.connect_start(at);
        take(&me.inspected);
        listener.close();
        assert_eq!(connect.wait().status, STATUS_CONNECTION_REFUSED);
        assert_eq!((take(&me.aborted), *me.dead.lock().unwrap()), (vec![], 0));
        for socket in [one, two, three, five] {
            socket.close();
        }
    });
}

#[test]
fn a_conditional_listener_is_told_of_its_death() {
    let _machine = Machine::new();
    let client = Client::new();
    let me = Context::default();
    let context = ptr::from_ref(&me).cast_mut().cast();
    let listener = client.tcp_with(WSK_FLAG_LISTEN_SOCKET, context, (&raw const LISTEN).cast());
    assert_eq!(listener.set((SOL_SOCKET, SO_CONDITIONAL_ACCEPT), 1), 0);
    listener.bind_any();
    wsk::kill(listener.0);
    take(&me.inspected);
    assert_eq!(*me.dead.lock().unwrap(), 1);
    listener.close();
}

unsafe extern "system" fn open_adapter(
    _client: PWSK_CLIENT,
    _version: NDK_VERSION,
    _index: u32,
    _adapter: *mut *mut NDK_ADAPTER,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}

unsafe extern "system" fn close_adapter(_client: PWSK_CLIENT, _adapter: *mut NDK_ADAPTER) {}

#[test]
fn tests_install_ndk_and_transports() {
    let _machine = Machine::new();
    let client = Client::new();
    wsk::set_ndk(Some(WSK_PROVIDER_NDK_DISPATCH {
        WskOpenNdkAdapter: open_adapter,
        WskCloseNdkAdapter: close_adapter,
    }));
    let (status, bytes, size) = client.control(WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH, &[], 16);
    let first = open_adapter as *const ();
    assert_eq!((status, size, &bytes[..8]), (0, 16, &first.expose_provenance().to_le_bytes()[..]));
    assert_eq!(client.control(WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH, &[], 8).0, STATUS_BUFFER_TOO_SMALL);
    // SAFETY: no buffers.
    let watch = start(|irp| unsafe {
        let (null, no) = (ptr::null_mut(), ptr::null_mut());
        (client.table().WskControlClient)(
            client.npi.Client,
            WSK_TRANSPORT_LIST_CHANGE,
            0,
            null,
            0,
            null,
            no,
            irp,
        )
    });
    assert_eq!(watch.completion(), None);
    wsk::set_transports(&[]);
    assert_eq!(watch.wait().status, 0);
    assert_eq!(client.control(WSK_TRANSPORT_LIST_QUERY, &[], 0), (0, vec![], 0));
}
