//! The driver's account of IRPs. One test, because the account counts the whole process.

extern crate ksim as _;
extern crate wskrdma_irp as irp;

use core::ffi::c_void;
use core::ptr;

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::STATUS_MORE_PROCESSING_REQUIRED;
use irp::{Outcome, account};
use kernel::irp::{InvokeOn, OwnedIrp};

/// # Safety
/// Called by the completion of a client's IRP.
unsafe extern "system" fn keep(_: *mut DEVICE_OBJECT, _: *mut IRP, _: *mut c_void) -> NTSTATUS {
    assert_eq!(account().outstanding(), 0, "given back before the routine runs");
    STATUS_MORE_PROCESSING_REQUIRED
}

#[test]
fn an_irp_is_outstanding_from_entry_to_completion() {
    account().assert_idle();
    let client = OwnedIrp::try_new(1).unwrap();
    // SAFETY: a fresh IRP; the routine needs no context.
    unsafe { kernel::irp::set_completion_routine(client.as_ptr(), keep, ptr::null_mut(), InvokeOn::ALL) };
    // SAFETY: a fresh IRP, entered once.
    let owned = unsafe { irp::enter(client.as_ptr()) }.unwrap();
    assert_eq!((account().entered(), account().completed(), account().outstanding()), (1, 0, 1));
    let idle = std::panic::catch_unwind(|| account().assert_idle());
    assert!(idle.is_err(), "unloading with an IRP outstanding stops the machine");
    owned.complete(Outcome::success(0));
    assert_eq!((account().entered(), account().completed(), account().cancelled()), (1, 1, 0));
    account().assert_idle();
}
