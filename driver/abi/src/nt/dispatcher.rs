//! Things that are waited for, locked or deferred (`wdm.h`): events, semaphores, timers, DPCs, locks, rundown.

use core::ffi::c_void;

use super::{BOOLEAN, KAFFINITY, KIRQL, LIST_ENTRY, PKTHREAD, SINGLE_LIST_ENTRY, ULARGE_INTEGER};
use crate::layout;

/// Head of every object a thread can wait for (`wdm.h`). The first four bytes have other names for other objects.
#[repr(C)]
#[derive(Debug)]
pub struct DISPATCHER_HEADER {
    pub Type: u8,
    pub Signalling: BOOLEAN,
    pub Size: u8,
    pub DebugActive: BOOLEAN,
    /// Non-zero while signalled.
    pub SignalState: i32,
    /// Wait blocks of the threads that wait.
    pub WaitListHead: LIST_ENTRY,
}
layout!(DISPATCHER_HEADER: 24, 8;
    Type 0x0, Signalling 0x1, Size 0x2, DebugActive 0x3, SignalState 0x4, WaitListHead 0x8);

/// Event (`wdm.h`, `KeInitializeEvent`). Resident and unmoved from initialisation to the last wait.
#[repr(C)]
#[derive(Debug)]
pub struct KEVENT {
    pub Header: DISPATCHER_HEADER,
}
layout!(KEVENT: 24, 8; Header 0x0);
/// Pointer to [`KEVENT`].
pub type PKEVENT = *mut KEVENT;

/// Semaphore (`wdm.h`, `KeInitializeSemaphore`).
#[repr(C)]
#[derive(Debug)]
pub struct KSEMAPHORE {
    pub Header: DISPATCHER_HEADER,
    pub Limit: i32,
}
layout!(KSEMAPHORE: 32, 8; Header 0x0, Limit 0x18);

/// Timer (`wdm.h`, `KeInitializeTimerEx`). Unmoved while set; after `KeCancelTimer` its DPC may still be running.
#[repr(C)]
#[derive(Debug)]
pub struct KTIMER {
    pub Header: DISPATCHER_HEADER,
    /// Interrupt time in units of 100 ns.
    pub DueTime: ULARGE_INTEGER,
    pub TimerListEntry: LIST_ENTRY,
    pub Dpc: *mut KDPC,
    /// Processor and, in newer headers, a timer type in the upper half.
    pub Processor: u32,
    /// Milliseconds; zero for a timer that fires once.
    pub Period: u32,
}
layout!(KTIMER: 64, 8;
    Header 0x0, DueTime 0x18, TimerListEntry 0x20, Dpc 0x30, Processor 0x38, Period 0x3C);
/// Pointer to [`KTIMER`].
pub type PKTIMER = *mut KTIMER;

/// What a DPC runs (`KDEFERRED_ROUTINE`, `wdm.h`). Called at `DISPATCH_LEVEL`; it may free or requeue its own DPC.
pub type PKDEFERRED_ROUTINE = unsafe extern "system" fn(
    Dpc: *mut KDPC,
    DeferredContext: *mut c_void,
    SystemArgument1: *mut c_void,
    SystemArgument2: *mut c_void,
);

/// Deferred procedure call (`wdm.h`, `KeInitializeDpc`). Resident and unmoved while queued.
#[repr(C)]
#[derive(Debug)]
pub struct KDPC {
    pub Type: u8,
    pub Importance: u8,
    /// Target processor.
    pub Number: u16,
    pub DpcListEntry: SINGLE_LIST_ENTRY,
    pub ProcessorHistory: KAFFINITY,
    pub DeferredRoutine: Option<PKDEFERRED_ROUTINE>,
    pub DeferredContext: *mut c_void,
    pub SystemArgument1: *mut c_void,
    pub SystemArgument2: *mut c_void,
    /// Null while not queued.
    pub DpcData: *mut c_void,
}
layout!(KDPC: 64, 8;
    Type 0x0, Importance 0x1, Number 0x2, DpcListEntry 0x8, ProcessorHistory 0x10, DeferredRoutine 0x18,
    DeferredContext 0x20, SystemArgument1 0x28, SystemArgument2 0x30, DpcData 0x38);
/// Pointer to [`KDPC`].
pub type PKDPC = *mut KDPC;

/// Place of a DPC in its processor's queue (`KDPC_IMPORTANCE`, `wdm.h`).
pub type KDPC_IMPORTANCE = i32;

pub const LowImportance: KDPC_IMPORTANCE = 0;
pub const MediumImportance: KDPC_IMPORTANCE = 1;
pub const HighImportance: KDPC_IMPORTANCE = 2;
pub const MediumHighImportance: KDPC_IMPORTANCE = 3;

/// Who is released by a set event (`EVENT_TYPE`, `wdm.h`).
pub type EVENT_TYPE = i32;

/// All waiters; stays set until cleared.
pub const NotificationEvent: EVENT_TYPE = 0;
/// One waiter; clears itself.
pub const SynchronizationEvent: EVENT_TYPE = 1;

/// Who is released by a due timer (`TIMER_TYPE`, `wdm.h`).
pub type TIMER_TYPE = i32;

pub const NotificationTimer: TIMER_TYPE = 0;
pub const SynchronizationTimer: TIMER_TYPE = 1;

/// Whether one or all objects must be signalled (`WAIT_TYPE`, `wdm.h`).
pub type WAIT_TYPE = i32;

pub const WaitAll: WAIT_TYPE = 0;
pub const WaitAny: WAIT_TYPE = 1;

/// Why a thread waits; for debuggers (`KWAIT_REASON`, `wdm.h`).
pub type KWAIT_REASON = i32;

pub const Executive: KWAIT_REASON = 0;

/// Objects per wait, with wait blocks of the caller's.
pub const MAXIMUM_WAIT_OBJECTS: usize = 64;
/// Objects per wait, with the thread's own wait blocks.
pub const THREAD_WAIT_OBJECTS: usize = 3;

/// Spin lock (`wdm.h`): a zeroed word when free. Plain and queued use must not be mixed on one lock.
pub type KSPIN_LOCK = usize;
/// Pointer to [`KSPIN_LOCK`].
pub type PKSPIN_LOCK = *mut KSPIN_LOCK;
/// Reader/writer spin lock (`wdm.h`): zeroed when free.
pub type EX_SPIN_LOCK = i32;

/// Waiter of a queued spin lock (`wdm.h`).
#[repr(C)]
#[derive(Debug)]
pub struct KSPIN_LOCK_QUEUE {
    pub Next: *mut KSPIN_LOCK_QUEUE,
    pub Lock: PKSPIN_LOCK,
}
layout!(KSPIN_LOCK_QUEUE: 16, 8; Next 0x0, Lock 0x8);

/// One acquisition of a queued spin lock (`wdm.h`); lives on the acquirer's stack until release, unmoved.
#[repr(C)]
#[derive(Debug)]
pub struct KLOCK_QUEUE_HANDLE {
    pub LockQueue: KSPIN_LOCK_QUEUE,
    pub OldIrql: KIRQL,
}
layout!(KLOCK_QUEUE_HANDLE: 24, 8; LockQueue 0x0, OldIrql 0x10);

/// Mutex whose holder runs at `APC_LEVEL` (`wdm.h`). Its initialiser is inline in C: `Count` 1, no owner, the event a
/// cleared [`SynchronizationEvent`].
#[repr(C)]
#[derive(Debug)]
pub struct FAST_MUTEX {
    /// 1 when free.
    pub Count: i32,
    pub Owner: PKTHREAD,
    pub Contention: u32,
    pub Event: KEVENT,
    pub OldIrql: u32,
}
layout!(FAST_MUTEX: 56, 8; Count 0x0, Owner 0x8, Contention 0x10, Event 0x18, OldIrql 0x30);

/// Rundown protection (`wdm.h`, *Run-Down Protection*): twice the number of holders, bit 0 once rundown has begun.
#[repr(C)]
#[derive(Debug)]
pub struct EX_RUNDOWN_REF {
    pub Count: usize,
}
layout!(EX_RUNDOWN_REF: 8, 8; Count 0x0);
