//! The way to the host's TCP, with the host's own sockets at the other end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::buffer::{Chain, Pages};
use ksim::wsk;

/// What takes longer has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// A port of this host that nobody uses.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn octets(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i.wrapping_mul(31) >> 3) as u8).collect()
}

/// A connected pair: the machine's end, and the host's.
fn outward(client: &Client) -> (Sock, TcpStream) {
    wsk::join_host(0..=0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    socket.bind_any();
    assert_eq!(socket.connect(listener.local_addr().unwrap()).status, 0);
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    (socket, stream)
}

/// The same, with the host connecting.
fn inward(client: &Client) -> (Sock, TcpStream) {
    let port = free_port();
    wsk::join_host(port..=port);
    let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(listener.bind(at).status, 0);
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let socket = listener.accept();
    listener.close();
    (socket, stream)
}

fn each(test: impl Fn(Sock, TcpStream)) {
    Machine::each(|| {
        for make in [outward, inward] {
            let client = Client::new();
            let (socket, stream) = make(&client);
            test(socket, stream);
        }
    });
}

/// Receives until the end of the stream.
fn drain(socket: Sock) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let (done, some) = socket.receive(32 << 10, 0);
        assert_eq!(done.status, 0);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[test]
fn octets_and_both_ends_are_carried() {
    each(|socket, mut stream| {
        let sent = octets(1 << 20);
        let writes = std::thread::spawn({
            let (mut stream, sent) = (stream.try_clone().unwrap(), sent.clone());
            move || {
                stream.write_all(&sent).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        });
        assert!(drain(socket) == sent, "the octets differ");
        writes.join().unwrap();
        // The other direction goes on.
        let reads = std::thread::spawn(move || {
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            got
        });
        assert_eq!(socket.send(&sent).status, 0);
        assert_eq!(socket.disconnect(0).status, 0);
        assert!(reads.join().unwrap() == sent, "the octets differ");
        socket.close();
    });
}

#[test]
fn a_refused_connect_is_refused() {
    let _machine = Machine::new();
    let client = Client::new();
    wsk::join_host(0..=0);
    let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    socket.bind_any();
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    assert_eq!(socket.connect(nobody).status, STATUS_CONNECTION_REFUSED);
    socket.close();
}

#[test]
fn who_listens_here_is_preferred() {
    let _machine = Machine::new();
    let client = Client::new();
    wsk::join_host(0..=0);
    let (one, two) = client.pair();
    assert_eq!(one.send(b"here").status, 0);
    assert_eq!(two.receive(4, WSK_FLAG_WAITALL).1, b"here");
    one.close();
    two.close();
}

#[test]
fn a_reset_is_carried_in() {
    each(|socket, stream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        assert_eq!(socket.receive(1, 0).0.status, STATUS_CONNECTION_RESET);
        socket.close();
    });
}

/// Reads until an error, which has to be a reset.
fn is_reset(mut stream: &TcpStream) -> bool {
    let mut some = [0; 4096];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn an_abort_is_carried_out() {
    each(|socket, stream| {
        assert_eq!(socket.disconnect(WSK_FLAG_ABORTIVE).status, 0);
        assert!(is_reset(&stream));
        socket.close();
    });
}

#[test]
fn an_abort_is_carried_out_past_a_peer_that_does_not_read() {
    each(|socket, stream| {
        let chain = Chain::new(&octets(16 << 20), &[], Pages::Locked);
        let sending = socket.send_start(&chain);
        // Until the host takes no more.
        let mut waiting = 0;
        let deadline = Instant::now() + LIMIT;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = stream.peek(&mut vec![0; 8 << 20]).unwrap();
            if now == waiting {
                break;
            }
            waiting = now;
            assert!(Instant::now() < deadline, "the host takes without end");
        }
        assert_eq!(sending.completion(), None, "somebody has taken all octets that nobody reads");
        socket.close();
        assert_eq!(sending.wait().status, STATUS_CANCELLED);
        assert!(is_reset(&stream));
    });
}

#[test]
fn what_nobody_reads_stays_with_the_host() {
    each(|socket, stream| {
        stream.set_nonblocking(true).unwrap();
        let (piece, mut sent) = (octets(64 << 10), 0);
        let mut full = Instant::now();
        while full.elapsed() < Duration::from_millis(300) {
            match (&stream).write(&piece[..]) {
                Ok(count) => (sent, full) = (sent + count, Instant::now()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(sent < 64 << 20, "somebody takes without end");
            std::thread::yield_now();
        }
        stream.set_nonblocking(false).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(socket).len(), sent);
        socket.close();
    });
}

#[test]
fn a_listener_leaves_its_port() {
    let _machine = Machine::new();
    let client = Client::new();
    let port = free_port();
    wsk::join_host(port..=port);
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..3 {
        let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
        assert_eq!(listener.bind(at).status, 0);
        let taken = TcpListener::bind(at).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        // A connection that nobody accepts.
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        listener.close();
        assert!(is_reset(&stream));
    }
    let taken = TcpListener::bind(at).unwrap();
    let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
    assert_eq!(listener.bind(at).status, STATUS_ADDRESS_ALREADY_EXISTS);
    drop(taken);
    assert_eq!(listener.bind(at).status, 0);
    listener.close();
}
