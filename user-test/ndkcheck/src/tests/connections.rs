//! Connectors and listeners.

use std::ptr;

use abi::ndk::*;
use abi::status::{STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING};

use super::harness::*;
use crate::rule::Rule;

#[test]
fn connector_state() {
    breaks(Rule::ConnectorState, |world| {
        let pair = world.pair();
        let (pd, cq) = (pair.pd, pair.cq);
        let fresh = qp(pd, cq);
        let null = ptr::null_mut();
        // An established connection is neither connected, completed, accepted nor rejected.
        assert_eq!(connect(pair.near, fresh, pair.port, Bell::new()), STATUS_INVALID_DEVICE_REQUEST);
        assert_ne!(ask(|done, context| call!(pair.near, NdkCompleteConnect(None, null, done, context))), 0);
        assert_eq!(accept(pair.far, fresh, Bell::new()), STATUS_INVALID_DEVICE_REQUEST);
        assert_ne!(call!(pair.far, NdkReject(ptr::null(), 0)), 0);
        assert_eq!(world.checker.caught().len(), 4);
        // Nobody has asked for this one.
        assert_ne!(call!(world.connector(), NdkReject(ptr::null(), 0)), 0);
    });
}

#[test]
fn qp_reuse() {
    breaks(Rule::QpReuse, |world| {
        let pair = world.pair();
        let second = world.connector();
        assert_eq!(connect(second, pair.near_qp, pair.port, Bell::new()), STATUS_INVALID_DEVICE_REQUEST);
    });
}

#[test]
fn foreign_object() {
    breaks(Rule::ForeignObject, |world| {
        let (pd, other) = (world.pd(), world.pd());
        let cq = world.cq(64);
        let memory = memory(other, NDK_MR_FLAG_ALLOW_LOCAL_WRITE);
        assert_ne!(receive(qp(pd, cq), 1, &[memory.element(0, 8)]), 0);
        // Of another kind.
        assert!(qp_of(pd, other.cast(), 4, 0).is_err());
        assert_eq!(world.checker.caught().len(), 2);
        assert!(qp_of(pd, ptr::null_mut(), 4, 0).is_err());
        world.close_objects();
    });
}

#[test]
fn listener_state() {
    breaks(Rule::ListenerState, |world| {
        let bell = Bell::new();
        let listener = world.listener(bell);
        let (mut raw, mut length) = ([0_u8; 28], 28);
        assert_ne!(call!(listener, NdkGetLocalAddress(raw.as_mut_ptr().cast(), &raw mut length)), 0);
        world.caught(Rule::ListenerState);
        listen(listener);
        assert_eq!(call!(listener, NdkGetLocalAddress(raw.as_mut_ptr().cast(), &raw mut length)), 0);
        assert!(world.checker.caught().is_empty());
        assert_ne!(
            ask(|done, context| call!(listener, NdkListen(raw.as_ptr().cast(), 16, done, context))),
            0
        );
    });
}

#[test]
fn connection_data() {
    breaks(Rule::ConnectionData, |world| {
        let pair = world.pair();
        let (null, mut length) = (ptr::null_mut(), 0);
        let late = call!(pair.near, NdkGetConnectionData(null, null, null.cast(), &raw mut length));
        assert_ne!(late, 0);
        world.caught(Rule::ConnectionData);
        let bell = Bell::new();
        let listener = world.listener(bell);
        let (near, near_qp) = (world.connector(), qp(pair.pd, pair.cq));
        assert_eq!(connect(near, near_qp, listen(listener), Bell::new()), STATUS_PENDING);
        let far: *mut NDK_CONNECTOR = ptr::with_exposed_provenance_mut(bell.wait().1);
        assert_eq!(call!(far, NdkGetConnectionData(null, null, null.cast(), &raw mut length)), 0);
        assert!(world.checker.caught().is_empty());
        length = 8;
        assert_ne!(call!(far, NdkGetConnectionData(null, null, null.cast(), &raw mut length)), 0);
    });
}

#[test]
fn private_data() {
    breaks(Rule::PrivateData, |world| {
        let pair = world.pair();
        let (near, near_qp) = (world.connector(), qp(pair.pd, pair.cq));
        let long = connect_with(near, near_qp, pair.port, &[0; 57], Bell::new());
        assert_eq!(long, STATUS_INVALID_DEVICE_REQUEST);
    });
}

#[test]
fn address_state() {
    breaks(Rule::AddressState, |world| {
        let (mut raw, mut length) = ([0_u8; 28], 28);
        let (address, length) = (raw.as_mut_ptr().cast(), &raw mut length);
        let connector = world.connector();
        assert_ne!(call!(connector, NdkGetLocalAddress(address, length)), 0);
        assert_ne!(call!(connector, NdkGetPeerAddress(address, length)), 0);
        assert_eq!(world.checker.caught().len(), 2);
        assert_eq!(call!(world.pair().near, NdkGetPeerAddress(address, length)), 0);
        assert!(world.checker.caught().is_empty());
        assert_ne!(call!(connector, NdkGetLocalAddress(address, length)), 0);
    });
}

#[test]
fn disconnect() {
    breaks(Rule::Disconnect, |world| {
        let pair = world.pair();
        let connector = world.connector();
        assert_ne!(ask(|done, context| call!(connector, NdkDisconnect(done, context))), 0);
        world.caught(Rule::Disconnect);
        let first = Bell::new();
        assert_eq!(call!(pair.near, NdkDisconnect(requested, first.context())), STATUS_PENDING);
        assert_ne!(ask(|done, context| call!(pair.near, NdkDisconnect(done, context))), 0);
    });
}
