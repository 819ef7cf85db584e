//! Dispatcher objects, and waiting for them: events, timers, threads.

use std::ffi::c_void;
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::{
    BOOLEAN, DISPATCH_LEVEL, DISPATCHER_HEADER, EVENT_TYPE, KEVENT, KPROCESSOR_MODE, NotificationEvent,
    SynchronizationEvent,
};
use abi::status::STATUS_SUCCESS;

use crate::host::{self, Condvar, Mutex};
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use crate::{processor, sim, stop};

/// `DISPATCHER_HEADER.Type` of the objects that can be waited for, as the kernel numbers them.
pub(crate) const NOTIFICATION_EVENT: u8 = 0;
pub(crate) const SYNCHRONIZATION_EVENT: u8 = 1;
pub(crate) const THREAD: u8 = 6;
pub(crate) const NOTIFICATION_TIMER: u8 = 8;
pub(crate) const SYNCHRONIZATION_TIMER: u8 = 9;

/// Marks an initialised header, in a byte the kernel keeps for itself: freed and zeroed memory does not have it.
const INITIALIZED: u8 = 0xA5;

/// `STATUS_TIMEOUT`: a success code of the wait functions.
const STATUS_TIMEOUT: NTSTATUS = 0x102;

/// Objects are spread over these by address, so that waits for different objects rarely share one.
const SHARDS: usize = 64;

struct Shard {
    /// Guards the `SignalState` of the objects of this shard.
    state: Mutex<()>,
    changed: Condvar,
}

static DISPATCHER: [Shard; SHARDS] =
    [const { Shard { state: Mutex::new(()), changed: Condvar::new() } }; SHARDS];

fn shard(object: *mut DISPATCHER_HEADER) -> &'static Shard {
    let index = (object.addr() >> 4) % SHARDS;
    DISPATCHER.get(index).unwrap_or(&DISPATCHER[0])
}

/// Makes `object` one that can be waited for.
///
/// # Safety
/// `object` is memory of at least a header's size that nobody waits for.
pub(crate) unsafe fn initialize(object: *mut DISPATCHER_HEADER, kind: u8, signaled: bool) {
    let shard = shard(object);
    let _state = host::lock(&shard.state);
    // SAFETY: as promised by the caller; the shard's lock is held.
    let header = unsafe { &mut *object };
    header.Type = kind;
    header.Signalling = INITIALIZED;
    header.Size = 6;
    header.DebugActive = 0;
    header.SignalState = i32::from(signaled);
}

/// Checks that `object` is initialised, and gives access to it.
///
/// # Safety
/// `object` is readable and writable for `'state`, and the lock of its shard is held that long.
unsafe fn header<'state>(object: *mut DISPATCHER_HEADER, routine: &str) -> &'state mut DISPATCHER_HEADER {
    // SAFETY: as promised by the caller.
    let header = unsafe { &mut *object };
    if header.Signalling != INITIALIZED {
        stop!(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            "{routine}: the object at {:#x} is not initialised, or freed",
            object.addr(),
        );
    }
    header
}

/// Sets the state of an object and wakes its waiters; returns the state before.
///
/// # Safety
/// `object` is valid until its waiters are woken.
pub(crate) unsafe fn set_state(object: *mut DISPATCHER_HEADER, signaled: bool, routine: &str) -> i32 {
    let shard = shard(object);
    let _state = host::lock(&shard.state);
    // SAFETY: as promised by the caller; the shard's lock is held.
    let header = unsafe { header(object, routine) };
    let before = std::mem::replace(&mut header.SignalState, i32::from(signaled));
    if signaled {
        shard.changed.notify_about(object.addr());
    }
    before
}

/// Waits until the object is signalled or the time is over; a synchronisation object is taken.
///
/// # Safety
/// `object` is valid during the wait.
unsafe fn wait(object: *mut DISPATCHER_HEADER, timeout: Option<Duration>) -> NTSTATUS {
    let shard = shard(object);
    // A time beyond what the host can count is never reached.
    let deadline = timeout.map(|timeout| host::now().saturating_add(timeout));
    let mut state = host::lock(&shard.state);
    loop {
        // SAFETY: as promised by the caller; the shard's lock is held.
        let header = unsafe { header(object, "KeWaitForSingleObject") };
        if header.SignalState > 0 {
            if matches!(header.Type, SYNCHRONIZATION_EVENT | SYNCHRONIZATION_TIMER) {
                header.SignalState = 0;
            }
            return STATUS_SUCCESS;
        }
        if deadline.is_some_and(|deadline| host::now() >= deadline) {
            return STATUS_TIMEOUT;
        }
        state = host::wait_about(&shard.changed, object.addr(), state, deadline, "a dispatcher object");
    }
}

/// `KeInitializeEvent`.
///
/// # Safety
/// `event` is memory for an event that nobody waits for.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeInitializeEvent(event: *mut KEVENT, kind: EVENT_TYPE, state: BOOLEAN) {
    let kind = if kind == NotificationEvent {
        NOTIFICATION_EVENT
    } else if kind == SynchronizationEvent {
        SYNCHRONIZATION_EVENT
    } else {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "KeInitializeEvent of type {kind}")
    };
    // SAFETY: as promised by the caller; the header comes first.
    unsafe { initialize(event.cast(), kind, state != 0) };
}

/// `KeSetEvent`.
///
/// # Safety
/// `event` is valid until its waiters are woken.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeSetEvent(event: *mut KEVENT, _increment: i32, wait: BOOLEAN) -> i32 {
    processor::require_at_most(DISPATCH_LEVEL, "KeSetEvent");
    if wait != 0 {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "KeSetEvent with Wait: not simulated");
    }
    // SAFETY: as promised by the caller; the header comes first.
    let before = unsafe { set_state(event.cast(), true, "KeSetEvent") };
    sim::point("KeSetEvent");
    before
}

/// `KeClearEvent`.
///
/// # Safety
/// `event` is valid.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeClearEvent(event: *mut KEVENT) {
    processor::require_at_most(DISPATCH_LEVEL, "KeClearEvent");
    // SAFETY: as promised by the caller; the header comes first.
    unsafe { set_state(event.cast(), false, "KeClearEvent") };
}

/// `KeWaitForSingleObject`.
///
/// # Safety
/// `object` is a dispatcher object that stays valid during the wait; `due` is null or readable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeWaitForSingleObject(
    object: *mut c_void,
    _reason: i32,
    _mode: KPROCESSOR_MODE,
    _alertable: BOOLEAN,
    due: *const i64,
) -> NTSTATUS {
    // SAFETY: as promised by the caller.
    let due = unsafe { due.as_ref() }.copied();
    if due == Some(0) {
        processor::require_at_most(DISPATCH_LEVEL, "KeWaitForSingleObject without waiting");
    } else {
        processor::require_may_wait("KeWaitForSingleObject");
    }
    let timeout = due.map(|due| {
        if due > 0 {
            stop!(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                "KeWaitForSingleObject with an absolute time: not simulated"
            );
        }
        // Units of 100 ns.
        Duration::from_nanos(due.unsigned_abs().saturating_mul(100))
    });
    // SAFETY: as promised by the caller; the header comes first.
    unsafe { wait(object.cast(), timeout) }
}
