use super::Call;
use crate::pool::{PoolTag, Shared};
use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::{STATUS_PENDING, STATUS_SUCCESS, STATUS_UNSUCCESSFUL};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Mutex;
use std::vec::Vec;

struct Owner {
    call: Call<Owner>,
    ends: Mutex<Vec<NTSTATUS>>,
    /// The IRP of the call that the first continuation makes.
    second: AtomicPtr<IRP>,
}

impl Owner {
    fn new() -> Shared<Self> {
        let (ends, second) = (Mutex::new(Vec::new()), AtomicPtr::new(ptr::null_mut()));
        let owner =
            Shared::try_new(PoolTag::new(b"Test"), Self { call: Call::new(went_on), ends, second }).unwrap();
        owner.call.prepare().unwrap();
        owner
    }

    fn ends(&self) -> Vec<NTSTATUS> {
        self.ends.lock().unwrap().clone()
    }
}

/// Makes another call at once after the first, and leaves it outstanding.
fn went_on(owner: Shared<Owner>, status: NTSTATUS, _information: usize) {
    let first = {
        let mut ends = owner.ends.lock().unwrap();
        ends.push(status);
        ends.len() == 1
    };
    if first {
        let keep = |irp| {
            owner.second.store(irp, Ordering::Relaxed);
            STATUS_PENDING
        };
        // SAFETY: prepared; the first call is over.
        unsafe { owner.call.start(&owner, keep) };
    }
}

fn complete(irp: *mut IRP, status: NTSTATUS) {
    // SAFETY: handed over with a location left.
    unsafe { crate::irp::set_next_irp_stack_location(irp) };
    // SAFETY: held, without a cancel routine, and not touched again.
    unsafe { crate::irp::complete(irp, status, 0, 0) };
}

/// A function that ends its request before it returns, and says so, while the continuation has made the next call: that
/// one has not ended.
#[test]
fn the_next_call_is_made_before_the_function_has_returned() {
    for status in [STATUS_SUCCESS, STATUS_UNSUCCESSFUL] {
        let owner = Owner::new();
        let end_at_once = |irp| {
            complete(irp, status);
            status
        };
        // SAFETY: prepared, and nothing is outstanding.
        unsafe { owner.call.start(&owner, end_at_once) };
        assert_eq!(owner.ends(), [status]);
        complete(owner.second.load(Ordering::Relaxed), STATUS_SUCCESS);
        assert_eq!(owner.ends(), [status, STATUS_SUCCESS]);
    }
}
