//! What a call is, without making it.

use super::room::{AddressRoom, WrittenBehind};
use super::{ALL_FUNCTIONS, Effect, Function, buffer, effect, fill};
use abi::wsk::{AF_INET, AF_INET6, WSK_FLAG_CONNECTION_SOCKET};
use cases::pattern::{self, UNTOUCHED};
use cases::world::{Buffer, Call, Socket, Target};

extern crate std;
use std::vec;

const ON: Target = Target { socket: Socket(3), null: false };

#[test]
fn the_names_of_the_functions_are_in_their_places() {
    use control::client::FUNCTIONS;
    assert_eq!(FUNCTIONS[Function::WskSocket as usize], "WskSocket");
    assert_eq!(FUNCTIONS[Function::WskGetLocalAddress as usize], "WskGetLocalAddress");
    assert_eq!(FUNCTIONS[Function::WskCloseSocket as usize], "WskCloseSocket");
    assert_eq!(FUNCTIONS[Function::IoCancelIrp as usize], "IoCancelIrp");
    assert_eq!(FUNCTIONS.len(), Function::NullParameters as usize + 1);
    assert_eq!(ALL_FUNCTIONS.count_ones() as usize, FUNCTIONS.len());
}

#[test]
fn a_call_asks_for_its_function_and_what_is_unusual_about_it() {
    let mask = |call: Call<'_>| Function::mask(&call);
    assert_eq!(mask(Call::Close { on: ON }), Function::WskCloseSocket.bit());
    let null = Target::null_like(Socket(0));
    assert_eq!(
        mask(Call::Close { on: null }),
        Function::WskCloseSocket.bit() | Function::NullParameters.bit()
    );
    let send = |mdls, offset, length| {
        mask(Call::Send { on: ON, buffer: Some(Buffer { mdls, offset, length, position: None }), flags: 0 })
    };
    let unusual = Function::WskSend.bit() | Function::UnusualBuffers.bit();
    assert_eq!(send(&[10], 3, 7), Function::WskSend.bit());
    assert_eq!(send(&[10], 3, 8), unusual);
    assert_eq!(send(&[10], 0, usize::MAX), unusual);
    assert_eq!(send(&[5, 5], 0, 10), unusual);
    assert_eq!(send(&[0], 0, 0), unusual);
}

#[test]
fn sockets_come_and_go_with_the_calls_that_say_so() {
    assert_eq!(effect(&Call::Accept { on: ON, addresses: true }), Effect::Makes(WSK_FLAG_CONNECTION_SOCKET));
    assert_eq!(effect(&Call::Close { on: ON }), Effect::Closes(Socket(3)));
    assert_eq!(effect(&Call::Close { on: Target::null_like(Socket(3)) }), Effect::None);
    assert_eq!(buffer(&Call::Close { on: ON }), None);
}

#[test]
fn only_the_named_octets_are_the_streams_however_they_are_cut() {
    let buffer = Buffer { mdls: &[30, 50, 20], offset: 10, length: 75, position: Some(1000) };
    let mut whole = vec![0; 100];
    fill(&buffer, 0, &mut whole);
    assert_eq!(pattern::first_difference(&whole[10..85], 1000), None);
    assert!(whole[..10].iter().chain(&whole[85..]).all(|&octet| octet == UNTOUCHED));
    let mut pieces = vec![0; 100];
    for (from, to) in [(0, 30), (30, 80), (80, 100)] {
        fill(&buffer, from, &mut pieces[from..to]);
    }
    assert_eq!(pieces, whole);
    let too_long = Buffer { mdls: &[4], offset: 1, length: usize::MAX, position: Some(0) };
    fill(&too_long, 0, &mut whole[..4]);
    assert_eq!((whole[0], pattern::first_difference(&whole[1..4], 0)), (UNTOUCHED, None));
}

#[test]
fn an_address_is_read_and_what_lies_behind_it_is_looked_at() {
    let mut room = AddressRoom::UNTOUCHED;
    assert_eq!(room.address(), Ok(None));
    room.0[..16].copy_from_slice(&[0, 0, 0x1F, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    room.0[..2].copy_from_slice(&AF_INET.to_ne_bytes());
    assert_eq!(room.address(), Ok(Some("127.0.0.1:8080".parse().unwrap())));
    room.0[16] = 0;
    assert_eq!(room.address(), Err(WrittenBehind));
    room = AddressRoom([0; 64]);
    room.0[28..].fill(UNTOUCHED);
    room.0[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
    assert_eq!(room.address(), Ok(Some("[::]:0".parse().unwrap())));
    room.0[28] = 1;
    assert_eq!(room.address(), Err(WrittenBehind));
}
