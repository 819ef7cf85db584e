//! Peers on the host's TCP that are no software adapter.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use abi::status::*;

use super::harness::*;
use super::pair::*;
use crate::Config;

/// A peer that says nothing for so long has lost.
const PATIENCE: Duration = Duration::from_secs(60);
const MPA_REPLY: &[u8; 16] = b"MPA ID Rep Frame";
/// A Write of no octets: ULPDU_Length, control word, STag 1, TO 0; then the CRC.
const NO_OCTETS: [u8; 20] = [0, 0x0E, 0xC1, 0x40, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xEB, 0xD3, 0x4C, 0x5F];

fn read(stream: &mut TcpStream, octets: usize) -> Vec<u8> {
    let mut all = vec![0; octets];
    stream.read_exact(&mut all).expect("the octets are there in time");
    all
}

/// Linux' siw reads what arrives right behind its reply only when more arrives, and says things itself meanwhile.
#[test]
fn a_new_peer_is_spoken_to_again() {
    over(Fabric::Iwarp, || {
        let world = World::new(Config::default());
        // No port of the host but the one that is connected to.
        #[expect(clippy::reversed_empty_ranges, reason = "no port is listened on")]
        ksim::wsk::join_host(1..=0);
        let listener = TcpListener::bind("127.0.0.1:0").expect("the host has a port");
        let address = listener.local_addr().expect("it is bound");
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the adapter connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("a socket with a time limit");
            let request = read(&mut stream, 20 + 4);
            // The client-server model: with an RTR to wait for siw may stop its kernel.
            assert_eq!(request[20] & 0xC0, 0, "the peer-to-peer model is asked for");
            let (ird, ord) = (request[20..22].to_vec(), request[22..24].to_vec());
            let reply = [MPA_REPLY.as_slice(), &[0x50, 2, 0, 4], &ord, &ird].concat();
            stream.write_all(&reply).expect("the adapter listens");
            // The consumer posts nothing.
            assert_eq!(read(&mut stream, 20), NO_OCTETS);
            stream.write_all(&NO_OCTETS).expect("the adapter listens");
            for _ in 0..3 {
                assert_eq!(read(&mut stream, 20), NO_OCTETS);
            }
            stream
        });
        let pd = world.pd();
        let mut end = End::new(&world, pd, Sizes::default());
        let source = "127.0.0.1:0".parse().unwrap();
        let connect = end.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
        assert_eq!(connect.wait(), STATUS_SUCCESS);
        assert_eq!(end.complete_connect(), STATUS_SUCCESS);
        let stream = peer.join().expect("the peer saw what it has to");
        drop(stream);
        end.events.seen.take();
        end.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}
