//! Callbacks: accept, receive, disconnect, backlog; enabling, disabling, keeping, giving back.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::buffer::{Chain, Pages};
use ksim::processor;
use ksim::wsk::{self, Config};

/// What a callback was called with.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Call {
    Accept,
    Data(Vec<u8>),
    Disconnect(u32),
    Backlog(usize),
    Dead,
}

type Hook = Box<dyn FnMut(*mut WSK_DATA_INDICATION, &mut usize) -> NTSTATUS + Send>;

/// A client's context: what was called, and what to answer.
#[derive(Default)]
struct Context {
    calls: Mutex<Vec<Call>>,
    accepted: Mutex<Vec<Sock>>,
    /// How the next receive callbacks answer; SUCCESS when there is none.
    hooks: Mutex<VecDeque<Hook>>,
    refuse: Mutex<bool>,
}

impl Context {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn pointer(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn take(&self) -> Vec<Call> {
        ksim::quiesce();
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn answer(&self, hook: impl FnMut(*mut WSK_DATA_INDICATION, &mut usize) -> NTSTATUS + Send + 'static) {
        self.hooks.lock().unwrap().push_back(Box::new(hook));
    }

    fn note(&self, call: Call) {
        assert_eq!((processor::irql(), processor::locks_held()), (2, 0), "from a DPC, without locks");
        self.calls.lock().unwrap().push(call);
    }
}

/// # Safety
/// `context` is a test's.
unsafe fn context<'a>(context: *mut c_void) -> &'a Context {
    // SAFETY: as promised by the caller.
    unsafe { &*context.cast::<Context>() }
}

unsafe extern "system" fn accept_event(
    ctx: *mut c_void,
    flags: u32,
    local: *mut SOCKADDR,
    remote: *mut SOCKADDR,
    socket: *mut WSK_SOCKET,
    new_context: *mut *mut c_void,
    dispatch: *mut *const WSK_CLIENT_CONNECTION_DISPATCH,
) -> NTSTATUS {
    // SAFETY: the listener's context.
    let me = unsafe { context(ctx) };
    assert_eq!(flags, WSK_FLAG_AT_DISPATCH_LEVEL);
    if socket.is_null() {
        me.note(Call::Dead);
        return STATUS_SUCCESS;
    }
    // SAFETY: valid during the call.
    let [local, remote] = [local, remote].map(|address| unsafe { read_raw(address) });
    assert!(local.port() != 0 && remote.port() != 0);
    me.note(Call::Accept);
    if *me.refuse.lock().unwrap() {
        return STATUS_REQUEST_NOT_ACCEPTED;
    }
    // SAFETY: the callback's out parameters.
    unsafe { new_context.write(ctx) };
    // SAFETY: as above.
    unsafe { dispatch.write(&raw const CONNECTION) };
    me.accepted.lock().unwrap().push(Sock(socket));
    STATUS_SUCCESS
}

unsafe extern "system" fn receive_event(
    ctx: *mut c_void,
    _flags: u32,
    list: *mut WSK_DATA_INDICATION,
    bytes: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    // SAFETY: the connection's context.
    let me = unsafe { context(ctx) };
    if list.is_null() {
        assert_eq!(bytes, 0);
        me.note(Call::Dead);
        return STATUS_SUCCESS;
    }
    let mut data = Vec::new();
    for node in nodes(list) {
        // SAFETY: a node of the list, ours during the call.
        let buffer = unsafe { (*node).Buffer };
        // SAFETY: as above.
        let mdl = unsafe { &*buffer.Mdl };
        assert!(mdl.ByteCount as usize >= buffer.Offset as usize + buffer.Length);
        let start = mdl.MappedSystemVa.wrapping_byte_add(buffer.Offset as usize);
        // SAFETY: mapped, and that long.
        data.extend(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), buffer.Length) });
    }
    assert_eq!(data.len(), bytes);
    // SAFETY: the callback's.
    let accepted = unsafe { &mut *accepted };
    assert_eq!(*accepted, bytes);
    me.note(Call::Data(data));
    let hook = me.hooks.lock().unwrap().pop_front();
    hook.map_or(STATUS_SUCCESS, |mut hook| hook(list, accepted))
}

unsafe extern "system" fn disconnect_event(ctx: *mut c_void, flags: u32) -> NTSTATUS {
    // SAFETY: the connection's context.
    unsafe { context(ctx) }.note(Call::Disconnect(flags & WSK_FLAG_ABORTIVE));
    STATUS_SUCCESS
}

unsafe extern "system" fn backlog_event(ctx: *mut c_void, bytes: usize) -> NTSTATUS {
    // SAFETY: the connection's context.
    unsafe { context(ctx) }.note(Call::Backlog(bytes));
    STATUS_SUCCESS
}

static LISTEN: WSK_CLIENT_LISTEN_DISPATCH = WSK_CLIENT_LISTEN_DISPATCH {
    WskAcceptEvent: Some(accept_event),
    WskInspectEvent: None,
    WskAbortEvent: None,
};
static CONNECTION: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
    WskReceiveEvent: Some(receive_event),
    WskDisconnectEvent: Some(disconnect_event),
    WskSendBacklogEvent: Some(backlog_event),
};

/// The nodes of a list.
fn nodes(mut list: *mut WSK_DATA_INDICATION) -> Vec<*mut WSK_DATA_INDICATION> {
    let mut all = Vec::new();
    while !list.is_null() {
        all.push(list);
        // SAFETY: a node of the list.
        list = unsafe { (*list).Next };
    }
    all
}

fn release(socket: Sock, list: usize) -> NTSTATUS {
    // SAFETY: an open socket; the list is the provider's to check.
    unsafe { (socket.table().WskRelease)(socket.0, ptr::with_exposed_provenance_mut(list)) }
}

/// A connection whose first end has callbacks.
fn pair(client: &Client, context: &Context) -> (Sock, Sock) {
    let (listener, at) = client.listener();
    let one = client.tcp_with(WSK_FLAG_CONNECTION_SOCKET, context.pointer(), (&raw const CONNECTION).cast());
    assert_eq!(one.set_events(WSK_EVENT_RECEIVE, false), STATUS_INVALID_DEVICE_STATE);
    one.bind_any();
    assert_eq!(one.connect(at).status, 0);
    let two = listener.accept();
    listener.close();
    (one, two)
}

fn data(bytes: &[u8]) -> Call {
    Call::Data(bytes.to_vec())
}

#[test]
fn accepted_sockets_inherit_and_get_early_data() {
    Machine::each(|| {
        let client = Client::new();
        let me = Context::new();
        let listener = client.tcp_with(WSK_FLAG_LISTEN_SOCKET, me.pointer(), (&raw const LISTEN).cast());
        let at = listener.bind_any();
        let one = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
        one.bind_any();
        assert_eq!(one.connect(at).status, 0);
        assert_eq!(one.send(b"early").status, 0);
        assert_eq!(me.take(), []);
        let mask = WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT;
        assert_eq!(listener.set_events(mask, true), 0);
        assert_eq!(me.take(), [Call::Accept, data(b"early")]);
        let inherited = WSK_EVENT_RECEIVE | WSK_EVENT_DISABLE;
        assert_eq!(listener.set_events(inherited, false), STATUS_INVALID_PARAMETER);
        let two = me.accepted.lock().unwrap().pop().unwrap();
        assert_eq!(one.disconnect(0).status, 0);
        assert_eq!(me.take(), [Call::Disconnect(0)]);
        // An accept that waits comes before the callback, and its socket inherits nothing.
        let accept = listener.accept_start();
        let three = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
        three.bind_any();
        assert_eq!(three.connect(at).status, 0);
        let four = Sock(accept.wait().information as *mut WSK_SOCKET);
        assert_eq!(three.send(b"x").status, 0);
        assert_eq!(me.take(), []);
        // What is refused is dropped.
        *me.refuse.lock().unwrap() = true;
        let five = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
        five.bind_any();
        assert_eq!(five.connect(at).status, 0);
        assert_eq!(me.take(), [Call::Accept]);
        assert_eq!(five.receive(1, 0).0.status, STATUS_CONNECTION_RESET);
        wsk::kill(listener.0);
        assert_eq!(me.take(), [Call::Dead]);
        for socket in [listener, one, two, three, four, five] {
            socket.close();
        }
    });
}

#[test]
fn what_is_not_accepted_is_indicated_again_after_a_receive() {
    let _machine = Machine::with(Config { node_bytes: 4, ..Config::default() });
    let client = Client::new();
    let me = Context::new();
    let (one, two) = pair(&client, &me);
    assert_eq!(one.set_events(WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT, false), 0);
    me.answer(|_, accepted| {
        *accepted = 3;
        STATUS_SUCCESS
    });
    assert_eq!(two.send(b"0123456789").status, 0);
    assert_eq!(me.take(), [data(b"0123456789")]);
    assert_eq!(two.send(b"ab").status, 0);
    assert_eq!(two.disconnect(0).status, 0);
    assert_eq!(me.take(), [], "neither data nor the end before a receive");
    me.answer(|_, _| STATUS_DATA_NOT_ACCEPTED);
    assert_eq!(one.receive(0, 0).0.status, 0);
    assert_eq!(me.take(), [data(b"3456789ab")]);
    assert_eq!(one.receive(2, 0).1, b"34");
    assert_eq!(me.take(), [data(b"56789ab"), Call::Disconnect(0)]);
    one.close();
    two.close();
}

#[test]
fn kept_nodes_hold_room_and_come_back_one_by_one() {
    let _machine = Machine::with(Config { node_bytes: 4, receive_window: 10, ..Config::default() });
    let client = Client::new();
    let me = Context::new();
    let (one, two) = pair(&client, &me);
    assert_eq!(one.set_events(WSK_EVENT_RECEIVE, true), 0);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&kept);
    me.answer(move |first, _| {
        let mut all: Vec<usize> = nodes(first).into_iter().map(|node| node.expose_provenance()).collect();
        for &node in &all {
            let node = ptr::with_exposed_provenance_mut::<WSK_DATA_INDICATION>(node);
            // SAFETY: a node of the list, whose link is the client's to change.
            unsafe { (*node).Next = ptr::null_mut() };
        }
        // The first goes back before the callback has returned.
        assert_eq!(release(one, all.remove(0)), 0);
        *list.lock().unwrap() = all;
        STATUS_PENDING
    });
    let chain = Chain::new(b"0123456789abcdefgh", &[], Pages::Locked);
    let send = two.send_start(&chain);
    // Six bytes stay with the client, so that only four find room.
    assert_eq!(me.take(), [data(b"0123456789"), data(b"abcd"), data(b"efgh")]);
    assert_eq!(send.wait().status, 0);
    let kept = std::mem::take(&mut *kept.lock().unwrap());
    assert_eq!(wsk::outstanding().retained, 2);
    assert_eq!(release(one, kept[1]), 0);
    assert_eq!(release(one, kept[1]), STATUS_INVALID_PARAMETER, "given back already");
    assert_eq!(release(one, kept[0]), 0);
    assert_eq!(release(one, 0), STATUS_INVALID_PARAMETER);
    one.close();
    two.close();
}

#[test]
fn an_event_is_disabled_when_its_callback_has_returned() {
    Machine::each(|| {
        let client = Client::new();
        let me = Context::new();
        let (one, two) = pair(&client, &me);
        assert_eq!(one.set_events(WSK_EVENT_RECEIVE, false), 0);
        me.answer(move |_, _| {
            let mask = WSK_EVENT_RECEIVE | WSK_EVENT_DISABLE;
            assert_eq!(one.set_events(mask, false), STATUS_EVENT_PENDING);
            STATUS_SUCCESS
        });
        assert_eq!(two.send(b"one").status, 0);
        assert_eq!(me.take(), [data(b"one")]);
        assert_eq!(two.send(b"two").status, 0);
        assert_eq!(me.take(), []);
        assert_eq!(one.set_events(WSK_EVENT_RECEIVE | WSK_EVENT_DISABLE, true), 0);
        let both = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT | WSK_EVENT_DISABLE;
        assert_eq!(one.set_events(both, true), STATUS_INVALID_PARAMETER);
        assert_eq!(one.set_events(WSK_EVENT_ACCEPT, true), STATUS_INVALID_PARAMETER);
        assert_eq!(one.set_events(WSK_EVENT_RECEIVE, true), 0);
        assert_eq!(me.take(), [data(b"two")]);
        // With an IRP the request waits for the callback.
        let option = event_control(WSK_EVENT_RECEIVE | WSK_EVENT_DISABLE);
        let irp = Arc::new(ksim::client::TestIrp::new());
        let inside = Arc::clone(&irp);
        me.answer(move |_, _| {
            // SAFETY: an open socket, and the input is copied.
            let returned = unsafe {
                (one.basic().WskControlSocket)(
                    one.0,
                    WskSetOption,
                    SO_WSK_EVENT_CALLBACK,
                    SOL_SOCKET,
                    option.len(),
                    option.as_ptr().cast_mut().cast(),
                    0,
                    ptr::null_mut(),
                    ptr::null_mut(),
                    inside.submit(),
                )
            };
            inside.assert_pending(returned);
            assert_eq!(inside.completion(), None);
            STATUS_SUCCESS
        });
        assert_eq!(two.send(b"three").status, 0);
        assert_eq!(me.take(), [data(b"three")]);
        assert_eq!(irp.wait().status, 0);
        one.close();
        two.close();
    });
}

#[test]
fn a_socket_is_closed_inside_its_own_callback() {
    Machine::each(|| {
        let client = Client::new();
        let me = Context::new();
        let (one, two) = pair(&client, &me);
        assert_eq!(one.set_events(WSK_EVENT_RECEIVE, false), 0);
        let close = Arc::new(ksim::client::TestIrp::new());
        let inside = Arc::clone(&close);
        me.answer(move |_, _| {
            // SAFETY: an open socket.
            let returned = unsafe { (one.basic().WskCloseSocket)(one.0, inside.submit()) };
            inside.assert_pending(returned);
            assert_eq!(inside.completion(), None, "the callback has not returned");
            STATUS_SUCCESS
        });
        assert_eq!(two.send(b"bye").status, 0);
        assert_eq!(close.wait().status, 0);
        assert_eq!(me.take(), [data(b"bye")]);
        two.close();
    });
}

#[test]
fn ends_and_backlogs_are_told_once() {
    let _machine = Machine::new();
    let client = Client::new();
    let me = Context::new();
    let (one, two) = pair(&client, &me);
    let mask = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT | WSK_EVENT_SEND_BACKLOG;
    assert_eq!(one.set_events(mask, false), 0);
    wsk::configure(Config { ideal_send_backlog: 123, ..Config::default() });
    assert_eq!(one.send(b"x").status, 0);
    assert_eq!(me.take(), [Call::Backlog(123)]);
    two.close();
    assert_eq!(me.take(), [Call::Disconnect(WSK_FLAG_ABORTIVE)]);
    assert_eq!(one.receive(1, 0).0.status, STATUS_CONNECTION_RESET);
    assert_eq!(me.take(), []);
    one.close();
    let (one, two) = pair(&client, &me);
    assert_eq!(one.set_events(mask, false), 0);
    wsk::kill(one.0);
    assert_eq!(me.take(), [Call::Dead]);
    one.close();
    two.close();
}

/// As one client does: from the completion routine of its connect, at whatever level, without an IRP.
#[test]
fn events_are_enabled_inside_the_completion_of_a_connect() {
    Machine::each(|| {
        let client = Client::new();
        let me = Context::new();
        let (listener, at) = client.listener();
        let accept = listener.accept_start();
        let one = client.tcp_with(WSK_FLAG_CONNECTION_SOCKET, me.pointer(), (&raw const CONNECTION).cast());
        one.bind_any();
        let connect = ksim::client::TestIrp::new().with_hook(move |done| {
            assert_eq!(done.status, 0);
            assert_eq!(one.set_events(WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT, false), 0);
        });
        let mut to = Raw::of(at);
        // SAFETY: an open socket.
        let returned = unsafe { (one.table().WskConnect)(one.0, to.pointer(), 0, connect.submit()) };
        connect.assert_pending(returned).wait();
        let two = Sock(accept.wait().information as *mut WSK_SOCKET);
        assert_eq!(two.send(b"first").status, 0);
        assert_eq!(me.take(), [data(b"first")]);
        for socket in [listener, one, two] {
            socket.close();
        }
    });
}

/// The receive-ex callback, as it is called beside the table.
unsafe extern "system" fn receive_ex(
    ctx: *mut c_void,
    flags: u32,
    list: *mut WSK_DATA_INDICATION,
    control: *mut CMSGHDR,
    control_length: u32,
    bytes: usize,
    accepted: *mut usize,
) -> NTSTATUS {
    assert!(control.is_null() && control_length == 0);
    // SAFETY: the same arguments for the same client.
    unsafe { receive_event(ctx, flags, list, bytes, accepted) }
}

#[test]
fn a_receive_ex_callback_needs_no_event() {
    let _machine = Machine::new();
    let client = Client::new();
    let me = Context::new();
    let (one, two) = pair(&client, &me);
    let function = (receive_ex as *const ()).expose_provenance().to_le_bytes();
    let code = (0, SIO_WSK_SET_RECEIVE_EX_CALLBACK);
    assert_eq!(one.control(WskIoctl, code, &function, 0, true).0, 0);
    me.answer(|_, _| STATUS_DATA_NOT_ACCEPTED);
    assert_eq!(two.send(b"data").status, 0);
    assert_eq!(me.take(), [data(b"data")]);
    assert_eq!(one.receive(1, 0).1, b"d");
    assert_eq!(me.take(), [data(b"ata")]);
    assert_eq!(one.control(WskIoctl, code, &[], 0, false).0, 0);
    assert_eq!(two.send(b"more").status, 0);
    assert_eq!(me.take(), []);
    one.close();
    two.close();
}

#[test]
fn fixed_events_are_on_for_every_socket_and_stay() {
    let _machine = Machine::new();
    let client = Client::new();
    let me = Context::new();
    let events = event_control(WSK_EVENT_RECEIVE | WSK_EVENT_ACCEPT);
    assert_eq!(client.control(WSK_SET_STATIC_EVENT_CALLBACKS, &events, 0).0, 0);
    let listener = client.tcp_with(WSK_FLAG_LISTEN_SOCKET, me.pointer(), (&raw const LISTEN).cast());
    let at = listener.bind_any();
    let one = client.tcp_with(WSK_FLAG_CONNECTION_SOCKET, me.pointer(), (&raw const CONNECTION).cast());
    one.bind_any();
    assert_eq!(one.connect(at).status, 0);
    assert_eq!(me.take(), [Call::Accept]);
    let two = me.accepted.lock().unwrap().pop().unwrap();
    assert_eq!(two.send(b"to one").status, 0);
    assert_eq!(one.send(b"to two").status, 0);
    let calls = me.take();
    assert!(calls.contains(&data(b"to one")) && calls.contains(&data(b"to two")), "{calls:?}");
    let mask = WSK_EVENT_RECEIVE | WSK_EVENT_DISABLE;
    assert_eq!(one.set_events(mask, false), STATUS_INVALID_PARAMETER);
    for socket in [listener, one, two] {
        socket.close();
    }
}

#[test]
fn a_stream_socket_takes_either_role_for_good() {
    let _machine = Machine::new();
    let client = Client::new();
    let me = Context::new();
    let tables = WSK_CLIENT_STREAM_DISPATCH { Listen: &raw const LISTEN, Connect: &raw const CONNECTION };
    let make = || client.tcp_with(WSK_FLAG_STREAM_SOCKET, me.pointer(), (&raw const tables).cast());
    let (listener, connector) = (make(), make());
    // SAFETY: an open socket.
    let listen =
        |socket: Sock| wait(|irp| unsafe { (socket.stream_table().WskListen)(socket.0, irp) }).status;
    let connect = |socket: Sock, to| {
        let mut raw = Raw::of(to);
        // SAFETY: an open socket.
        wait(|irp| unsafe { (socket.stream_table().WskConnect)(socket.0, raw.pointer(), 0, irp) }).status
    };
    assert_eq!(listen(listener), STATUS_INVALID_DEVICE_STATE);
    let at = listener.bind_any();
    connector.bind_any();
    assert_eq!(connect(connector, at), STATUS_CONNECTION_REFUSED, "bound is not listening");
    assert_eq!(listen(listener), 0);
    assert_eq!(connect(listener, at), STATUS_INVALID_DEVICE_STATE);
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE, false), 0);
    assert_eq!(connect(connector, at), 0);
    assert_eq!(listen(connector), STATUS_INVALID_DEVICE_STATE);
    assert_eq!(connector.set_events(WSK_EVENT_RECEIVE, false), 0);
    assert_eq!(me.take(), [Call::Accept]);
    let accepted = me.accepted.lock().unwrap().pop().unwrap();
    assert_eq!(accepted.send(b"hello").status, 0);
    assert_eq!(me.take(), [data(b"hello")]);
    let chain = Chain::new(b"you", &[], Pages::Locked);
    let mut buffer = chain.whole();
    // SAFETY: an open socket.
    let done =
        wait(|irp| unsafe { (connector.stream_table().WskSend)(connector.0, &raw mut buffer, 0, irp) });
    assert_eq!((done.status, me.take()), (0, vec![data(b"you")]));
    for socket in [listener, connector, accepted] {
        socket.close();
    }
}
