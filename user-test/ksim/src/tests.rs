//! Each rule of the simulation has a test that breaks it and is caught.

mod io_manager;
mod later;
mod memory;
mod nmr;
mod verifier;
mod waiting;

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, IO_WORKITEM, IRP, KDPC, KEVENT, KTIMER, MDL, PIO_WORKITEM_ROUTINE, PKDEFERRED_ROUTINE,
    UNICODE_STRING,
};

use crate::stop::BugCheck;

// The routines as a driver calls them: by name.
unsafe extern "C-unwind" {
    fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    fn ExAllocatePoolWithTag(pool_type: i32, bytes: usize, tag: u32) -> *mut c_void;
    fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    fn IoAllocateIrp(stack_size: i8, charge_quota: u8) -> *mut IRP;
    fn IoAllocateMdl(address: *mut c_void, length: u32, secondary: u8, quota: u8, irp: *mut IRP) -> *mut MDL;
    fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT) -> *mut IO_WORKITEM;
    fn IoBuildPartialMdl(source: *mut MDL, target: *mut MDL, address: *mut c_void, length: u32);
    fn IoCancelIrp(irp: *mut IRP) -> u8;
    fn IoFreeIrp(irp: *mut IRP);
    fn IoFreeMdl(mdl: *mut MDL);
    fn IoFreeWorkItem(item: *mut IO_WORKITEM);
    fn IoInitializeIrp(irp: *mut IRP, packet_size: u16, stack_size: i8);
    fn IoQueueWorkItem(
        item: *mut IO_WORKITEM,
        routine: PIO_WORKITEM_ROUTINE,
        queue: i32,
        context: *mut c_void,
    );
    fn IoReleaseCancelSpinLock(irql: u8);
    fn IoReuseIrp(irp: *mut IRP, status: NTSTATUS);
    fn IofCompleteRequest(irp: *mut IRP, boost: i8);
    fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
    fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> !;
    fn KeCancelTimer(timer: *mut KTIMER) -> u8;
    fn KeFlushQueuedDpcs();
    fn KeInitializeDpc(dpc: *mut KDPC, routine: PKDEFERRED_ROUTINE, context: *mut c_void);
    fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8);
    fn KeInitializeTimerEx(timer: *mut KTIMER, kind: i32);
    fn KeInsertQueueDpc(dpc: *mut KDPC, argument1: *mut c_void, argument2: *mut c_void) -> u8;
    fn KeLowerIrql(new: u8);
    fn KeReleaseSpinLock(lock: *mut usize, new: u8);
    fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    fn KeSetTimerEx(timer: *mut KTIMER, due: i64, period_ms: i32, dpc: *mut KDPC) -> u8;
    fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        due: *const i64,
    ) -> NTSTATUS;
    fn KfRaiseIrql(new: u8) -> u8;
    fn MmBuildMdlForNonPagedPool(mdl: *mut MDL);
    fn MmGetSystemRoutineAddress(name: *mut UNICODE_STRING) -> *mut c_void;
    fn MmMapLockedPagesSpecifyCache(
        mdl: *mut MDL,
        mode: i8,
        cache: i32,
        address: *mut c_void,
        bug_check: u32,
        priority: u32,
    ) -> *mut c_void;
    fn ObfDereferenceObject(object: *mut c_void) -> isize;
    fn ObfReferenceObject(object: *mut c_void) -> isize;
}

/// Runs code that breaks a rule, and checks what it stops with.
#[track_caller]
fn assert_stops(check: BugCheck, code: impl FnOnce() + Send) {
    let stop = crate::stops(code);
    assert!(stop.as_ref().is_some_and(|stop| stop.is(check)), "wanted {}, got {stop:?}", check.name);
}

/// Breaks a rule in a process of its own, for what cannot be undone or ends the process, and checks what it stops with.
///
/// `test` is the name of the calling test, which runs again in the new process.
#[track_caller]
fn in_child(test: &str, check: BugCheck, code: impl FnOnce()) {
    const CHILD: &str = "KSIM_CHILD";
    if std::env::var_os(CHILD).is_some() {
        code();
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args([test, "--nocapture", "--test-threads=1"]).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let wanted = format!("*** STOP {:#x} {}:", check.code, check.name);
    assert!(!output.status.success() && text.contains(&wanted), "wanted {wanted} got {text}");
}

/// Raises this thread's processor; the test's thread or process ends there, or it lowers again.
fn raise(level: u8) -> u8 {
    // SAFETY: no precondition that the simulation would not check.
    unsafe { KfRaiseIrql(level) }
}

fn lower(level: u8) {
    // SAFETY: no precondition that the simulation would not check.
    unsafe { KeLowerIrql(level) };
}

#[test]
fn the_drivers_own_bug_checks_are_named() {
    // SAFETY: any parameters.
    assert_stops(crate::stop::DRIVER_VIOLATION, || unsafe { KeBugCheckEx(0x121, 1, 2, 3, 4) });
    // SAFETY: any parameters.
    let stop = crate::stops(|| unsafe { KeBugCheckEx(0xBEEF, 1, 2, 3, 4) });
    assert!(stop.is_some_and(|stop| stop.text.contains("0xbeef") && stop.text.contains("0x4")));
}

#[test]
fn code_that_breaks_nothing_does_not_stop() {
    assert_eq!(crate::stops(|| lower(raise(2))), None);
}
