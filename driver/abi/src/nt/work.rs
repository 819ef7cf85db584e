//! Work items and system threads (`wdm.h`, *System Worker Threads*).

use core::ffi::c_void;

use super::{DEVICE_OBJECT, LIST_ENTRY};
use crate::layout;

/// What an executive work item runs (`WORKER_THREAD_ROUTINE`, `wdm.h`). `PASSIVE_LEVEL`.
pub type PWORKER_THREAD_ROUTINE = unsafe extern "system" fn(Parameter: *mut c_void);

/// What `IoQueueWorkItem` runs (`IO_WORKITEM_ROUTINE`, `wdm.h`). `PASSIVE_LEVEL`; the device object is held meanwhile.
pub type PIO_WORKITEM_ROUTINE =
    unsafe extern "system" fn(DeviceObject: *mut DEVICE_OBJECT, Context: *mut c_void);

/// What `IoQueueWorkItemEx` runs (`IO_WORKITEM_ROUTINE_EX`, `wdm.h`). `PASSIVE_LEVEL`.
pub type PIO_WORKITEM_ROUTINE_EX =
    unsafe extern "system" fn(IoObject: *mut c_void, Context: *mut c_void, IoWorkItem: PIO_WORKITEM);

/// Body of a system thread (`KSTART_ROUTINE`, `wdm.h`). Starts at `PASSIVE_LEVEL`.
pub type PKSTART_ROUTINE = unsafe extern "system" fn(StartContext: *mut c_void);

/// Work item of the I/O manager; only ever behind a pointer (`wdm.h`).
#[repr(C)]
#[derive(Debug)]
pub struct IO_WORKITEM {
    Opaque: [u8; 0],
}
/// Pointer to [`IO_WORKITEM`].
pub type PIO_WORKITEM = *mut IO_WORKITEM;

/// Work item of the executive (`wdm.h`). `List.Flink` is null while it is not queued.
#[repr(C)]
#[derive(Debug)]
pub struct WORK_QUEUE_ITEM {
    pub List: LIST_ENTRY,
    pub WorkerRoutine: Option<PWORKER_THREAD_ROUTINE>,
    pub Parameter: *mut c_void,
}
layout!(WORK_QUEUE_ITEM: 32, 8; List 0x0, WorkerRoutine 0x10, Parameter 0x18);

/// Which worker threads run an item (`WORK_QUEUE_TYPE`, `wdm.h`).
pub type WORK_QUEUE_TYPE = i32;

pub const CriticalWorkQueue: WORK_QUEUE_TYPE = 0;
pub const DelayedWorkQueue: WORK_QUEUE_TYPE = 1;
pub const HyperCriticalWorkQueue: WORK_QUEUE_TYPE = 2;
pub const NormalWorkQueue: WORK_QUEUE_TYPE = 3;
pub const BackgroundWorkQueue: WORK_QUEUE_TYPE = 4;
pub const RealTimeWorkQueue: WORK_QUEUE_TYPE = 5;
pub const SuperCriticalWorkQueue: WORK_QUEUE_TYPE = 6;
pub const MaximumWorkQueue: WORK_QUEUE_TYPE = 7;
pub const CustomPriorityWorkQueue: WORK_QUEUE_TYPE = 32;
