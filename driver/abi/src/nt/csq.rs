//! Cancel-safe IRP queues (`wdm.h`, *Cancel-Safe IRP Queues*). All callbacks run at `DISPATCH_LEVEL` or below.

use core::ffi::c_void;

use super::{IRP, KIRQL};
use crate::{NTSTATUS, layout};

/// Links an IRP; the queue's lock is held (`IO_CSQ_INSERT_IRP`).
pub type PIO_CSQ_INSERT_IRP = unsafe extern "system" fn(Csq: *mut IO_CSQ, Irp: *mut IRP);
/// Links an IRP unless it refuses; the queue's lock is held (`IO_CSQ_INSERT_IRP_EX`).
pub type PIO_CSQ_INSERT_IRP_EX =
    unsafe extern "system" fn(Csq: *mut IO_CSQ, Irp: *mut IRP, InsertContext: *mut c_void) -> NTSTATUS;
/// Unlinks an IRP; the queue's lock is held (`IO_CSQ_REMOVE_IRP`).
pub type PIO_CSQ_REMOVE_IRP = unsafe extern "system" fn(Csq: *mut IO_CSQ, Irp: *mut IRP);
/// The IRP after this one (null: the first) that fits the context, or null; the queue's lock is held
/// (`IO_CSQ_PEEK_NEXT_IRP`).
pub type PIO_CSQ_PEEK_NEXT_IRP =
    unsafe extern "system" fn(Csq: *mut IO_CSQ, Irp: *mut IRP, PeekContext: *mut c_void) -> *mut IRP;
/// Takes the queue's lock (`IO_CSQ_ACQUIRE_LOCK`).
pub type PIO_CSQ_ACQUIRE_LOCK = unsafe extern "system" fn(Csq: *mut IO_CSQ, Irql: *mut KIRQL);
/// Releases the queue's lock (`IO_CSQ_RELEASE_LOCK`).
pub type PIO_CSQ_RELEASE_LOCK = unsafe extern "system" fn(Csq: *mut IO_CSQ, Irql: KIRQL);
/// Completes an IRP that was cancelled and is out of the queue; no lock is held (`IO_CSQ_COMPLETE_CANCELED_IRP`).
pub type PIO_CSQ_COMPLETE_CANCELED_IRP = unsafe extern "system" fn(Csq: *mut IO_CSQ, Irp: *mut IRP);

pub const IO_TYPE_CSQ_IRP_CONTEXT: u32 = 1;
pub const IO_TYPE_CSQ: u32 = 2;
pub const IO_TYPE_CSQ_EX: u32 = 3;

/// The queue (`wdm.h`); filled by `IoCsqInitialize` or `IoCsqInitializeEx`, resident and unmoved while in use.
#[repr(C)]
#[derive(Debug)]
pub struct IO_CSQ {
    /// [`IO_TYPE_CSQ`], or [`IO_TYPE_CSQ_EX`]: then `CsqInsertIrp` is a [`PIO_CSQ_INSERT_IRP_EX`].
    pub Type: u32,
    pub CsqInsertIrp: Option<PIO_CSQ_INSERT_IRP>,
    pub CsqRemoveIrp: Option<PIO_CSQ_REMOVE_IRP>,
    pub CsqPeekNextIrp: Option<PIO_CSQ_PEEK_NEXT_IRP>,
    pub CsqAcquireLock: Option<PIO_CSQ_ACQUIRE_LOCK>,
    pub CsqReleaseLock: Option<PIO_CSQ_RELEASE_LOCK>,
    pub CsqCompleteCanceledIrp: Option<PIO_CSQ_COMPLETE_CANCELED_IRP>,
    pub ReservePointer: *mut c_void,
}
layout!(IO_CSQ: 64, 8;
    Type 0x0, CsqInsertIrp 0x8, CsqRemoveIrp 0x10, CsqPeekNextIrp 0x18, CsqAcquireLock 0x20, CsqReleaseLock 0x28,
    CsqCompleteCanceledIrp 0x30, ReservePointer 0x38);

/// Handle of one queued IRP (`wdm.h`); the caller's, until the IRP is out of the queue.
#[repr(C)]
#[derive(Debug)]
pub struct IO_CSQ_IRP_CONTEXT {
    /// [`IO_TYPE_CSQ_IRP_CONTEXT`].
    pub Type: u32,
    pub Irp: *mut IRP,
    pub Csq: *mut IO_CSQ,
}
layout!(IO_CSQ_IRP_CONTEXT: 24, 8; Type 0x0, Irp 0x8, Csq 0x10);
