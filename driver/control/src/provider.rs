//! How the library asks the driver for its registration functions: one internal device control request.
//!
//! The library opens [`DEVICE_NAME`], sends [`IOCTL_INTERNAL_WSKRDMA_PROVIDER`] as
//! `IRP_MJ_INTERNAL_DEVICE_CONTROL`, and keeps the device open for as long as it may call what it was given:
//! an open file keeps the driver loaded. The I/O manager makes no such request for user mode, so pointers may
//! cross here and nowhere else.
//!
//! Both sides compile this module; it has no state, no unsafe code and no kernel call.
//!
//! Versions: [`WSKRDMA_PROVIDER_REQUEST`] may grow at its end. Who adds a member raises the minor number; who
//! changes the meaning of one raises the major number. Each side states the range it speaks and the driver
//! picks the highest number in both.

use abi::NTSTATUS;
use abi::nt::{CTL_CODE, FILE_ANY_ACCESS, FILE_DEVICE_NETWORK, KPROCESSOR_MODE, KernelMode, METHOD_BUFFERED};
use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE,
    STATUS_SUCCESS, nt_success,
};
use abi::wsk::{
    PFN_WSK_CAPTURE_PROVIDER_NPI, PFN_WSK_DEREGISTER, PFN_WSK_QUERY_PROVIDER_CHARACTERISTICS,
    PFN_WSK_REGISTER, PFN_WSK_RELEASE_PROVIDER_NPI,
};

pub use crate::driver::DEVICE_NAME;

/// `IRP_MJ_INTERNAL_DEVICE_CONTROL` code of the request: `METHOD_BUFFERED`, a [`WSKRDMA_PROVIDER_REQUEST`] in
/// and out.
///
/// | status | when |
/// |---|---|
/// | SUCCESS | `IoStatus.Information` bytes of the structure were written |
/// | ACCESS_DENIED | `RequestorMode` is not `KernelMode` |
/// | BUFFER_TOO_SMALL | a length is less than the structure |
/// | INVALID_PARAMETER | `Length` is less than the structure, or the range is empty |
/// | NOINTERFACE | the ranges do not meet |
/// | DEVICE_NOT_READY | the driver is starting or stopping |
///
/// Any failure makes the library use the system's provider; a failure of the driver's own `WskRegister` does
/// not. `PASSIVE_LEVEL`; the driver may complete the request later, but the client's `WskRegister` waits for
/// it.
pub const IOCTL_INTERNAL_WSKRDMA_PROVIDER: u32 =
    CTL_CODE(FILE_DEVICE_NETWORK, 0x900, METHOD_BUFFERED, FILE_ANY_ACCESS);

/// First version: five functions.
pub const WSKRDMA_PROVIDER_VERSION_1_0: u16 = 0x0100;

/// Versions this build speaks, lowest and highest.
pub const WSKRDMA_PROVIDER_VERSIONS: (u16, u16) =
    (WSKRDMA_PROVIDER_VERSION_1_0, WSKRDMA_PROVIDER_VERSION_1_0);

/// The registration functions of one provider.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    reason = "each member is documented by its type and named after its function"
)]
pub struct WSKRDMA_REGISTRATION_ENTRIES {
    pub WskRegister: PFN_WSK_REGISTER,
    pub WskDeregister: PFN_WSK_DEREGISTER,
    pub WskCaptureProviderNPI: PFN_WSK_CAPTURE_PROVIDER_NPI,
    pub WskReleaseProviderNPI: PFN_WSK_RELEASE_PROVIDER_NPI,
    pub WskQueryProviderCharacteristics: PFN_WSK_QUERY_PROVIDER_CHARACTERISTICS,
}

/// Question and answer of [`IOCTL_INTERNAL_WSKRDMA_PROVIDER`], in the one buffer of a `METHOD_BUFFERED`
/// request.
///
/// The functions may be called for as long as the file is open that the request was sent through. Their
/// contracts are those of `wsk.h`, with a `WSK_REGISTRATION` that the client never sees: 24 zero bytes on the
/// way into `WskRegister`, the driver's own until its `WskDeregister` returns, and never moved.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(non_snake_case, reason = "the members of a structure that C drivers see")]
pub struct WSKRDMA_PROVIDER_REQUEST {
    /// In: bytes of the structure the library knows. Out: bytes the driver filled in, never more.
    pub Length: u16,
    /// In: lowest version the library speaks. Out: the version in force.
    pub LowestVersion: u16,
    /// In: highest version the library speaks. Out: the version in force.
    pub HighestVersion: u16,
    /// Zero.
    pub Reserved: u16,
    /// Out, as all that follow; null on the way in. A failure of it is the client's answer.
    pub WskRegister: Option<PFN_WSK_REGISTER>,
    /// Wakes all who wait in `WskCaptureProviderNPI` with DEVICE_NOT_READY before it waits for anything
    /// itself.
    pub WskDeregister: Option<PFN_WSK_DEREGISTER>,
    /// Not called any more once `WskDeregister` has been; it may still be waiting then.
    pub WskCaptureProviderNPI: Option<PFN_WSK_CAPTURE_PROVIDER_NPI>,
    /// Also called while `WskDeregister` waits.
    pub WskReleaseProviderNPI: Option<PFN_WSK_RELEASE_PROVIDER_NPI>,
    /// Not called any more once `WskDeregister` has been.
    pub WskQueryProviderCharacteristics: Option<PFN_WSK_QUERY_PROVIDER_CHARACTERISTICS>,
}
abi::layout!(WSKRDMA_PROVIDER_REQUEST: 48, 8;
    Length 0, LowestVersion 2, HighestVersion 4, Reserved 6, WskRegister 8, WskDeregister 16,
    WskCaptureProviderNPI 24, WskReleaseProviderNPI 32, WskQueryProviderCharacteristics 40);

/// Bytes of version 1.0.
pub const WSKRDMA_PROVIDER_REQUEST_LENGTH: u16 = 48;

/// The highest version in both ranges, each given as lowest and highest.
#[must_use]
pub const fn negotiate(ours: (u16, u16), theirs: (u16, u16)) -> Option<u16> {
    let lowest = if ours.0 > theirs.0 { ours.0 } else { theirs.0 };
    let highest = if ours.1 < theirs.1 { ours.1 } else { theirs.1 };
    if lowest <= highest { Some(highest) } else { None }
}

/// The library's question.
#[must_use]
pub const fn question() -> WSKRDMA_PROVIDER_REQUEST {
    let (lowest, highest) = WSKRDMA_PROVIDER_VERSIONS;
    WSKRDMA_PROVIDER_REQUEST {
        Length: WSKRDMA_PROVIDER_REQUEST_LENGTH,
        LowestVersion: lowest,
        HighestVersion: highest,
        Reserved: 0,
        WskRegister: None,
        WskDeregister: None,
        WskCaptureProviderNPI: None,
        WskReleaseProviderNPI: None,
        WskQueryProviderCharacteristics: None,
    }
}

/// The driver's side: answers one request. `buffer` is the system buffer, `input` octets of it are the
/// question and the reply may use `output` octets. Returns the status and `IoStatus.Information`.
///
/// The caller knows that the code is [`IOCTL_INTERNAL_WSKRDMA_PROVIDER`] and gives the IRP's `RequestorMode`.
/// Statuses as listed there; on failure the buffer is as it was.
pub fn handle(
    requestor: KPROCESSOR_MODE,
    buffer: &mut [u8],
    input: usize,
    output: usize,
    entries: &WSKRDMA_REGISTRATION_ENTRIES,
) -> (NTSTATUS, usize) {
    const WHOLE: usize = WSKRDMA_PROVIDER_REQUEST_LENGTH as usize;
    if requestor != KernelMode {
        return (STATUS_ACCESS_DENIED, 0);
    }
    if input < WHOLE || output < WHOLE {
        return (STATUS_BUFFER_TOO_SMALL, 0);
    }
    let Some(reply) = buffer.first_chunk_mut::<WHOLE>() else { return (STATUS_BUFFER_TOO_SMALL, 0) };
    let [l0, l1, v0, v1, w0, w1, ..] = *reply;
    let asked = (u16::from_ne_bytes([v0, v1]), u16::from_ne_bytes([w0, w1]));
    if u16::from_ne_bytes([l0, l1]) < WSKRDMA_PROVIDER_REQUEST_LENGTH || asked.0 > asked.1 {
        return (STATUS_INVALID_PARAMETER, 0);
    }
    let Some(version) = negotiate(WSKRDMA_PROVIDER_VERSIONS, asked) else { return (STATUS_NOINTERFACE, 0) };
    let head = [WSKRDMA_PROVIDER_REQUEST_LENGTH, version, version, 0].map(u16::to_ne_bytes);
    let functions = [
        entries.WskRegister as usize,
        entries.WskDeregister as usize,
        entries.WskCaptureProviderNPI as usize,
        entries.WskReleaseProviderNPI as usize,
        entries.WskQueryProviderCharacteristics as usize,
    ]
    .map(usize::to_ne_bytes);
    let octets = head.iter().flatten().chain(functions.iter().flatten());
    reply.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    (STATUS_SUCCESS, WHOLE)
}

/// The library's verdict on what came back: the functions, or nothing where the driver cannot be used.
#[must_use]
pub fn accept(
    status: NTSTATUS,
    information: usize,
    reply: &WSKRDMA_PROVIDER_REQUEST,
) -> Option<WSKRDMA_REGISTRATION_ENTRIES> {
    let whole = usize::from(WSKRDMA_PROVIDER_REQUEST_LENGTH);
    let (lowest, highest) = WSKRDMA_PROVIDER_VERSIONS;
    let version = reply.HighestVersion;
    // A driver that completes what it does not know with success leaves the question as it was: null
    // functions.
    if !nt_success(status)
        || information < whole
        || usize::from(reply.Length) < whole
        || reply.LowestVersion != version
        || version < lowest
        || version > highest
    {
        return None;
    }
    Some(WSKRDMA_REGISTRATION_ENTRIES {
        WskRegister: reply.WskRegister?,
        WskDeregister: reply.WskDeregister?,
        WskCaptureProviderNPI: reply.WskCaptureProviderNPI?,
        WskReleaseProviderNPI: reply.WskReleaseProviderNPI?,
        WskQueryProviderCharacteristics: reply.WskQueryProviderCharacteristics?,
    })
}
