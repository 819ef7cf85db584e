//! Control requests in every form.

use core::ffi::c_void;
use core::ptr;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::nt::{DISPATCH_LEVEL, IRP, PASSIVE_LEVEL};
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;

use super::harness::at_dispatch;

/// Octets that nobody has written.
pub(super) const UNTOUCHED: u8 = 0xA5;

/// The functions that every socket has.
pub(super) fn basic(socket: *mut WSK_SOCKET) -> &'static WSK_PROVIDER_BASIC_DISPATCH {
    // SAFETY: the socket is open.
    let table = unsafe { (*socket).Dispatch };
    // SAFETY: every table begins with this one, and is static.
    unsafe { &*table.cast() }
}

/// What a request was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// From the IRP, or returned where there is none.
    pub(super) status: NTSTATUS,
    /// `Information`, with an IRP.
    pub(super) information: Option<usize>,
    /// `*OutputSizeReturned`.
    pub(super) returned: Option<usize>,
    /// What was written to the output.
    pub(super) output: Vec<u8>,
}

/// Buffers and IRP of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    pub(super) input: Option<&'a [u8]>,
    pub(super) input_size: usize,
    pub(super) output_size: usize,
    /// Whether there is an output buffer.
    pub(super) output: bool,
    /// Whether there is a variable for the size.
    pub(super) returned: bool,
    pub(super) irp: bool,
    pub(super) level: u8,
}

impl<'a> Form<'a> {
    pub(super) fn new(input: &'a [u8], output_size: usize) -> Self {
        Self {
            input: Some(input),
            input_size: input.len(),
            output_size,
            output: true,
            returned: true,
            irp: true,
            level: PASSIVE_LEVEL,
        }
    }

    pub(super) fn without_irp(self) -> Self {
        Self { irp: false, ..self }
    }

    /// Makes the call, and checks what holds for every one: with an IRP it is PENDING and completed once, marked; the size
    /// agrees with `Information`; and nothing is written beyond it.
    pub(super) fn make(
        &self,
        call: impl FnOnce(*mut c_void, *mut c_void, *mut usize, *mut IRP) -> NTSTATUS,
    ) -> Answered {
        let mut input = self.input.map(<[u8]>::to_vec);
        let mut output = std::vec![UNTOUCHED; 256];
        assert!(self.output_size <= output.len());
        let mut returned = usize::MAX;
        let irp = self.irp.then(TestIrp::new);
        let call = || {
            call(
                input.as_mut().map_or(ptr::null_mut(), |i| i.as_mut_ptr().cast()),
                if self.output { output.as_mut_ptr().cast() } else { ptr::null_mut() },
                if self.returned { &raw mut returned } else { ptr::null_mut() },
                irp.as_ref().map_or(ptr::null_mut(), TestIrp::submit),
            )
        };
        let status = if self.level == DISPATCH_LEVEL { at_dispatch(call) } else { call() };
        let (status, information) = match &irp {
            None => {
                assert_ne!(status, STATUS_PENDING, "{self:?}");
                (status, None)
            }
            Some(irp) => {
                assert_eq!(status, STATUS_PENDING, "{self:?}");
                let end = irp.wait();
                assert!(end.pending_returned, "{self:?}");
                assert_eq!(irp.completions(), 1, "{self:?}");
                (end.status, Some(end.information))
            }
        };
        let returned = self.returned.then_some(returned);
        let written = output.iter().rposition(|octet| *octet != UNTOUCHED).map_or(0, |last| last + 1);
        if let (Some(information), Some(returned)) = (information, returned) {
            assert_eq!(information, returned, "{self:?}");
        }
        if status == STATUS_SUCCESS {
            for size in information.into_iter().chain(returned) {
                assert!(written <= size && size <= self.output_size, "{self:?}: {written} {size}");
            }
        } else {
            assert_eq!(written, 0, "{self:?}");
        }
        output.truncate(written);
        Answered { status, information, returned, output }
    }

    pub(super) fn control(
        &self,
        socket: *mut WSK_SOCKET,
        code: (WSK_CONTROL_SOCKET_TYPE, u32, u32),
    ) -> Answered {
        let (kind, code, level) = code;
        let basic = basic(socket);
        // SAFETY: a call as its page says, or wrong in the way that is tested.
        self.make(|input, output, returned, irp| unsafe {
            (basic.WskControlSocket)(
                socket,
                kind,
                code,
                level,
                self.input_size,
                input,
                self.output_size,
                output,
                returned,
                irp,
            )
        })
    }
}

/// A generator of numbers that repeats itself.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
