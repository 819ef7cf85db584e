//! Datagrams: sending, receiving, fixed addresses, ancillary data, indications.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::sync::Mutex;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::buffer::{Chain, Pages};
use ksim::client::{Completion, TestIrp};
use ksim::wsk;

const UDP: (u16, u16, u32) = (AF_INET, SOCK_DGRAM, IPPROTO_UDP);

fn table(socket: Sock) -> &'static WSK_PROVIDER_DATAGRAM_DISPATCH {
    // SAFETY: an open socket.
    let table = unsafe { (*socket.0).Dispatch };
    // SAFETY: the tests use it for datagram sockets.
    unsafe { &*table.cast() }
}

fn make(client: &Client) -> (Sock, SocketAddr) {
    let socket = client.make(UDP, WSK_FLAG_DATAGRAM_SOCKET, ptr::null_mut(), ptr::null()).unwrap();
    (socket, socket.bind_any())
}

fn send(socket: Sock, data: &[u8], to: Option<SocketAddr>, control: &[u8]) -> Completion {
    let chain = Chain::new(data, &[1, 0], Pages::Locked);
    let (mut buffer, mut raw) = (chain.whole(), to.map(Raw::of));
    let remote = raw.as_mut().map_or(ptr::null_mut(), Raw::pointer);
    let length = u32::try_from(control.len()).unwrap();
    // SAFETY: an open socket.
    wait(|irp| unsafe {
        let control = control.as_ptr().cast_mut().cast();
        (table(socket).WskSendTo)(socket.0, &raw mut buffer, 0, remote, length, control, irp)
    })
}

/// What one `WskReceiveFrom` gave.
#[derive(Debug)]
struct Received {
    status: NTSTATUS,
    data: Vec<u8>,
    from: SocketAddr,
    control: Vec<u8>,
    flags: u32,
}

fn receive(socket: Sock, room: usize, control_room: u32) -> Received {
    let chain = Chain::zeroed(room);
    let (mut buffer, mut from) = (chain.whole(), Raw::empty());
    let (mut control, mut length, mut flags) = (vec![0_u8; 128], control_room, 0);
    // SAFETY: everything stays until the IRP is completed.
    let done = wait(|irp| unsafe {
        let info = control.as_mut_ptr().cast();
        let (length, flags) = (&raw mut length, &raw mut flags);
        (table(socket).WskReceiveFrom)(socket.0, &raw mut buffer, 0, from.pointer(), length, info, flags, irp)
    });
    let mut data = chain.bytes();
    data.truncate(done.information);
    control.truncate(length as usize);
    Received { status: done.status, data, from: from.read(), control, flags }
}

#[test]
fn datagrams_go_from_socket_to_socket() {
    Machine::each(|| {
        let client = Client::new();
        let ((one, one_at), (two, two_at)) = (make(&client), make(&client));
        assert_eq!(send(one, b"hello", Some(two_at), &[]).information, 5);
        assert_eq!(send(one, b"", Some(two_at), &[]).status, 0);
        let got = receive(two, 10, 0);
        assert_eq!((got.status, &*got.data, got.from, got.flags), (0, &b"hello"[..], one_at, 0));
        assert_eq!(receive(two, 10, 0).data, b"");
        assert_eq!(send(one, b"too long", Some(two_at), &[]).status, 0);
        let got = receive(two, 3, 0);
        assert_eq!((got.status, &*got.data, got.flags), (STATUS_BUFFER_OVERFLOW, &b"too"[..], MSG_TRUNC));
        // Nobody there: dropped, and still a success.
        assert_eq!(send(one, b"x", Some("127.0.0.1:9".parse().unwrap()), &[]).information, 1);
        assert_eq!(send(one, b"x", None, &[]).status, STATUS_INVALID_PARAMETER);
        let all = "255.255.255.255:9".parse().unwrap();
        assert_eq!(send(one, b"x", Some(all), &[]).status, STATUS_ACCESS_DENIED);
        let unbound = client.make(UDP, WSK_FLAG_DATAGRAM_SOCKET, ptr::null_mut(), ptr::null()).unwrap();
        assert_eq!(send(unbound, b"x", Some(two_at), &[]).status, STATUS_INVALID_DEVICE_STATE);
        for socket in [one, two, unbound] {
            socket.close();
        }
    });
}

#[test]
fn fixed_addresses_filter_and_direct() {
    let _machine = Machine::new();
    let client = Client::new();
    let ((one, one_at), (two, two_at), (three, _)) = (make(&client), make(&client), make(&client));
    let fix = |socket: Sock, code: u32, to: Option<SocketAddr>| {
        // 28 bytes for every family, as a client with one kind of variable has them.
        let bytes = to.map_or(Vec::new(), |to| Raw::of(to).bytes()[..28].to_vec());
        socket.control(WskIoctl, (SOL_SOCKET, code), &bytes, 0, true).0
    };
    assert_eq!(fix(two, SIO_WSK_SET_REMOTE_ADDRESS, Some(one_at)), 0);
    assert_eq!(send(three, b"foreign", Some(two_at), &[]).status, 0);
    assert_eq!(send(one, b"own", Some(two_at), &[]).status, 0);
    assert_eq!(receive(two, 10, 0).data, b"own");
    assert_eq!(send(two, b"back", None, &[]).status, 0);
    assert_eq!(receive(one, 10, 0).data, b"back");
    assert_eq!(fix(two, SIO_WSK_SET_REMOTE_ADDRESS, None), 0);
    assert_eq!(send(two, b"nowhere", None, &[]).status, STATUS_INVALID_PARAMETER);
    assert_eq!(fix(two, SIO_WSK_SET_SENDTO_ADDRESS, Some(one_at)), 0);
    assert_eq!(send(two, b"again", None, &[]).status, 0);
    assert_eq!(receive(one, 10, 0).data, b"again");
    assert_eq!(send(three, b"any", Some(two_at), &[]).status, 0);
    assert_eq!(receive(two, 10, 0).data, b"any");
    for socket in [one, two, three] {
        socket.close();
    }
}

/// One piece of ancillary data.
fn cmsg(level: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + data.len()).to_le_bytes().to_vec();
    bytes.extend(level.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

#[test]
fn ancillary_data_go_both_ways() {
    let _machine = Machine::new();
    let client = Client::new();
    let (one, _) = make(&client);
    let two = client.make(UDP, WSK_FLAG_DATAGRAM_SOCKET, ptr::null_mut(), ptr::null()).unwrap();
    assert_eq!(two.bind("0.0.0.0:5353".parse().unwrap()).status, 0);
    assert_eq!(two.set((IPPROTO_IP, IP_PKTINFO), 1), 0);
    let to = "127.0.0.9:5353".parse().unwrap();
    // The padding that one client sends is ignored; the other two pieces are not.
    let mut control = cmsg(IPPROTO_IP, IP_OPTIONS, &[]);
    control.extend(cmsg(IPPROTO_IP, IP_PKTINFO, &[127, 0, 0, 5, 0, 0, 0, 0]));
    control.extend(cmsg(IPPROTO_UDP, UDP_SEND_MSG_SIZE, &2_u32.to_le_bytes()));
    assert_eq!(send(one, b"abcde", Some(to), &control).information, 5);
    let got = receive(two, 10, 64);
    assert_eq!((&*got.data, got.from.ip()), (&b"ab"[..], "127.0.0.5".parse::<std::net::IpAddr>().unwrap()));
    assert_eq!(got.control, cmsg(IPPROTO_IP, IP_PKTINFO, &[127, 0, 0, 9, 1, 0, 0, 0]));
    let got = receive(two, 10, 8);
    assert_eq!((&*got.data, &*got.control, got.flags), (&b"cd"[..], &[][..], MSG_CTRUNC));
    assert_eq!(receive(two, 10, 24).control.len(), 24);
    one.close();
    two.close();
}

#[test]
fn a_dual_socket_sees_both_families() {
    let _machine = Machine::new();
    let client = Client::new();
    let (one, one_at) = make(&client);
    let kind = (AF_INET6, SOCK_DGRAM, IPPROTO_UDP);
    let two = client.make(kind, WSK_FLAG_DATAGRAM_SOCKET, ptr::null_mut(), ptr::null()).unwrap();
    assert_eq!(two.set((IPPROTO_IPV6, IPV6_V6ONLY), 0), 0);
    assert_eq!(two.bind("[::]:5353".parse().unwrap()).status, 0);
    assert_eq!(send(one, b"four", Some("127.0.0.1:5353".parse().unwrap()), &[]).status, 0);
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", one_at.port()).parse().unwrap();
    assert_eq!(receive(two, 10, 0).from, mapped);
    assert_eq!(send(two, b"back", Some(mapped), &[]).status, 0);
    let got = receive(one, 10, 0);
    assert_eq!((&*got.data, got.from), (&b"back"[..], "127.0.0.1:5353".parse().unwrap()));
    one.close();
    two.close();
}

#[test]
fn a_list_of_messages_is_one_request() {
    let _machine = Machine::new();
    let client = Client::new();
    let ((one, _), (two, two_at)) = (make(&client), make(&client));
    let chains = [1_u8, 2, 3].map(|n| Chain::new(&vec![n; n.into()], &[], Pages::Locked));
    let mut list: Vec<WSK_BUF_LIST> =
        chains.iter().map(|chain| WSK_BUF_LIST { Next: ptr::null_mut(), Buffer: chain.whole() }).collect();
    for at in (1..list.len()).rev() {
        let next = &raw mut list[at];
        list[at - 1].Next = next;
    }
    let mut to = Raw::of(two_at);
    // SAFETY: the list stays until the IRP is completed.
    let done = wait(|irp| unsafe {
        let first = list.as_mut_ptr();
        (table(one).WskSendMessages)(one.0, first, 0, to.pointer(), 0, ptr::null_mut(), irp)
    });
    assert_eq!((done.status, done.information), (0, 6));
    assert_eq!([(); 3].map(|()| receive(two, 9, 0).data), [vec![1], vec![2; 2], vec![3; 3]]);
    let pending = TestIrp::new();
    let chain = Chain::zeroed(1);
    let (mut buffer, null) = (chain.whole(), ptr::null_mut());
    // SAFETY: an open socket.
    let returned = unsafe {
        let no = ptr::null_mut();
        (table(two).WskReceiveFrom)(
            two.0,
            &raw mut buffer,
            0,
            ptr::null_mut(),
            no,
            null,
            no,
            pending.submit(),
        )
    };
    pending.assert_pending(returned);
    two.close();
    assert_eq!(pending.wait().status, STATUS_CANCELLED);
    one.close();
}

/// What the callback keeps and how it answers.
#[derive(Default)]
struct Context {
    got: Mutex<Vec<Vec<u8>>>,
    nodes: Mutex<Vec<usize>>,
    answers: Mutex<Vec<NTSTATUS>>,
    dead: Mutex<usize>,
}

unsafe extern "system" fn receive_from_event(
    context: *mut c_void,
    flags: u32,
    list: *mut WSK_DATAGRAM_INDICATION,
) -> NTSTATUS {
    // SAFETY: the test's.
    let me = unsafe { &*context.cast::<Context>() };
    assert_eq!(flags, WSK_FLAG_AT_DISPATCH_LEVEL);
    if list.is_null() {
        *me.dead.lock().unwrap() += 1;
        return STATUS_SUCCESS;
    }
    let mut node = list;
    // SAFETY: nodes of the list.
    while let Some(datagram) = unsafe { node.as_mut() } {
        let buffer = datagram.Buffer;
        let mut data = Vec::new();
        // SAFETY: ours during the call.
        if let Some(mdl) = unsafe { buffer.Mdl.as_ref() } {
            let start = mdl.MappedSystemVa.wrapping_byte_add(buffer.Offset as usize);
            // SAFETY: mapped, and that long.
            data.extend(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), buffer.Length) });
        }
        // SAFETY: an address.
        assert!(unsafe { read_raw(datagram.RemoteAddress) }.port() != 0);
        assert_eq!((datagram.ControlInfo.is_null(), datagram.ControlInfoLength), (false, 24));
        me.got.lock().unwrap().push(data);
        me.nodes.lock().unwrap().push(node.expose_provenance());
        node = std::mem::replace(&mut datagram.Next, ptr::null_mut());
    }
    me.answers.lock().unwrap().pop().unwrap_or(STATUS_SUCCESS)
}

static EVENTS: WSK_CLIENT_DATAGRAM_DISPATCH =
    WSK_CLIENT_DATAGRAM_DISPATCH { WskReceiveFromEvent: Some(receive_from_event) };

fn with_events(client: &Client, me: &Context) -> (Sock, SocketAddr) {
    let context = ptr::from_ref(me).cast_mut().cast();
    let table = (&raw const EVENTS).cast();
    let socket = client.make(UDP, WSK_FLAG_DATAGRAM_SOCKET, context, table).unwrap();
    assert_eq!(socket.set((IPPROTO_IP, IP_PKTINFO), 1), 0);
    (socket, socket.bind_any())
}

impl Context {
    fn take(&self) -> Vec<Vec<u8>> {
        ksim::quiesce();
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

#[test]
fn datagrams_are_indicated_kept_and_refused() {
    Machine::each(|| {
        let client = Client::new();
        let me = Context::default();
        let (one, _) = make(&client);
        let (two, two_at) = with_events(&client, &me);
        assert_eq!(send(one, b"early", Some(two_at), &[]).status, 0);
        assert_eq!(send(one, b"", Some(two_at), &[]).status, 0);
        assert_eq!(me.take(), [[0_u8; 0]; 0]);
        me.answers.lock().unwrap().push(STATUS_PENDING);
        assert_eq!(two.set_events(WSK_EVENT_RECEIVE_FROM, false), 0);
        assert_eq!(me.take(), [b"early".to_vec(), Vec::new()]);
        assert_eq!(wsk::outstanding().retained, 2);
        let nodes = std::mem::take(&mut *me.nodes.lock().unwrap());
        for node in nodes.into_iter().rev() {
            // SAFETY: a node that was kept.
            let status = unsafe { (table(two).WskRelease)(two.0, ptr::with_exposed_provenance_mut(node)) };
            assert_eq!(status, 0);
        }
        me.answers.lock().unwrap().push(STATUS_DATA_NOT_ACCEPTED);
        assert_eq!(send(one, b"refused", Some(two_at), &[]).status, 0);
        assert_eq!(me.take(), [b"refused".to_vec()]);
        assert_eq!(send(one, b"more", Some(two_at), &[]).status, 0);
        assert_eq!(me.take(), [[0_u8; 0]; 0], "disabled by its own answer");
        assert_eq!(two.set_events(WSK_EVENT_RECEIVE_FROM, true), 0);
        assert_eq!(me.take(), [b"refused".to_vec(), b"more".to_vec()]);
        me.answers.lock().unwrap().push(STATUS_DEVICE_NOT_READY);
        assert_eq!(send(one, b"lost", Some(two_at), &[]).status, 0);
        assert_eq!(me.take(), [b"lost".to_vec()]);
        wsk::kill(two.0);
        ksim::quiesce();
        assert_eq!(*me.dead.lock().unwrap(), 1);
        one.close();
        two.close();
    });
}

#[test]
fn a_fixed_event_stays_on_when_it_refuses() {
    let _machine = Machine::new();
    let client = Client::new();
    let events = event_control(WSK_EVENT_RECEIVE_FROM);
    assert_eq!(client.control(WSK_SET_STATIC_EVENT_CALLBACKS, &events, 0).0, 0);
    let me = Context::default();
    let (one, _) = make(&client);
    let (two, two_at) = with_events(&client, &me);
    me.answers.lock().unwrap().push(STATUS_DATA_NOT_ACCEPTED);
    assert_eq!(send(one, b"refused", Some(two_at), &[]).status, 0);
    assert_eq!(me.take(), [b"refused".to_vec()]);
    assert_eq!(send(one, b"next", Some(two_at), &[]).status, 0);
    assert_eq!(me.take(), [b"next".to_vec()]);
    one.close();
    two.close();
}

#[test]
fn a_basic_socket_has_options_and_an_end() {
    let _machine = Machine::new();
    let client = Client::new();
    let socket = client.make(UDP, WSK_FLAG_BASIC_SOCKET, ptr::null_mut(), ptr::null()).unwrap();
    let size = (IPPROTO_UDP, UDP_SEND_MSG_SIZE);
    assert_eq!(socket.get(size), Err(STATUS_NOT_SUPPORTED));
    assert_eq!((socket.set(size, 9), socket.get(size)), (0, Ok(9)));
    assert_eq!(socket.set_events(WSK_EVENT_RECEIVE_FROM, false), STATUS_INVALID_PARAMETER);
    socket.close();
}
