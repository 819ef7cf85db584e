//! Ties the types of `abi::nt` to those that `wdk-sys` makes from the headers at hand.
//!
//! `abi` states layouts in fixed-width integers so that one source also compiles on a host; here, in the Windows
//! build, every statement is held against the header it stands for. Nothing in this file exists at run time.
//!
//! Three differences are allowed, because headers differ among themselves: alignment of IRPs and device objects
//! (older headers ask for less than the 16 bytes the kernel gives), the padding this causes at the end of a
//! device object, and the last member of an IRP's tail (older headers leave it out).

use core::mem::{align_of, offset_of, size_of};

use abi::nt;

/// Size, alignment and the offset of each field are the same on both sides.
macro_rules! same {
    ($($name:ident { $($($field:ident).+),* $(,)? })*) => {
        $(const _: () = {
            assert!(size_of::<nt::$name>() == size_of::<wdk_sys::$name>(), concat!("size of ", stringify!($name)));
            assert!(
                align_of::<nt::$name>() == align_of::<wdk_sys::$name>(),
                concat!("alignment of ", stringify!($name)),
            );
            $(same_offset!($name: $($field).+ = $($field).+);)*
        };)*
    };
}

/// One offset is the same on both sides; the paths differ where C has anonymous members.
macro_rules! same_offset {
    ($name:ident: $($ours:ident).+ = $($theirs:ident).+) => {
        assert!(
            offset_of!(nt::$name, $($ours).+) == offset_of!(wdk_sys::$name, $($theirs).+),
            concat!("offset of ", stringify!($name), ".", stringify!($($ours).+)),
        );
    };
}

same! {
    GUID { Data1, Data2, Data3, Data4 }
    LUID { LowPart, HighPart }
    LIST_ENTRY { Flink, Blink }
    SINGLE_LIST_ENTRY { Next }
    UNICODE_STRING { Length, MaximumLength, Buffer }
    OBJECT_ATTRIBUTES {
        Length, RootDirectory, ObjectName, Attributes, SecurityDescriptor, SecurityQualityOfService,
    }
    IO_STATUS_BLOCK { Information }
    GROUP_AFFINITY { Mask, Group, Reserved }
    PROCESSOR_NUMBER { Group, Number, Reserved }

    DISPATCHER_HEADER { SignalState, WaitListHead }
    KEVENT { Header }
    KSEMAPHORE { Header, Limit }
    KTIMER { Header, DueTime, TimerListEntry, Dpc, Period }
    KDPC { DpcListEntry, DeferredRoutine, DeferredContext, SystemArgument1, SystemArgument2, DpcData }
    KSPIN_LOCK_QUEUE { Next, Lock }
    KLOCK_QUEUE_HANDLE { LockQueue, OldIrql }
    FAST_MUTEX { Count, Owner, Contention, Event, OldIrql }
    EX_RUNDOWN_REF {}
    KSPIN_LOCK {}
    WORK_QUEUE_ITEM { List, WorkerRoutine, Parameter }
    LOOKASIDE_LIST_EX {}

    MDL { Next, Size, MdlFlags, Process, MappedSystemVa, StartVa, ByteCount, ByteOffset }
    IO_STACK_LOCATION {
        MajorFunction, MinorFunction, Flags, Control, Parameters,
        Parameters.Create.SecurityContext, Parameters.Create.Options, Parameters.Create.FileAttributes,
        Parameters.Create.ShareAccess, Parameters.Create.EaLength,
        Parameters.Read.Length, Parameters.Read.Key, Parameters.Read.ByteOffset,
        Parameters.Write.Length, Parameters.Write.Key, Parameters.Write.ByteOffset,
        Parameters.QueryFile.Length, Parameters.QueryFile.FileInformationClass,
        Parameters.FileSystemControl.OutputBufferLength, Parameters.FileSystemControl.InputBufferLength,
        Parameters.FileSystemControl.FsControlCode, Parameters.FileSystemControl.Type3InputBuffer,
        Parameters.DeviceIoControl.OutputBufferLength, Parameters.DeviceIoControl.InputBufferLength,
        Parameters.DeviceIoControl.IoControlCode, Parameters.DeviceIoControl.Type3InputBuffer,
        Parameters.Others.Argument1, Parameters.Others.Argument2, Parameters.Others.Argument3,
        Parameters.Others.Argument4,
        DeviceObject, FileObject, CompletionRoutine, Context,
    }
    KDEVICE_QUEUE_ENTRY { DeviceListEntry, SortKey, Inserted }
    KDEVICE_QUEUE { Type, Size, DeviceListHead, Lock }
    WAIT_CONTEXT_BLOCK {
        DeviceRoutine, DeviceContext, NumberOfMapRegisters, DeviceObject, CurrentIrp, BufferChainingDpc,
    }
    DRIVER_EXTENSION { DriverObject, AddDevice, Count, ServiceKeyName }
    DRIVER_OBJECT {
        Type, Size, DeviceObject, Flags, DriverStart, DriverSize, DriverSection, DriverExtension, DriverName,
        HardwareDatabase, FastIoDispatch, DriverInit, DriverStartIo, DriverUnload, MajorFunction,
    }
    FILE_OBJECT {
        Type, Size, DeviceObject, Vpb, FsContext, FsContext2, SectionObjectPointer, PrivateCacheMap, FinalStatus,
        RelatedFileObject, LockOperation, DeletePending, ReadAccess, WriteAccess, DeleteAccess, SharedRead,
        SharedWrite, SharedDelete, Flags, FileName, CurrentByteOffset, Waiters, Busy, LastLock, Lock, Event,
        CompletionContext, IrpListLock, IrpList, FileObjectExtension,
    }
    IO_CSQ {
        Type, CsqInsertIrp, CsqRemoveIrp, CsqPeekNextIrp, CsqAcquireLock, CsqReleaseLock, CsqCompleteCanceledIrp,
        ReservePointer,
    }
    IO_CSQ_IRP_CONTEXT { Type, Irp, Csq }
}

/// The fields of one type are at the same offsets; size and alignment are judged beside it.
macro_rules! same_fields {
    ($name:ident { $($($field:ident).+),* $(,)? }) => {
        const _: () = {
            $(same_offset!($name: $($field).+ = $($field).+);)*
        };
    };
}

same_fields! {
    IRP {
        Type, Size, MdlAddress, Flags, AssociatedIrp, AssociatedIrp.MasterIrp, AssociatedIrp.IrpCount,
        AssociatedIrp.SystemBuffer, ThreadListEntry, IoStatus, IoStatus.Information, RequestorMode, PendingReturned,
        StackCount, CurrentLocation, Cancel, CancelIrql, ApcEnvironment, AllocationFlags, UserIosb, UserEvent, Overlay,
        Overlay.AsynchronousParameters.UserApcContext, Overlay.AllocationSize, CancelRoutine, UserBuffer, Tail,
        Tail.Overlay, Tail.Overlay.Thread, Tail.Overlay.AuxiliaryBuffer, Tail.Overlay.OriginalFileObject,
        Tail.CompletionKey,
    }
}
same_fields! {
    DEVICE_OBJECT {
        Type, Size, ReferenceCount, DriverObject, NextDevice, AttachedDevice, CurrentIrp, Timer, Flags, Characteristics,
        Vpb, DeviceExtension, DeviceType, StackSize, Queue, Queue.ListEntry, Queue.Wcb, AlignmentRequirement,
        DeviceQueue, Dpc, ActiveThreadCount, SecurityDescriptor, DeviceLock, SectorSize, Spare1,
        DeviceObjectExtension, Reserved,
    }
}

const _: () = {
    assert!(size_of::<nt::IRP>() == size_of::<wdk_sys::IRP>(), "size of IRP");
    assert!(align_of::<nt::IRP>() >= align_of::<wdk_sys::IRP>(), "alignment of IRP");
    assert!(
        align_of::<nt::DEVICE_OBJECT>() >= align_of::<wdk_sys::DEVICE_OBJECT>(),
        "alignment of DEVICE_OBJECT"
    );
    let device = size_of::<wdk_sys::DEVICE_OBJECT>().next_multiple_of(align_of::<nt::DEVICE_OBJECT>());
    assert!(size_of::<nt::DEVICE_OBJECT>() == device, "size of DEVICE_OBJECT");

    // bindgen numbers anonymous members by their order within the structure around them.
    same_offset!(IO_STATUS_BLOCK: Status = __bindgen_anon_1.Status);
    same_offset!(IRP: IoStatus.Status = IoStatus.__bindgen_anon_1.Status);
    same_offset!(IRP: Tail.Overlay.DriverContext = Tail.Overlay.__bindgen_anon_1.__bindgen_anon_1.DriverContext);
    same_offset!(IRP: Tail.Overlay.ListEntry = Tail.Overlay.__bindgen_anon_2.ListEntry);
    same_offset!(
        IRP: Tail.Overlay.CurrentStackLocation = Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation
    );
};
