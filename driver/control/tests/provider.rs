//! The request for the registration functions, from both sides.

use abi::NTSTATUS;
use abi::nt::{KernelMode, METHOD_BUFFERED, METHOD_FROM_CTL_CODE, UserMode};
use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
    STATUS_NOINTERFACE, STATUS_SUCCESS,
};
use abi::wsk::{WSK_CLIENT_NPI, WSK_PROVIDER_CHARACTERISTICS, WSK_PROVIDER_NPI, WSK_REGISTRATION};

use wskrdma_control::provider::*;

unsafe extern "system" fn register(_: *mut WSK_CLIENT_NPI, _: *mut WSK_REGISTRATION) -> NTSTATUS {
    STATUS_SUCCESS
}

unsafe extern "system" fn deregister(_: *mut WSK_REGISTRATION) {}

unsafe extern "system" fn capture(_: *mut WSK_REGISTRATION, _: u32, _: *mut WSK_PROVIDER_NPI) -> NTSTATUS {
    STATUS_SUCCESS
}

unsafe extern "system" fn release(_: *mut WSK_REGISTRATION) {}

unsafe extern "system" fn query(_: *mut WSK_REGISTRATION, _: *mut WSK_PROVIDER_CHARACTERISTICS) -> NTSTATUS {
    STATUS_SUCCESS
}

const ENTRIES: WSKRDMA_REGISTRATION_ENTRIES = WSKRDMA_REGISTRATION_ENTRIES {
    WskRegister: register,
    WskDeregister: deregister,
    WskCaptureProviderNPI: capture,
    WskReleaseProviderNPI: release,
    WskQueryProviderCharacteristics: query,
};

const LENGTH: usize = WSKRDMA_PROVIDER_REQUEST_LENGTH as usize;

#[test]
fn the_code_is_buffered_and_the_structure_has_its_stated_length() {
    assert_eq!(IOCTL_INTERNAL_WSKRDMA_PROVIDER, 0x0012_2400);
    assert_eq!(METHOD_FROM_CTL_CODE(IOCTL_INTERNAL_WSKRDMA_PROVIDER), METHOD_BUFFERED);
    assert_eq!(size_of::<WSKRDMA_PROVIDER_REQUEST>(), LENGTH);
}

#[test]
fn the_highest_common_version_is_chosen() {
    assert_eq!(negotiate((0x0100, 0x0102), (0x0100, 0x0100)), Some(0x0100));
    assert_eq!(negotiate((0x0100, 0x0102), (0x0101, 0x0205)), Some(0x0102));
    assert_eq!(negotiate((0x0200, 0x0201), (0x0100, 0x0102)), None);
    assert_eq!(negotiate((0x0100, 0x0100), (0x0101, 0x0101)), None);
}

type Octets = [u8; LENGTH];

fn octets(request: WSKRDMA_PROVIDER_REQUEST) -> Octets {
    // SAFETY: the structure has no padding, and a null function is zeros.
    unsafe { core::mem::transmute(request) }
}

fn reply(octets: Octets) -> WSKRDMA_PROVIDER_REQUEST {
    // SAFETY: the functions in the octets are null or this test's.
    unsafe { core::mem::transmute(octets) }
}

/// The driver's answer to a question, and the buffer afterwards.
fn asked(request: WSKRDMA_PROVIDER_REQUEST) -> (NTSTATUS, usize, WSKRDMA_PROVIDER_REQUEST) {
    let mut buffer = octets(request);
    let (status, information) = handle(KernelMode, &mut buffer, LENGTH, LENGTH, &ENTRIES);
    (status, information, reply(buffer))
}

#[test]
fn this_driver_and_this_library_agree() {
    let (status, information, reply) = asked(question());
    assert_eq!((status, information), (STATUS_SUCCESS, LENGTH));
    assert_eq!((reply.LowestVersion, reply.HighestVersion, reply.Reserved), (0x0100, 0x0100, 0));
    let entries = accept(status, information, &reply).unwrap();
    assert_eq!(entries.WskRegister as usize, register as *const () as usize);
    assert_eq!(entries.WskDeregister as usize, deregister as *const () as usize);
    assert_eq!(entries.WskCaptureProviderNPI as usize, capture as *const () as usize);
    assert_eq!(entries.WskReleaseProviderNPI as usize, release as *const () as usize);
    assert_eq!(entries.WskQueryProviderCharacteristics as usize, query as *const () as usize);
}

#[test]
fn only_the_kernel_is_answered_and_only_with_room() {
    let answered = |requestor, size: usize, input, output| {
        let mut buffer = octets(question());
        let before = buffer;
        let outcome = handle(requestor, &mut buffer[..size], input, output, &ENTRIES);
        assert_eq!(buffer == before, outcome.0 != STATUS_SUCCESS);
        outcome
    };
    assert_eq!(answered(KernelMode, LENGTH, LENGTH, LENGTH), (STATUS_SUCCESS, LENGTH));
    assert_eq!(answered(UserMode, LENGTH, LENGTH, LENGTH), (STATUS_ACCESS_DENIED, 0));
    assert_eq!(answered(KernelMode, LENGTH, LENGTH - 1, LENGTH), (STATUS_BUFFER_TOO_SMALL, 0));
    assert_eq!(answered(KernelMode, LENGTH, LENGTH, LENGTH - 1), (STATUS_BUFFER_TOO_SMALL, 0));
    assert_eq!(answered(KernelMode, LENGTH - 1, LENGTH, LENGTH), (STATUS_BUFFER_TOO_SMALL, 0));
}

#[test]
fn a_question_the_driver_cannot_answer_is_refused() {
    let refused = |change: fn(&mut WSKRDMA_PROVIDER_REQUEST)| {
        let mut request = question();
        change(&mut request);
        let (status, information, after) = asked(request);
        assert_eq!((information, octets(after)), (0, octets(request)));
        status
    };
    assert_eq!(refused(|r| r.Length = 47), STATUS_INVALID_PARAMETER);
    assert_eq!(refused(|r| r.HighestVersion = r.LowestVersion - 1), STATUS_INVALID_PARAMETER);
    assert_eq!(refused(|r| (r.LowestVersion, r.HighestVersion) = (0x0200, 0x0300)), STATUS_NOINTERFACE);
}

#[test]
fn a_newer_library_gets_what_this_driver_has() {
    let (status, information, reply) =
        asked(WSKRDMA_PROVIDER_REQUEST { Length: 96, HighestVersion: 0x0107, ..question() });
    assert_eq!((status, information), (STATUS_SUCCESS, LENGTH));
    assert_eq!((reply.Length, reply.HighestVersion), (48, 0x0100));
}

#[test]
fn an_answer_the_library_cannot_use_is_refused() {
    let refused = |change: fn(&mut WSKRDMA_PROVIDER_REQUEST)| {
        let (_, _, mut reply) = asked(question());
        change(&mut reply);
        accept(STATUS_SUCCESS, LENGTH, &reply).is_none()
    };
    assert!(refused(|r| r.Length = 40));
    assert!(refused(|r| (r.LowestVersion, r.HighestVersion) = (0x0200, 0x0200)));
    assert!(refused(|r| r.HighestVersion = 0x0101));
    assert!(refused(|r| r.WskRegister = None));
    assert!(refused(|r| r.WskDeregister = None));
    assert!(refused(|r| r.WskCaptureProviderNPI = None));
    assert!(refused(|r| r.WskReleaseProviderNPI = None));
    assert!(refused(|r| r.WskQueryProviderCharacteristics = None));
    let (_, _, reply) = asked(question());
    assert!(accept(STATUS_INVALID_DEVICE_REQUEST, LENGTH, &reply).is_none());
    assert!(accept(STATUS_SUCCESS, LENGTH - 1, &reply).is_none());
}

#[test]
fn a_device_that_succeeds_at_everything_is_not_taken_for_the_driver() {
    assert!(accept(STATUS_SUCCESS, 0, &question()).is_none());
    assert!(accept(STATUS_SUCCESS, LENGTH, &question()).is_none());
}
