//! System threads.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use abi::NTSTATUS;
use abi::nt::{DISPATCHER_HEADER, HANDLE, OBJECT_ATTRIBUTES, PASSIVE_LEVEL, PKSTART_ROUTINE};
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};

use crate::stop::WORKER_THREAD_RETURNED_AT_BAD_IRQL;
use crate::{event, host, object, pool, processor};

/// What a thread object is to the driver: something to wait for.
type ThreadObject = MaybeUninit<DISPATCHER_HEADER>;

struct Start {
    routine: PKSTART_ROUTINE,
    context: *mut c_void,
    object: *mut DISPATCHER_HEADER,
}

// SAFETY: the pointers are the driver's, given to be used on the new thread; the object is referenced for it.
unsafe impl Send for Start {}

impl Start {
    fn run(self) {
        processor::call_at(PASSIVE_LEVEL, WORKER_THREAD_RETURNED_AT_BAD_IRQL, "a thread routine", || {
            // SAFETY: the driver gave this routine to be called with this context.
            unsafe { (self.routine)(self.context) };
        });
        // SAFETY: this thread's reference keeps the object.
        unsafe { event::set_state(self.object, true, "a thread's end") };
        object::dereference(self.object.addr());
    }
}

fn delete(address: usize) {
    let object = std::ptr::with_exposed_provenance_mut::<ThreadObject>(address);
    // SAFETY: made from a box by `PsCreateSystemThread`; the last reference is gone.
    drop(unsafe { Box::from_raw(object) });
}

/// `PsCreateSystemThread`.
///
/// # Safety
/// `handle` is writable; `routine` may be called with `context` on another thread.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn PsCreateSystemThread(
    handle: *mut HANDLE,
    _access: u32,
    _attributes: *mut OBJECT_ATTRIBUTES,
    _process: HANDLE,
    _client_id: *mut c_void,
    routine: PKSTART_ROUTINE,
    context: *mut c_void,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "PsCreateSystemThread");
    if pool::fails_now() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let object = Box::into_raw(Box::new(ThreadObject::zeroed())).cast::<DISPATCHER_HEADER>();
    // SAFETY: fresh memory of a header's size.
    unsafe { event::initialize(object, event::THREAD, false) };
    // The first reference is the running thread's.
    object::register(object.expose_provenance(), delete);
    let opened = object::open_handle(object.addr());
    // SAFETY: as promised by the caller.
    unsafe { handle.write(opened) };
    let start = Start { routine, context, object };
    host::spawn("system thread", move || start.run());
    STATUS_SUCCESS
}
