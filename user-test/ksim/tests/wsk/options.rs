//! Options, IOCTLs, and what concerns the whole client.

use std::net::SocketAddr;
use std::ptr;

use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::client::TestIrp;
use ksim::wsk;

fn bind_two(client: &Client, first: &[u32], second: &[u32], ips: (&str, &str)) -> i32 {
    let sockets = [client.tcp(WSK_FLAG_LISTEN_SOCKET), client.tcp(WSK_FLAG_LISTEN_SOCKET)];
    for (socket, options) in sockets.iter().zip([first, second]) {
        for &option in options {
            assert_eq!(socket.set((SOL_SOCKET, option), 1), 0);
        }
    }
    assert_eq!(sockets[0].bind(SocketAddr::new(ips.0.parse().unwrap(), 4711)).status, 0);
    let status = sockets[1].bind(SocketAddr::new(ips.1.parse().unwrap(), 4711)).status;
    for socket in sockets {
        socket.close();
    }
    status
}

#[test]
fn options_decide_about_sharing() {
    let _machine = Machine::new();
    let client = Client::new();
    let (same, wild) = (("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"));
    assert_eq!(bind_two(&client, &[], &[], same), STATUS_ADDRESS_ALREADY_EXISTS);
    assert_eq!(bind_two(&client, &[], &[], ("127.0.0.1", "127.0.0.2")), 0);
    assert_eq!(bind_two(&client, &[], &[SO_REUSEADDR], wild), STATUS_ACCESS_DENIED);
    assert_eq!(bind_two(&client, &[SO_REUSEADDR], &[SO_REUSEADDR], wild), 0);
    assert_eq!(bind_two(&client, &[SO_EXCLUSIVEADDRUSE], &[SO_REUSEADDR], same), STATUS_ACCESS_DENIED);
    // After the close of both the port is free.
    assert_eq!(bind_two(&client, &[], &[], ("127.0.0.1", "127.0.0.2")), 0);
}

#[test]
fn options_are_kept_and_checked() {
    let _machine = Machine::new();
    let client = Client::new();
    let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
    let nodelay = (IPPROTO_TCP, TCP_NODELAY);
    assert_eq!(listener.get(nodelay), Err(STATUS_NOT_SUPPORTED));
    assert_eq!((listener.set(nodelay, 1), listener.get(nodelay)), (0, Ok(1)));
    assert_eq!(listener.control(WskGetOption, nodelay, &[], 2, true).0, STATUS_BUFFER_TOO_SMALL);
    assert_eq!(listener.control(WskGetOption, nodelay, &[], 4, false).0, STATUS_REQUEST_NOT_ACCEPTED);
    assert_eq!(listener.control(9, nodelay, &[], 4, true).0, STATUS_INVALID_PARAMETER);
    let keepalive = (SOL_SOCKET, SO_KEEPALIVE);
    assert_eq!(listener.get(keepalive), Ok(0));
    assert_eq!((listener.set(keepalive, 1), listener.get(keepalive)), (0, Ok(1)));
    assert_eq!(listener.set((SOL_SOCKET, SO_BROADCAST), 1), STATUS_NOT_SUPPORTED);
    assert_eq!(listener.set((SOL_SOCKET, SO_RCVBUF), 7), 0);
    let at = listener.bind_any();
    assert_eq!(listener.set((SOL_SOCKET, SO_REUSEADDR), 1), STATUS_INVALID_DEVICE_STATE);
    let connector = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    connector.bind_any();
    assert_eq!(connector.connect(at).status, 0);
    let accepted = listener.accept();
    // What the listener was set to goes on with its sockets.
    assert_eq!((accepted.get(keepalive), accepted.get((SOL_SOCKET, SO_RCVBUF))), (Ok(1), Ok(7)));
    let chain = ksim::buffer::Chain::zeroed(8);
    let send = connector.send_start(&chain);
    let backlog = accepted.control(WskIoctl, (0, SIO_WSK_QUERY_RECEIVE_BACKLOG), &[], 8, true);
    assert_eq!((backlog.0, backlog.1[0]), (0, 7));
    assert_eq!(send.completion(), None);
    assert_eq!(accepted.set((SOL_SOCKET, SO_RCVBUF), 8), 0);
    assert_eq!(send.wait().status, 0);
    let ideal = accepted.control(WskIoctl, (0, SIO_WSK_QUERY_IDEAL_SEND_BACKLOG), &[], 8, true);
    assert_eq!((ideal.0, ideal.2, &*ideal.1), (0, 8, &65536_u64.to_le_bytes()[..]));
    let unknown = accepted.control(WskIoctl, (0, SIO_TCP_SET_ICW), &[0; 4], 0, true);
    assert_eq!(unknown.0, STATUS_NOT_SUPPORTED);
    let inspected = accepted.control(WskIoctl, (0, SIO_WSK_QUERY_INSPECT_ID), &[], 16, false);
    assert_eq!(inspected.0, STATUS_INVALID_DEVICE_REQUEST);
    for socket in [listener, connector, accepted] {
        socket.close();
    }
}

#[test]
fn silent_mode_leaves_only_the_close() {
    let _machine = Machine::new();
    let client = Client::new();
    let (one, two) = client.pair();
    let silent = (0, SIO_WSK_SET_TCP_SILENT_MODE);
    assert_eq!(one.control(WskIoctl, silent, &[], 0, true).0, 0);
    assert_eq!(one.send(b"x").status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(one.disconnect(0).status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(one.disconnect(WSK_FLAG_ABORTIVE).status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(two.send(&[0; 100_000]).status, 0, "what comes in is thrown away");
    one.close();
    two.close();
}

#[test]
fn addresses_are_listed_and_watched() {
    let _machine = Machine::new();
    let client = Client::new();
    let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    let query = (0, SIO_ADDRESS_LIST_QUERY);
    let small = socket.control(WskIoctl, query, &[], 8, false);
    assert_eq!((small.0, small.2), (STATUS_BUFFER_OVERFLOW, 8 + 16 + 16));
    let watch = TestIrp::new();
    // SAFETY: no buffers.
    let returned = unsafe {
        (socket.basic().WskControlSocket)(
            socket.0,
            WskIoctl,
            SIO_ADDRESS_LIST_CHANGE,
            0,
            0,
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            watch.submit(),
        )
    };
    watch.assert_pending(returned);
    wsk::add_address("2001:db8::1".parse().unwrap());
    ksim::quiesce();
    assert_eq!(watch.completion(), None, "another family");
    wsk::add_address("192.0.2.1".parse().unwrap());
    assert_eq!(watch.wait().status, 0);
    // SAFETY: no buffers.
    let returned = unsafe {
        (socket.basic().WskControlSocket)(
            socket.0,
            WskIoctl,
            SIO_ADDRESS_LIST_CHANGE,
            0,
            0,
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            watch.submit(),
        )
    };
    watch.assert_pending(returned);
    let (status, list, size) = socket.control(WskIoctl, query, &[], 72, false);
    assert_eq!((status, size, list[0]), (0, 72, 2));
    // SAFETY: two entries were written, whose pointers are into the same buffer.
    let second = unsafe { list.as_ptr().wrapping_add(24).cast::<SOCKET_ADDRESS>().read_unaligned() };
    assert_eq!(second.iSockaddrLength, 16);
    // SAFETY: as above.
    assert_eq!(unsafe { read_raw(second.lpSockaddr) }, "192.0.2.1:0".parse().unwrap());
    assert_eq!(socket.bind("192.0.2.1:5000".parse().unwrap()).status, 0);
    socket.close();
    assert_eq!(watch.wait().status, STATUS_CANCELLED);
}

#[test]
fn the_client_is_controlled_without_irps() {
    let _machine = Machine::new();
    let client = Client::new();
    let (status, _, size) = client.control(WSK_TRANSPORT_LIST_QUERY, &[], 0);
    assert_eq!((status, size), (STATUS_BUFFER_OVERFLOW, 6 * 28));
    let (status, list, size) = client.control(WSK_TRANSPORT_LIST_QUERY, &[], 200);
    assert_eq!((status, size), (0, 6 * 28));
    // SAFETY: six of them.
    let second = unsafe { list.as_ptr().wrapping_add(28).cast::<WSK_TRANSPORT>().read_unaligned() };
    assert_eq!(
        (second.SocketType, second.Protocol, second.AddressFamily),
        (SOCK_DGRAM, IPPROTO_UDP, AF_INET)
    );
    assert_eq!(client.control(WSK_TDI_BEHAVIOR, &1_u32.to_le_bytes(), 0).0, 0);
    assert_eq!(client.control(WSK_TDI_BEHAVIOR, &[], 0).0, STATUS_INVALID_PARAMETER);
    assert_eq!(client.control(0x77, &[], 0).0, STATUS_NOT_SUPPORTED);
    assert_eq!(client.control(0x4E44_4B44, &[], 16).0, STATUS_NOT_SUPPORTED);
    let descriptor = 0x1234_5678_usize.to_le_bytes();
    let (status, cached, _) = client.control(WSK_CACHE_SD, &descriptor, 8);
    assert_eq!((status, &*cached), (0, &descriptor[..]));
    assert_eq!(client.control(WSK_RELEASE_SD, &cached, 0).0, 0);
    assert_eq!(client.control(WSK_RELEASE_SD, &cached, 0).0, STATUS_INVALID_PARAMETER);
    let events = event_control(WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE);
    assert_eq!(client.control(WSK_SET_STATIC_EVENT_CALLBACKS, &events, 0).0, 0);
    let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
    assert_eq!(client.control(WSK_SET_STATIC_EVENT_CALLBACKS, &events, 0).0, STATUS_INVALID_DEVICE_STATE);
    listener.close();
}
