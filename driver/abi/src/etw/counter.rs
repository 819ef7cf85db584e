//! Performance counters (the Pcw part of `wdm.h`). **IRQL up to `APC_LEVEL`** for all of it.
//!
//! A counter set either has instances that live as long as the thing they count, whose data are read in place at
//! collect time, or is asked each time through its callback and answers with [`PFN_PCW_ADD_INSTANCE`].

use core::ffi::c_void;

use crate::nt::{BOOLEAN, KEVENT, UNICODE_STRING};
use crate::{NTSTATUS, layout};

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Debug)]
            pub struct $name {
                Opaque: [u8; 0],
            }
        )*
    };
}

opaque! {
    /// A registered counter set (`PCW_REGISTRATION`); only ever behind a pointer.
    PCW_REGISTRATION;
    /// An instance of a counter set (`PCW_INSTANCE`); only ever behind a pointer.
    PCW_INSTANCE;
    /// Where instances are added to during a callback (`PCW_BUFFER`); only ever behind a pointer.
    PCW_BUFFER;
}

/// One counter (`PCW_COUNTER_DESCRIPTOR`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PCW_COUNTER_DESCRIPTOR {
    /// The manifest's number of the counter.
    pub Id: u16,
    /// Which of the instance's [`PCW_DATA`] blocks it is in.
    pub StructIndex: u16,
    /// Bytes from the front of the block.
    pub Offset: u16,
    /// 4 or 8 bytes.
    pub Size: u16,
}

layout!(PCW_COUNTER_DESCRIPTOR: 0x8, 2; Id 0x0, StructIndex 0x2, Offset 0x4, Size 0x6);

/// A block of counter values (`PCW_DATA`). A persistent instance's block stays valid until the instance is closed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PCW_DATA {
    pub Data: *const c_void,
    /// Bytes.
    pub Size: u32,
}

layout!(PCW_DATA: 0x10, 8; Data 0x0, Size 0x8);

/// A consumer added or removed counters (`PCW_COUNTER_INFORMATION`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PCW_COUNTER_INFORMATION {
    /// A bit per counter.
    pub CounterMask: u64,
    /// Name pattern of the instances.
    pub InstanceMask: *const UNICODE_STRING,
}

layout!(PCW_COUNTER_INFORMATION: 0x10, 8; CounterMask 0x0, InstanceMask 0x8);

/// A consumer wants names or values (`PCW_MASK_INFORMATION`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PCW_MASK_INFORMATION {
    /// A bit per counter.
    pub CounterMask: u64,
    /// Name pattern of the instances.
    pub InstanceMask: *const UNICODE_STRING,
    /// One instance, or [`PCW_ANY_INSTANCE_ID`].
    pub InstanceId: u32,
    /// Whether several instances are wanted.
    pub CollectMultiple: BOOLEAN,
    /// Where to add them; valid during the callback.
    pub Buffer: *mut PCW_BUFFER,
    /// Set when the consumer has given up.
    pub CancelEvent: *mut KEVENT,
}

layout!(PCW_MASK_INFORMATION: 0x28, 8;
    CounterMask 0x00, InstanceMask 0x08, InstanceId 0x10, CollectMultiple 0x14, Buffer 0x18, CancelEvent 0x20,
);

/// In [`PCW_MASK_INFORMATION::InstanceId`]: every instance. Identifiers of instances stay below 0xFFFF_FFFE.
pub const PCW_ANY_INSTANCE_ID: u32 = 0xFFFF_FFFF;

/// Why the callback is called (`PCW_CALLBACK_TYPE`).
pub type PCW_CALLBACK_TYPE = i32;

pub const PcwCallbackAddCounter: PCW_CALLBACK_TYPE = 0;
pub const PcwCallbackRemoveCounter: PCW_CALLBACK_TYPE = 1;
pub const PcwCallbackEnumerateInstances: PCW_CALLBACK_TYPE = 2;
pub const PcwCallbackCollectData: PCW_CALLBACK_TYPE = 3;

/// What the callback is told (`PCW_CALLBACK_INFORMATION`); the [`PCW_CALLBACK_TYPE`] names the member.
#[repr(C)]
#[derive(Clone, Copy)]
pub union PCW_CALLBACK_INFORMATION {
    pub AddCounter: PCW_COUNTER_INFORMATION,
    pub RemoveCounter: PCW_COUNTER_INFORMATION,
    pub EnumerateInstances: PCW_MASK_INFORMATION,
    pub CollectData: PCW_MASK_INFORMATION,
}

layout!(PCW_CALLBACK_INFORMATION: 0x28, 8;
    AddCounter 0x0, RemoveCounter 0x0, EnumerateInstances 0x0, CollectData 0x0,
);

/// A counter set's callback (`PCW_CALLBACK`). Calls may overlap.
pub type PPCW_CALLBACK = unsafe extern "system" fn(
    Type: PCW_CALLBACK_TYPE,
    Info: *mut PCW_CALLBACK_INFORMATION,
    Context: *mut c_void,
) -> NTSTATUS;

/// The version of [`PCW_REGISTRATION_INFORMATION`] that ends before `Flags`.
pub const PCW_VERSION_1: u32 = 0x0100;
/// With `Flags`; from build 19645 on.
pub const PCW_VERSION_2: u32 = 0x0200;

/// Who sees a counter set (`PCW_REGISTRATION_FLAGS`).
pub type PCW_REGISTRATION_FLAGS = u32;

pub const PcwRegistrationNone: PCW_REGISTRATION_FLAGS = 0;
/// Visible in every server silo.
pub const PcwRegistrationSiloNeutral: PCW_REGISTRATION_FLAGS = 1;

/// A counter set to be registered (`PCW_REGISTRATION_INFORMATION`). Read only during the call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PCW_REGISTRATION_INFORMATION {
    /// [`PCW_VERSION_1`] or [`PCW_VERSION_2`].
    pub Version: u32,
    /// Name of the set in the manifest.
    pub Name: *const UNICODE_STRING,
    /// Entries of `Counters`.
    pub CounterCount: u32,
    pub Counters: *mut PCW_COUNTER_DESCRIPTOR,
    /// Not needed with persistent instances.
    pub Callback: Option<PPCW_CALLBACK>,
    pub CallbackContext: *mut c_void,
    /// Not looked at in [`PCW_VERSION_1`].
    pub Flags: PCW_REGISTRATION_FLAGS,
}

layout!(PCW_REGISTRATION_INFORMATION: 0x38, 8;
    Version 0x00, Name 0x08, CounterCount 0x10, Counters 0x18, Callback 0x20, CallbackContext 0x28, Flags 0x30,
);

/// `PcwRegister`.
pub type PFN_PCW_REGISTER = unsafe extern "system" fn(
    Registration: *mut *mut PCW_REGISTRATION,
    Info: *const PCW_REGISTRATION_INFORMATION,
) -> NTSTATUS;

/// `PcwUnregister`. Every instance is closed before.
pub type PFN_PCW_UNREGISTER = unsafe extern "system" fn(Registration: *mut PCW_REGISTRATION);

/// `PcwCreateInstance`: a persistent instance with `Count` blocks.
pub type PFN_PCW_CREATE_INSTANCE = unsafe extern "system" fn(
    Instance: *mut *mut PCW_INSTANCE,
    Registration: *mut PCW_REGISTRATION,
    Name: *const UNICODE_STRING,
    Count: u32,
    Data: *const PCW_DATA,
) -> NTSTATUS;

/// `PcwCloseInstance`. The blocks are not read afterwards.
pub type PFN_PCW_CLOSE_INSTANCE = unsafe extern "system" fn(Instance: *mut PCW_INSTANCE);

/// `PcwAddInstance`: one instance with `Count` blocks, inside the callback.
pub type PFN_PCW_ADD_INSTANCE = unsafe extern "system" fn(
    Buffer: *mut PCW_BUFFER,
    Name: *const UNICODE_STRING,
    Id: u32,
    Count: u32,
    Data: *const PCW_DATA,
) -> NTSTATUS;
