//! The handshake, and how it fails.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use abi::NTSTATUS;
use abi::ndk::{NDK_CONNECTOR, NDK_CONNECTOR_DISPATCH};
use abi::status::{STATUS_CONNECTION_REFUSED, STATUS_INVALID_BUFFER_SIZE, STATUS_SUCCESS};

use super::harness::*;
use crate::Endpoint;
use crate::connect::connection_data;

fn begins_with(told: &Told, data: &[u8]) -> bool {
    matches!(told, Told::PeerData(octets) if octets.starts_with(data))
}

#[test]
fn private_data_go_both_ways() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"the caller's data");
        let incoming = door.take();
        let mut octets = [0; 512];
        assert!(incoming.private_data(&mut octets).unwrap().starts_with(b"the caller's data"));
        let (local, peer) = incoming.addresses().unwrap();
        assert_eq!(local, listener.address());
        let far = passive(world, Witness::new(), DEPTHS, incoming);
        Endpoint::accept(&far.endpoint, b"the answer");
        assert_eq!(near.witness.answer(), 0);
        assert_eq!(far.witness.answer(), 0);
        assert!(begins_with(&near.witness.told()[0], b"the answer"), "the data come before the answer");
        assert_eq!(near.endpoint.local_address(), Some(peer));
        assert_eq!(far.endpoint.local_address(), Some(local));
        near.finish(false);
        far.finish(false);
    });
}

/// Private data that the caller's buffer cannot hold are an error, not a cut.
#[test]
fn private_data_need_room() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"data");
        let incoming = door.take();
        assert!(incoming.private_data(&mut [0; 8]).is_err());
        drop(incoming);
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}

#[test]
fn nobody_listens() {
    in_each_mode(|world| {
        let (listener, _door) = listen(world);
        let address = listener.address();
        drop(listener);
        ksim::quiesce();
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), address, b"");
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}

#[test]
fn the_listener_refuses() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        drop(door.take());
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        near.finish(false);
    });
}

#[test]
fn the_caller_does_not_like_the_answer() {
    in_each_mode(|world| {
        let (listener, door) = listen(world);
        let near = active(world, Witness::that_answers(false), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), listener.address(), b"");
        let far = passive(world, Witness::new(), DEPTHS, door.take());
        Endpoint::accept(&far.endpoint, b"what is this");
        assert_eq!(near.witness.answer(), STATUS_CONNECTION_REFUSED);
        assert_ne!(far.witness.answer(), 0);
        near.finish(false);
        far.finish(false);
    });
}

#[test]
fn an_address_that_is_not_the_adapters() {
    in_each_mode(|world| {
        let (listener, _door) = listen(world);
        let near = active(world, Witness::new(), DEPTHS);
        let elsewhere: core::net::SocketAddr = "192.0.2.1:0".parse().unwrap();
        Endpoint::connect(&near.endpoint, elsewhere, listener.address(), b"");
        assert_ne!(near.witness.answer(), 0);
        near.finish(false);
        let near = active(world, Witness::new(), DEPTHS);
        Endpoint::connect(&near.endpoint, loopback(0), "192.0.2.1:4791".parse().unwrap(), b"");
        assert_ne!(near.witness.answer(), 0);
        near.finish(false);
    });
}

/// A provider seen in the field gives nothing to whoever asks with a larger buffer than the size it has told.
unsafe extern "system" fn exact_only(
    _connector: *mut NDK_CONNECTOR,
    _inbound: *mut u32,
    _outbound: *mut u32,
    data: *mut c_void,
    length: *mut u32,
) -> NTSTATUS {
    const SIZE: u32 = 56;
    // SAFETY: the caller's cell.
    let room = unsafe { length.read() };
    let (told, filled) = match room {
        0 => (SIZE, 0),
        SIZE => (SIZE, SIZE),
        _ => (0, 0),
    };
    // SAFETY: the caller's cell.
    unsafe { length.write(told) };
    if filled != 0 {
        // SAFETY: as much room as the caller says.
        unsafe { data.cast::<u8>().write_bytes(7, filled as usize) };
    }
    STATUS_SUCCESS
}

#[test]
fn private_data_are_read_by_their_exact_size() {
    let mut table = MaybeUninit::<NDK_CONNECTOR_DISPATCH>::zeroed();
    // SAFETY: a field of memory of our own; the others are never read.
    let slot = unsafe { &raw mut (*table.as_mut_ptr()).NdkGetConnectionData };
    // SAFETY: as above.
    unsafe { slot.write(exact_only) };
    let mut connector = MaybeUninit::<NDK_CONNECTOR>::zeroed();
    // SAFETY: as above.
    let dispatch = unsafe { &raw mut (*connector.as_mut_ptr()).Dispatch };
    // SAFETY: as above.
    unsafe { dispatch.write(table.as_ptr()) };
    let connector = NonNull::new(connector.as_mut_ptr()).unwrap();
    assert_eq!(connection_data(connector, &mut [0; 512]), Ok(&[7; 56][..]));
    assert_eq!(connection_data(connector, &mut [0; 56]), Ok(&[7; 56][..]));
    assert_eq!(connection_data(connector, &mut [0; 55]), Err(STATUS_INVALID_BUFFER_SIZE));
}
