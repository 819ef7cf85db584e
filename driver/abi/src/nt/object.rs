//! Driver and device objects (`wdm.h`).

use core::ffi::c_void;

use bitflags::bitflags;

use super::{
    CSHORT, IRP, IRP_MJ_MAXIMUM_FUNCTION, KDEVICE_QUEUE_ENTRY, KDPC, KEVENT, KSPIN_LOCK, LIST_ENTRY,
    PSECURITY_DESCRIPTOR, PUNICODE_STRING, UNICODE_STRING,
};
use crate::{NTSTATUS, layout};

/// Entry point of a driver (`DRIVER_INITIALIZE`, `wdm.h`). `PASSIVE_LEVEL`; the path is gone when it returns.
pub type PDRIVER_INITIALIZE =
    unsafe extern "system" fn(DriverObject: *mut DRIVER_OBJECT, RegistryPath: PUNICODE_STRING) -> NTSTATUS;

/// Called before the image is unmapped (`DRIVER_UNLOAD`, `wdm.h`). `PASSIVE_LEVEL`.
pub type PDRIVER_UNLOAD = unsafe extern "system" fn(DriverObject: *mut DRIVER_OBJECT);

/// Handles one kind of IRP (`DRIVER_DISPATCH`, `wdm.h`).
pub type PDRIVER_DISPATCH =
    unsafe extern "system" fn(DeviceObject: *mut DEVICE_OBJECT, Irp: *mut IRP) -> NTSTATUS;

/// Starts the next queued IRP (`DRIVER_STARTIO`, `wdm.h`). `DISPATCH_LEVEL`.
pub type PDRIVER_STARTIO = unsafe extern "system" fn(DeviceObject: *mut DEVICE_OBJECT, Irp: *mut IRP);

/// Called for each new device of a PnP driver (`DRIVER_ADD_DEVICE`, `wdm.h`). `PASSIVE_LEVEL`.
pub type PDRIVER_ADD_DEVICE = unsafe extern "system" fn(
    DriverObject: *mut DRIVER_OBJECT,
    PhysicalDeviceObject: *mut DEVICE_OBJECT,
) -> NTSTATUS;

/// A loaded driver (`wdm.h`); the I/O manager's, given to `DriverEntry`.
#[repr(C)]
#[derive(Debug)]
pub struct DRIVER_OBJECT {
    /// [`IO_TYPE_DRIVER`](super::IO_TYPE_DRIVER).
    pub Type: CSHORT,
    pub Size: CSHORT,
    /// First of the driver's devices.
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Flags: u32,
    /// Base address of the image.
    pub DriverStart: *mut c_void,
    /// Bytes of the image.
    pub DriverSize: u32,
    pub DriverSection: *mut c_void,
    pub DriverExtension: *mut DRIVER_EXTENSION,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: PUNICODE_STRING,
    pub FastIoDispatch: *mut c_void,
    pub DriverInit: Option<PDRIVER_INITIALIZE>,
    pub DriverStartIo: Option<PDRIVER_STARTIO>,
    pub DriverUnload: Option<PDRIVER_UNLOAD>,
    /// One routine per `IRP_MJ_*`.
    pub MajorFunction: [Option<PDRIVER_DISPATCH>; IRP_MJ_MAXIMUM_FUNCTION as usize + 1],
}
layout!(DRIVER_OBJECT: 336, 8;
    Type 0x00, Size 0x02, DeviceObject 0x08, Flags 0x10, DriverStart 0x18, DriverSize 0x20, DriverSection 0x28,
    DriverExtension 0x30, DriverName 0x38, HardwareDatabase 0x48, FastIoDispatch 0x50, DriverInit 0x58,
    DriverStartIo 0x60, DriverUnload 0x68, MajorFunction 0x70);
/// Pointer to [`DRIVER_OBJECT`].
pub type PDRIVER_OBJECT = *mut DRIVER_OBJECT;

/// The published part of a driver's extension (`wdm.h`).
#[repr(C)]
#[derive(Debug)]
pub struct DRIVER_EXTENSION {
    pub DriverObject: *mut DRIVER_OBJECT,
    pub AddDevice: Option<PDRIVER_ADD_DEVICE>,
    pub Count: u32,
    pub ServiceKeyName: UNICODE_STRING,
}
layout!(DRIVER_EXTENSION: 40, 8; DriverObject 0x0, AddDevice 0x8, Count 0x10, ServiceKeyName 0x18);

/// A device (`wdm.h`). The driver that made it may read `DeviceExtension` and change `Flags`; the rest is the I/O manager's.
#[repr(C, align(16))]
pub struct DEVICE_OBJECT {
    /// [`IO_TYPE_DEVICE`](super::IO_TYPE_DEVICE).
    pub Type: CSHORT,
    pub Size: u16,
    pub ReferenceCount: i32,
    pub DriverObject: *mut DRIVER_OBJECT,
    pub NextDevice: *mut DEVICE_OBJECT,
    pub AttachedDevice: *mut DEVICE_OBJECT,
    pub CurrentIrp: *mut IRP,
    pub Timer: *mut c_void,
    /// `DO_*`.
    pub Flags: u32,
    /// `FILE_DEVICE_SECURE_OPEN` and its kin.
    pub Characteristics: u32,
    pub Vpb: *mut c_void,
    pub DeviceExtension: *mut c_void,
    /// `FILE_DEVICE_*`.
    pub DeviceType: u32,
    /// Stack locations an IRP for this device needs.
    pub StackSize: i8,
    pub Queue: DEVICE_OBJECT_QUEUE,
    pub AlignmentRequirement: u32,
    pub DeviceQueue: KDEVICE_QUEUE,
    pub Dpc: KDPC,
    pub ActiveThreadCount: u32,
    pub SecurityDescriptor: PSECURITY_DESCRIPTOR,
    pub DeviceLock: KEVENT,
    pub SectorSize: u16,
    pub Spare1: u16,
    pub DeviceObjectExtension: *mut c_void,
    pub Reserved: *mut c_void,
}
layout!(DEVICE_OBJECT: 336, 16;
    Type 0x00, Size 0x02, ReferenceCount 0x04, DriverObject 0x08, NextDevice 0x10, AttachedDevice 0x18,
    CurrentIrp 0x20, Timer 0x28, Flags 0x30, Characteristics 0x34, Vpb 0x38, DeviceExtension 0x40, DeviceType 0x48,
    StackSize 0x4C, Queue 0x50, AlignmentRequirement 0x98, DeviceQueue 0xA0, Dpc 0xC8, ActiveThreadCount 0x108,
    SecurityDescriptor 0x110, DeviceLock 0x118, SectorSize 0x130, Spare1 0x132, DeviceObjectExtension 0x138,
    Reserved 0x140);
/// Pointer to [`DEVICE_OBJECT`].
pub type PDEVICE_OBJECT = *mut DEVICE_OBJECT;

/// `DEVICE_OBJECT.Queue`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union DEVICE_OBJECT_QUEUE {
    pub ListEntry: LIST_ENTRY,
    pub Wcb: WAIT_CONTEXT_BLOCK,
}
layout!(DEVICE_OBJECT_QUEUE: 72, 8; ListEntry 0x0, Wcb 0x0);

/// A wait for DMA resources (`wdm.h`); the I/O manager's.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WAIT_CONTEXT_BLOCK {
    pub WaitQueueEntry: KDEVICE_QUEUE_ENTRY,
    pub DeviceRoutine: *mut c_void,
    pub DeviceContext: *mut c_void,
    pub NumberOfMapRegisters: u32,
    pub DeviceObject: *mut c_void,
    pub CurrentIrp: *mut c_void,
    pub BufferChainingDpc: *mut KDPC,
}
layout!(WAIT_CONTEXT_BLOCK: 72, 8;
    WaitQueueEntry 0x0, DeviceRoutine 0x18, DeviceContext 0x20, NumberOfMapRegisters 0x28, DeviceObject 0x30,
    CurrentIrp 0x38, BufferChainingDpc 0x40);

/// Queue of IRPs of a device (`wdm.h`); the I/O manager's.
#[repr(C)]
#[derive(Debug)]
pub struct KDEVICE_QUEUE {
    pub Type: CSHORT,
    pub Size: CSHORT,
    pub DeviceListHead: LIST_ENTRY,
    pub Lock: KSPIN_LOCK,
    /// On x64 the upper 56 bits are a hint.
    pub Busy: u64,
}
layout!(KDEVICE_QUEUE: 40, 8; Type 0x0, Size 0x2, DeviceListHead 0x8, Lock 0x18, Busy 0x20);

pub const DO_VERIFY_VOLUME: u32 = 0x0000_0002;
pub const DO_BUFFERED_IO: u32 = 0x0000_0004;
pub const DO_EXCLUSIVE: u32 = 0x0000_0008;
pub const DO_DIRECT_IO: u32 = 0x0000_0010;
pub const DO_DEVICE_HAS_NAME: u32 = 0x0000_0040;
pub const DO_DEVICE_INITIALIZING: u32 = 0x0000_0080;
pub const DO_SHUTDOWN_REGISTERED: u32 = 0x0000_0800;
pub const DO_POWER_PAGABLE: u32 = 0x0000_2000;

bitflags! {
    /// `DEVICE_OBJECT.Flags` (`wdm.h`): those a control device meets; others may be set.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DO_FLAGS: u32 {
        const VERIFY_VOLUME = DO_VERIFY_VOLUME;
        const BUFFERED_IO = DO_BUFFERED_IO;
        const EXCLUSIVE = DO_EXCLUSIVE;
        const DIRECT_IO = DO_DIRECT_IO;
        const DEVICE_HAS_NAME = DO_DEVICE_HAS_NAME;
        /// Opens fail while it is set.
        const DEVICE_INITIALIZING = DO_DEVICE_INITIALIZING;
        const SHUTDOWN_REGISTERED = DO_SHUTDOWN_REGISTERED;
        const POWER_PAGABLE = DO_POWER_PAGABLE;
    }
}

/// Device characteristic: the device's security descriptor guards names below it too.
pub const FILE_DEVICE_SECURE_OPEN: u32 = 0x0000_0100;
/// Device characteristic: the name was made up by the I/O manager.
pub const FILE_AUTOGENERATED_DEVICE_NAME: u32 = 0x0000_0080;
