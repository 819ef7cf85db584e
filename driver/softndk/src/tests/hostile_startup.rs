//! TCP peers that do not speak MPA, or wrongly: each is refused at once, and what it held is given back.

use core::net::SocketAddr;
use std::vec;
use std::vec::Vec;

use abi::status::*;

use super::harness::*;
use super::hostile_stream::{first_fpdu, mpa_request};
use super::pair::*;
use super::tcp_peer::*;
use crate::iwarp::tests::harness::{fpdu, hex, tagged};

/// A frame with that key, flags, revision and length field, and what follows.
fn frame(kind: &str, header: &str, rest: &[u8]) -> Vec<u8> {
    [std::format!("MPA ID {kind} Frame").into_bytes(), hex(header), rest.to_vec()].concat()
}

#[test]
fn what_is_no_request_is_refused_at_its_first_wrong_octet() {
    over(Fabric::Iwarp, || {
        // One place: a peer that kept its own would keep out the next.
        let world = World::tuned(|iwarp| iwarp.half_open = 1);
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let wrong = [
            ("HTTP", b"GET / HTTP/1.1\r\n".to_vec()),
            ("TLS", hex("16 03 01")),
            ("one octet", vec![b'm']),
            ("the last octet of the key", b"MPA ID Req Frama".to_vec()),
            ("a reply", frame("Rep", "50 02 0004 0001 0001", &[])),
            ("revision 0", frame("Req", "00 00 0000", &[])),
            ("revision 3", frame("Req", "50 03 0004 0001 0001", &[])),
            ("private data of 513 octets", frame("Req", "00 01 0201", &[])),
            ("enhanced data that is not there", frame("Req", "50 02 0003", &[0; 3])),
        ];
        for (count, (name, octets)) in wrong.iter().enumerate() {
            let peer = TcpPeer::connect(world.system(), address);
            peer.send(octets);
            assert_eq!((peer.take(), peer.ended()), (vec![], Some(Ended::Reset)), "{name}");
            assert_eq!(world.soft().counters().handshakes_malformed, count as u64 + 1, "{name}");
            peer.close();
        }
        // A peer that wants markers is told.
        let peer = TcpPeer::connect(world.system(), address);
        assert!(peer.send(&frame("Req", "D0 02 0004 0001 0001", &[])));
        assert_eq!(peer.take(), frame("Rep", "70 02 0004 0000 0000", &[]));
        assert_eq!(peer.ended(), Some(Ended::InOrder));
        peer.close();
        assert_eq!(world.soft().counters().requests_refused, 1);
        assert_eq!(listener.requests(), 0, "a consumer was asked");
        // The place is free.
        let peer = TcpPeer::connect(world.system(), address);
        assert!(peer.send(&mpa_request()));
        let requested = listener.take_request();
        assert_eq!(ndk!(requested, NdkReject, b"not you".as_ptr().cast(), 7), STATUS_SUCCESS);
        assert_eq!(peer.take(), frame("Rep", "70 02 000B 0000 0000", b"not you"));
        assert_eq!(peer.ended(), Some(Ended::InOrder));
        close(requested, close_slot!(requested, NdkCloseConnector));
        peer.close();
        listener.close();
        world.finish();
    });
}

/// Private data crosses as it is, whatever its length.
#[test]
fn private_data_has_its_own_length_on_the_wire() {
    over(Fabric::Iwarp, || {
        let world = World::plain();
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let pd = world.pd();
        for length in [0, 1, 40, 55, 56, 57, 251, 508] {
            let data: Vec<u8> = (0..length).map(|octet| octet as u8).collect();
            let peer = TcpPeer::connect(world.system(), address);
            let header = std::format!("50 02 {:04x} 0001 0001", 4 + length);
            assert!(peer.send(&frame("Req", &header, &data)));
            let requested = listener.take_request();
            // At least what every transport offers, filled up with zeros.
            let mut expected = data.clone();
            expected.resize(length.max(56), 0);
            let mut needed = 0;
            let (null, none) = (core::ptr::null_mut(), core::ptr::null_mut());
            let status = ndk!(requested, NdkGetConnectionData, null, null, none, &raw mut needed);
            assert_eq!((status, needed as usize), (STATUS_SUCCESS, expected.len()), "{length}");
            let mut got = vec![0xEE; expected.len()];
            let buffer = got.as_mut_ptr().cast();
            let status = ndk!(requested, NdkGetConnectionData, null, null, buffer, &raw mut needed);
            assert_eq!((status, got), (STATUS_SUCCESS, expected), "{length}");

            let mut end = End::new(&world, pd, Sizes { read_limit: 1, ..Sizes::default() });
            let own = data.get(..length.min(56)).unwrap();
            let accept = end.begin_accept(requested, own).ok().unwrap();
            let header = std::format!("50 02 {:04x} 0001 0001", 4 + own.len());
            assert_eq!(peer.take(), frame("Rep", &header, own), "{length}");
            assert!(peer.send(&first_fpdu()));
            assert_eq!(accept.wait(), STATUS_SUCCESS);
            peer.close();
            assert_eq!(end.events.seen.take(), 2);
            end.close();
        }
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

/// What a server that is asked for MPA does.
enum Server {
    Says(Vec<u8>),
    Closes,
    Resets,
}

#[test]
fn a_server_that_does_not_speak_mpa_is_a_refusal_at_once() {
    over(Fabric::Iwarp, || {
        let world = World::plain();
        let pd = world.pd();
        let at: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let source = SocketAddr::new(at.ip(), 0);
        let server = TcpPeer::listen(world.system(), at);
        let terminate = |code| std::format!("4147 00000000 00000002 00000001 00000000 {code} 0000");
        let cases = [
            ("a banner", Server::Says(b"220 mail\r\n".to_vec()), None),
            ("an HTTP error", Server::Says(b"HTTP/1.1 400".to_vec()), None),
            ("one octet", Server::Says(vec![0]), None),
            ("a close", Server::Closes, None),
            ("a reset", Server::Resets, None),
            ("a request", Server::Says(frame("Req", "50 02 0004 0001 0001", &[])), None),
            ("revision 3", Server::Says(frame("Rep", "50 03 0004 0001 0001", &[])), None),
            ("too much private data", Server::Says(frame("Rep", "50 02 0201", &[])), None),
            ("markers", Server::Says(frame("Rep", "D0 02 0004 8001 4001", &[])), None),
            ("an unenhanced reply", Server::Says(frame("Rep", "40 01 0000", &[])), None),
            ("no enhanced data", Server::Says(frame("Rep", "50 02 0000", &[])), None),
            ("a refusal", Server::Says(frame("Rep", "70 02 0007 0000 0000", b"no!")), None),
            (
                "more reads than offered",
                Server::Says(frame("Rep", "50 02 0004 8004 4009", &[])),
                Some("2006"),
            ),
        ];
        for (name, deed, code) in cases {
            let mut end = End::new(&world, pd, Sizes::default());
            let connect = end.begin_connect(world.connector(), source, at, b"hello").ok().unwrap();
            let peer = server.accept();
            let request = frame("Req", "50 02 0009 0004 0004", b"hello");
            assert_eq!(peer.take(), request, "{name}");
            match &deed {
                Server::Says(octets) => assert!(peer.send(octets), "{name}"),
                Server::Closes => peer.finish(),
                Server::Resets => {}
            }
            let peer = if matches!(deed, Server::Resets) {
                peer.close();
                None
            } else {
                Some(peer)
            };
            assert_eq!(connect.wait(), STATUS_CONNECTION_REFUSED, "{name}");
            if let Some(peer) = peer {
                peer.wait_for_end();
                let told = peer.take();
                match code {
                    None => assert_eq!(told, [], "{name}"),
                    Some(code) => assert_eq!(told[2..24], hex(&terminate(code)), "{name}"),
                }
                peer.close();
            }
            // The queue pair is as before.
            assert_eq!(end.complete_connect(), STATUS_CONNECTION_ABORTED, "{name}");
            end.close();
        }
        assert_eq!(world.soft().counters().connects, 0);
        server.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

/// This end has asked for the client-server model: whatever a reply says of RTR messages, it gets a Write of no octets.
#[test]
fn an_rtr_message_that_nobody_asked_for_changes_nothing() {
    over(Fabric::Iwarp, || {
        let world = World::plain();
        let pd = world.pd();
        let at: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let server = TcpPeer::listen(world.system(), at);
        for limits in ["0004 0004", "8004 0004", "C004 0004", "8004 8004", "8004 4004", "C004 C004"] {
            let mut end = End::new(&world, pd, Sizes::default());
            let source = SocketAddr::new(at.ip(), 0);
            let connect = end.begin_connect(world.connector(), source, at, &[]).ok().unwrap();
            let peer = server.accept();
            peer.take();
            assert!(peer.send(&frame("Rep", &std::format!("50 02 0004 {limits}"), &[])), "{limits}");
            assert_eq!(connect.wait(), STATUS_SUCCESS, "{limits}");
            assert_eq!(peer.take(), [], "{limits}: before the consumer has decided");
            assert_eq!(end.complete_connect(), STATUS_SUCCESS, "{limits}");
            let said = fpdu(&tagged("c140", 1, 0, 0), true);
            let heard = eventually("the end speaks", || Some(peer.take()).filter(|got| !got.is_empty()));
            // The same more than once, on a slow host.
            assert!(heard.chunks(said.len()).all(|got| got == said), "{limits}: {heard:02x?}");
            peer.close();
            assert_eq!(end.events.seen.take(), 0, "{limits}");
            end.close();
        }
        server.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    over(Fabric::Iwarp, || {
        let world = World::tuned(|iwarp| iwarp.connect_timeout = kernel::time::milliseconds(500));
        let pd = world.pd();
        let at: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let server = TcpPeer::listen(world.system(), at);
        let mut end = End::new(&world, pd, Sizes::default());
        let source = SocketAddr::new(at.ip(), 0);
        let connect = end.begin_connect(world.connector(), source, at, &[]).ok().unwrap();
        let peer = server.accept();
        assert_eq!(connect.wait(), STATUS_IO_TIMEOUT);
        assert_eq!(peer.wait_for_end(), Ended::Reset);
        assert_eq!(world.soft().counters().handshakes_late, 1);
        peer.close();
        end.close();
        server.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

/// The rule decides for each port: listeners on others are found in memory only, and nothing goes out to them.
#[test]
fn only_the_ports_of_the_rule_are_served() {
    over(Fabric::Iwarp, || {
        let world =
            World::tuned(|iwarp| (iwarp.ports, iwarp.local_too) = (&[(7000, 7009), (8080, 8080)], false));
        let pd = world.pd();
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        for (text, served) in [
            ("127.0.0.1:6999", false),
            ("127.0.0.1:7000", true),
            ("127.0.0.1:7009", true),
            ("127.0.0.1:7010", false),
            ("127.0.0.1:8080", true),
        ] {
            let listener = TestListener::new(&world);
            assert_eq!(listener.listen(address(text)), STATUS_SUCCESS, "{text}");
            let peer = TcpPeer::try_connect(world.system(), address(text));
            assert_eq!(peer.is_some(), served, "{text}");
            // A port that is not served is free for TCP, the others are taken.
            let tcp = TcpPeer::try_listen(world.system(), address(text));
            assert_eq!(tcp.is_some(), !served, "{text}");
            for peer in peer.into_iter().chain(tcp) {
                peer.close();
            }
            // In memory all are there.
            let mut end = End::new(&world, pd, Sizes::default());
            let connect = end
                .begin_connect(world.connector(), address("127.0.0.1:0"), address(text), &[])
                .ok()
                .unwrap();
            close(listener.take_request(), close_slot!(end.connector, NdkCloseConnector));
            assert_eq!(connect.wait(), STATUS_CONNECTION_REFUSED, "{text}");
            end.close();
            listener.close();
        }
        // A server of somebody else's, on another machine of the same network.
        let server = TcpPeer::listen(world.system(), address("127.0.0.2:7010"));
        let mut end = End::new(&world, pd, Sizes::default());
        let (from, to) = (address("127.0.0.1:0"), address("127.0.0.2:7010"));
        let status = outcome(end.begin_connect(world.connector(), from, to, &[]));
        assert_eq!(status, STATUS_HOST_UNREACHABLE);
        end.close();
        server.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

/// A port that TCP has given to somebody else is no port for a listener.
#[test]
fn a_port_that_tcp_does_not_give_is_busy() {
    over(Fabric::Iwarp, || {
        let world = World::plain();
        let at: SocketAddr = "127.0.0.1:7471".parse().unwrap();
        let server = TcpPeer::listen(world.system(), at);
        let listener = TestListener::new(&world);
        assert_eq!(listener.listen(at), STATUS_SHARING_VIOLATION);
        // It is as before: once the port is free it can be taken.
        server.close();
        assert_eq!(listener.listen(at), STATUS_SUCCESS);
        listener.close();
        world.finish();
    });
}
