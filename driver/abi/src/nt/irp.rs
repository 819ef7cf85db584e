//! I/O request packets (`wdm.h`, *Handling IRPs*).

use core::ffi::c_void;

use super::{
    CSHORT, DEVICE_OBJECT, FILE_OBJECT, IO_STACK_LOCATION, IO_STATUS_BLOCK, KIRQL, KPROCESSOR_MODE,
    LARGE_INTEGER, LIST_ENTRY, MDL, PETHREAD, PIO_STATUS_BLOCK, PKEVENT,
};
use crate::layout;

/// Runs when an IRP with this routine is cancelled (`DRIVER_CANCEL`, `wdm.h`).
///
/// `DISPATCH_LEVEL`, holding the system's cancel spin lock, which the routine must release with `Irp.CancelIrql`.
pub type PDRIVER_CANCEL = unsafe extern "system" fn(DeviceObject: *mut DEVICE_OBJECT, Irp: *mut IRP);

/// Asynchronous procedure call at the end of a request (`IO_APC_ROUTINE`, `wdm.h`). `APC_LEVEL` or below.
pub type PIO_APC_ROUTINE =
    unsafe extern "system" fn(ApcContext: *mut c_void, IoStatusBlock: PIO_STATUS_BLOCK, Reserved: u32);

/// I/O request packet (`wdm.h`); a WSK request is one whose stack location only the completion routine is read from.
///
/// Never copied or moved. From the call of a WSK function until `IofCompleteRequest` it belongs to the provider;
/// after that not even its memory may be touched.
#[repr(C, align(16))]
pub struct IRP {
    /// [`IO_TYPE_IRP`].
    pub Type: CSHORT,
    /// Bytes with all stack locations.
    pub Size: u16,
    pub AllocationProcessorNumber: u16,
    pub Reserved: u16,
    pub MdlAddress: *mut MDL,
    pub Flags: u32,
    pub AssociatedIrp: IRP_ASSOCIATED_IRP,
    /// The I/O manager's.
    pub ThreadListEntry: LIST_ENTRY,
    pub IoStatus: IO_STATUS_BLOCK,
    pub RequestorMode: KPROCESSOR_MODE,
    pub PendingReturned: u8,
    /// Stack locations behind the packet.
    pub StackCount: i8,
    /// `StackCount + 1` while none is in use; counts down.
    pub CurrentLocation: i8,
    pub Cancel: u8,
    pub CancelIrql: KIRQL,
    pub ApcEnvironment: i8,
    pub AllocationFlags: u8,
    pub UserIosb: PIO_STATUS_BLOCK,
    pub UserEvent: PKEVENT,
    pub Overlay: IRP_OVERLAY,
    /// Changed by atomic exchange only: who takes it out owns the completion.
    pub CancelRoutine: Option<PDRIVER_CANCEL>,
    pub UserBuffer: *mut c_void,
    pub Tail: IRP_TAIL,
}
layout!(IRP: 208, 16;
    Type 0x00, Size 0x02, AllocationProcessorNumber 0x04, Reserved 0x06, MdlAddress 0x08, Flags 0x10,
    AssociatedIrp 0x18, ThreadListEntry 0x20, IoStatus 0x30, RequestorMode 0x40, PendingReturned 0x41,
    StackCount 0x42, CurrentLocation 0x43, Cancel 0x44, CancelIrql 0x45, ApcEnvironment 0x46, AllocationFlags 0x47,
    UserIosb 0x48, UserEvent 0x50, Overlay 0x58, CancelRoutine 0x68, UserBuffer 0x70, Tail 0x78);
/// Pointer to [`IRP`].
pub type PIRP = *mut IRP;

/// `IRP.AssociatedIrp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_ASSOCIATED_IRP {
    pub MasterIrp: *mut IRP,
    pub IrpCount: i32,
    /// The one buffer of a [`METHOD_BUFFERED`](super::METHOD_BUFFERED) request.
    pub SystemBuffer: *mut c_void,
}
layout!(IRP_ASSOCIATED_IRP: 8, 8; MasterIrp 0x0, IrpCount 0x0, SystemBuffer 0x0);

/// `IRP.Overlay`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_OVERLAY {
    pub AsynchronousParameters: IRP_OVERLAY_ASYNCHRONOUS_PARAMETERS,
    pub AllocationSize: LARGE_INTEGER,
}
layout!(IRP_OVERLAY: 16, 8; AsynchronousParameters 0x0, AllocationSize 0x0);

/// `IRP.Overlay.AsynchronousParameters`. In C the routine shares its place with `IssuingProcess`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IRP_OVERLAY_ASYNCHRONOUS_PARAMETERS {
    pub UserApcRoutine: Option<PIO_APC_ROUTINE>,
    pub UserApcContext: *mut c_void,
}
layout!(IRP_OVERLAY_ASYNCHRONOUS_PARAMETERS: 16, 8; UserApcRoutine 0x0, UserApcContext 0x8);

/// `IRP.Tail`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union IRP_TAIL {
    pub Overlay: IRP_TAIL_OVERLAY,
    /// A kernel APC object; the I/O manager's.
    pub Apc: [u64; 11],
    pub CompletionKey: *mut c_void,
}
layout!(IRP_TAIL: 88, 8; Overlay 0x0, Apc 0x0, CompletionKey 0x0);

/// `IRP.Tail.Overlay`. In C `DriverContext` shares its place with `DeviceQueueEntry`, and `CurrentStackLocation` with
/// `PacketType`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IRP_TAIL_OVERLAY {
    /// Free for the driver that holds the IRP; the last word is taken by `IO_CSQ`.
    pub DriverContext: [*mut c_void; 4],
    pub Thread: PETHREAD,
    pub AuxiliaryBuffer: *mut i8,
    /// Free for the driver that holds the IRP.
    pub ListEntry: LIST_ENTRY,
    pub CurrentStackLocation: *mut IO_STACK_LOCATION,
    pub OriginalFileObject: *mut FILE_OBJECT,
    /// Absent from older headers; the I/O manager's.
    pub IrpExtension: *mut c_void,
}
layout!(IRP_TAIL_OVERLAY: 88, 8;
    DriverContext 0x00, Thread 0x20, AuxiliaryBuffer 0x28, ListEntry 0x30, CurrentStackLocation 0x40,
    OriginalFileObject 0x48, IrpExtension 0x50);

/// `DeviceQueueEntry` and links of device queues (`KDEVICE_QUEUE_ENTRY`, `wdm.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct KDEVICE_QUEUE_ENTRY {
    pub DeviceListEntry: LIST_ENTRY,
    pub SortKey: u32,
    pub Inserted: u8,
}
layout!(KDEVICE_QUEUE_ENTRY: 24, 8; DeviceListEntry 0x0, SortKey 0x10, Inserted 0x14);

pub const IO_TYPE_DEVICE: CSHORT = 3;
pub const IO_TYPE_DRIVER: CSHORT = 4;
pub const IO_TYPE_FILE: CSHORT = 5;
pub const IO_TYPE_IRP: CSHORT = 6;

/// Priority boost of a completed request without a waiting thread.
pub const IO_NO_INCREMENT: i8 = 0;
/// Priority boost of a completed network request.
pub const IO_NETWORK_INCREMENT: i8 = 2;
/// Priority boost for `KeSetEvent`.
pub const EVENT_INCREMENT: i32 = 1;
