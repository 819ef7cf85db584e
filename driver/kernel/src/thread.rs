//! System threads (`PsCreateSystemThread`).

use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::{self, NonNull};

use abi::NTSTATUS;
use abi::nt::{KernelMode, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES};
use abi::status::nt_success;

use crate::bugcheck::{DRIVER_VIOLATION, IRQL_TOO_HIGH, THREAD_WITHOUT_OBJECT, bugcheck};
use crate::event::wait_for_object;
use crate::gate::Routine;
use crate::pool::{PoolBox, PoolTag};
use crate::{invariant, irql, raw};

/// `SYNCHRONIZE` (`wdm.h`): the right to wait.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// A thread of this driver, running one routine at PASSIVE_LEVEL until it returns.
///
/// Dropping it waits until the thread has ended (PASSIVE_LEVEL, not on the thread itself), so the routine must have been
/// told to return.
#[derive(Debug)]
pub struct Thread {
    object: NonNull<c_void>,
}

// SAFETY: a thread object may be waited for and released from any thread.
unsafe impl Send for Thread {}
// SAFETY: `&Thread` gives no access to the object.
unsafe impl Sync for Thread {}

/// A number for the present thread: the same inside one thread, different between threads that live at the same time.
/// Any IRQL.
#[must_use]
pub fn current_id() -> usize {
    raw::current_thread()
}

/// What a new thread is to do; its own once it runs.
struct Start {
    routine: Routine,
    context: *mut c_void,
}

impl Thread {
    /// Starts a thread that calls `routine(context)`. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`, or the status of `PsCreateSystemThread`; the routine is then never called.
    ///
    /// # Safety
    /// `routine` may be called with `context` on another thread until the drop of the `Thread` has returned.
    pub unsafe fn spawn(tag: PoolTag, routine: Routine, context: *mut c_void) -> Result<Self, NTSTATUS> {
        let start = PoolBox::try_new(tag, Start { routine, context })?.into_raw();
        let mut attributes = OBJECT_ATTRIBUTES {
            // Lossless: 48.
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: ptr::null_mut(),
            ObjectName: ptr::null_mut(),
            Attributes: OBJ_KERNEL_HANDLE,
            SecurityDescriptor: ptr::null_mut(),
            SecurityQualityOfService: ptr::null_mut(),
        };
        let mut handle = ptr::null_mut();
        let (out, attributes, context) = (&raw mut handle, &raw mut attributes, start.cast());
        // SAFETY: `entry` takes the box it is given, once, if the thread is made.
        let status = unsafe { raw::create_system_thread(out, attributes, entry, context) };
        if !nt_success(status) {
            // SAFETY: there is no thread, so the box is still this call's.
            drop(unsafe { PoolBox::from_raw(start) });
            return Err(status);
        }
        let mut object = ptr::null_mut();
        let (out, information) = (&raw mut object, ptr::null_mut());
        // SAFETY: the handle is a thread's, just made; a null type means any.
        let status = unsafe {
            raw::ObReferenceObjectByHandle(handle, SYNCHRONIZE, ptr::null_mut(), KernelMode, out, information)
        };
        // A handle of this driver's own making, with full access, gives its object: anything else would leave a thread
        // nobody can wait for.
        let referenced = if nt_success(status) { NonNull::new(object) } else { None };
        let Some(object) = referenced else {
            bugcheck(DRIVER_VIOLATION, THREAD_WITHOUT_OBJECT, status.cast_unsigned() as usize, 0, 0);
        };
        // SAFETY: closed once; the object reference stays.
        unsafe { raw::ZwClose(handle) };
        Ok(Self { object })
    }

    /// Waits until the thread has ended. PASSIVE_LEVEL, not on the thread itself.
    pub fn join(self) {
        drop(self);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let level = irql::current();
        invariant!(level == irql::PASSIVE_LEVEL, IRQL_TOO_HIGH, usize::from(level));
        // SAFETY: this handle's reference keeps the thread object, which is set when the thread has ended.
        let ended = unsafe { wait_for_object(self.object.as_ptr(), None) };
        debug_assert!(ended, "a wait without a timeout ends only by the thread");
        // SAFETY: the reference is this handle's, given up once.
        unsafe { raw::dereference(self.object.as_ptr()) };
    }
}

/// `KSTART_ROUTINE` of every thread made here.
unsafe extern "system" fn entry(context: *mut c_void) {
    // SAFETY: `spawn` gives each thread a box of its own.
    let start = unsafe { PoolBox::<Start>::from_raw(context.cast()) };
    let Start { routine, context } = *start;
    drop(start);
    // SAFETY: whoever spawned the thread promised that the routine may be called with the context.
    unsafe { routine(context) };
    // Returning from here ends the thread (`PsTerminateSystemThread`).
}

#[cfg(test)]
mod tests;
