//! What a control request is made with.

use core::ffi::c_void;
use core::ptr;

use abi::nt::GUID;
use abi::wsk::{
    NPI_WSK_INTERFACE_ID, PFN_WSK_RECEIVE_EX_EVENT, WSK_EVENT_CALLBACK_CONTROL, WSK_EXTENSION_CONTROL_IN,
};
use cases::pattern::UNTOUCHED;
use cases::world::{INPUT_MAX, Input, OUTPUT_MAX};

use crate::watch::receive_ex;

/// What `OutputSizeReturned` is where nobody has written.
pub const NOT_RETURNED: usize = usize::MAX;

/// An identifier that no programming interface has.
const NOBODY: GUID = GUID { Data1: 0xC0FF_EE00, Data2: 1, Data3: 2, Data4: [3; 8] };

/// Input and output of a control request. They live until its IRP is completed.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct ControlRoom {
    input: [u8; INPUT_MAX],
    npi: GUID,
    output: [u8; OUTPUT_MAX],
    returned: usize,
}

impl ControlRoom {
    /// Nothing is written.
    pub const UNTOUCHED: Self = Self {
        input: [UNTOUCHED; INPUT_MAX],
        npi: NOBODY,
        output: [UNTOUCHED; OUTPUT_MAX],
        returned: NOT_RETURNED,
    };

    /// Copies the output, and gives `OutputSizeReturned`.
    #[must_use]
    pub fn read(&self, into: &mut [u8]) -> usize {
        into.fill(UNTOUCHED);
        for (to, octet) in into.iter_mut().zip(self.output) {
            *to = octet;
        }
        self.returned
    }
}

/// Where the members of a room are.
pub(super) struct Places {
    pub(super) input: (*mut c_void, usize),
    pub(super) output: *mut c_void,
    pub(super) returned: *mut usize,
}

/// Writes the input, and tells where everything is.
///
/// # Safety
/// `room` is a request's, whose call is about to be made.
pub(super) unsafe fn prepare(room: *mut ControlRoom, input: &Input<'_>) -> Places {
    // SAFETY: the caller's promise; nobody else uses the room yet.
    let room = unsafe { &mut *room };
    let npi: *const GUID = &raw const room.npi;
    let at: *mut c_void = room.input.as_mut_ptr().cast();
    let mut events = |identifier: GUID, npi: *const GUID, mask| {
        room.npi = identifier;
        let control = WSK_EVENT_CALLBACK_CONTROL { NpiId: npi, EventMask: mask };
        // SAFETY: the input is longer than any structure.
        unsafe { at.cast::<WSK_EVENT_CALLBACK_CONTROL>().write_unaligned(control) };
        (at, size_of::<WSK_EVENT_CALLBACK_CONTROL>())
    };
    let input = match *input {
        Input::None => (ptr::null_mut(), 0),
        Input::Null(size) => (ptr::null_mut(), size),
        Input::Octets(octets) => {
            for (to, octet) in room.input.iter_mut().zip(octets) {
                *to = *octet;
            }
            (at, octets.len())
        }
        Input::Events(mask) => events(NPI_WSK_INTERFACE_ID, npi, mask),
        Input::ForeignEvents(mask) => events(NOBODY, npi, mask),
        Input::NamelessEvents(mask) => events(NOBODY, ptr::null(), mask),
        Input::Extension => {
            let control = WSK_EXTENSION_CONTROL_IN {
                NpiId: npi,
                ClientContext: ptr::null_mut(),
                ClientDispatch: ptr::null(),
            };
            // SAFETY: the input is longer than any structure.
            unsafe { at.cast::<WSK_EXTENSION_CONTROL_IN>().write_unaligned(control) };
            (at, size_of::<WSK_EXTENSION_CONTROL_IN>())
        }
        Input::ReceiveEx => {
            let callback: PFN_WSK_RECEIVE_EX_EVENT = receive_ex;
            // SAFETY: the input is longer than a pointer.
            unsafe { at.cast::<PFN_WSK_RECEIVE_EX_EVENT>().write_unaligned(callback) };
            (at, size_of::<PFN_WSK_RECEIVE_EX_EVENT>())
        }
    };
    Places { input, output: room.output.as_mut_ptr().cast(), returned: &raw mut room.returned }
}
