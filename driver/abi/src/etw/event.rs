//! Providers and events (`evntprov.h`, the Etw functions of `wdm.h`).

use core::ffi::c_void;

use crate::nt::{BOOLEAN, GUID};
use crate::{NTSTATUS, layout};

/// A registered provider (`REGHANDLE`); 0 is none.
pub type REGHANDLE = u64;

/// What an event is (`EVENT_DESCRIPTOR`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EVENT_DESCRIPTOR {
    /// Number of a manifest's event; 0 for TraceLogging.
    pub Id: u16,
    /// Version of a manifest's event; 0 for TraceLogging.
    pub Version: u8,
    /// [`WINEVENT_CHANNEL_TRACELOGGING`](super::WINEVENT_CHANNEL_TRACELOGGING) for TraceLogging.
    pub Channel: u8,
    /// `WINEVENT_LEVEL_*`.
    pub Level: u8,
    /// `WINEVENT_OPCODE_*`.
    pub Opcode: u8,
    /// Group of events within the provider; 0 for TraceLogging.
    pub Task: u16,
    /// Categories, one bit each. An event with 0 passes every filter.
    pub Keyword: u64,
}

layout!(EVENT_DESCRIPTOR: 0x10, 8;
    Id 0x0, Version 0x2, Channel 0x3, Level 0x4, Opcode 0x5, Task 0x6, Keyword 0x8,
);

/// A piece of an event (`EVENT_DATA_DESCRIPTOR`). In C the last three members share their place with
/// `ULONG Reserved`, so a zeroed one is plain data.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EVENT_DATA_DESCRIPTOR {
    /// Address of the piece: system space, and non-paged if the caller is above `APC_LEVEL`.
    pub Ptr: u64,
    /// Bytes.
    pub Size: u32,
    /// `EVENT_DATA_DESCRIPTOR_TYPE_*`.
    pub Type: u8,
    pub Reserved1: u8,
    pub Reserved2: u16,
}

layout!(EVENT_DATA_DESCRIPTOR: 0x10, 8; Ptr 0x0, Size 0x8, Type 0xC, Reserved1 0xD, Reserved2 0xE);

/// Payload.
pub const EVENT_DATA_DESCRIPTOR_TYPE_NONE: u8 = 0;
/// TraceLogging: name and fields of the event; the second descriptor.
pub const EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA: u8 = 1;
/// TraceLogging: name and traits of the provider; the first descriptor.
pub const EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA: u8 = 2;
/// A time that replaces the time of the call.
pub const EVENT_DATA_DESCRIPTOR_TYPE_TIMESTAMP_OVERRIDE: u8 = 3;

/// Most [`EVENT_DATA_DESCRIPTOR`]s in one event. The event with its headers must stay below 64 KiB.
pub const MAX_EVENT_DATA_DESCRIPTORS: u32 = 128;

/// A session's own filter for the provider (`EVENT_FILTER_DESCRIPTOR`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EVENT_FILTER_DESCRIPTOR {
    /// Address of the filter.
    pub Ptr: u64,
    /// Bytes.
    pub Size: u32,
    /// `EVENT_FILTER_TYPE_*`.
    pub Type: u32,
}

layout!(EVENT_FILTER_DESCRIPTOR: 0x10, 8; Ptr 0x0, Size 0x8, Type 0xC);

/// What [`PFN_ETW_SET_INFORMATION`] sets (`EVENT_INFO_CLASS`).
pub type EVENT_INFO_CLASS = i32;

pub const EventProviderBinaryTrackInfo: EVENT_INFO_CLASS = 0;
pub const EventProviderSetReserved1: EVENT_INFO_CLASS = 1;
/// The provider's metadata; once, after registering.
pub const EventProviderSetTraits: EVENT_INFO_CLASS = 2;
pub const EventProviderUseDescriptorType: EVENT_INFO_CLASS = 3;

// Control codes of the enable callback (`evntrace.h`).
pub const EVENT_CONTROL_CODE_DISABLE_PROVIDER: u32 = 0;
pub const EVENT_CONTROL_CODE_ENABLE_PROVIDER: u32 = 1;
/// The session asks for the provider's present state as events.
pub const EVENT_CONTROL_CODE_CAPTURE_STATE: u32 = 2;

// Control codes of `EtwActivityIdControl`.
pub const EVENT_ACTIVITY_CTRL_GET_ID: u32 = 1;
pub const EVENT_ACTIVITY_CTRL_SET_ID: u32 = 2;
pub const EVENT_ACTIVITY_CTRL_CREATE_ID: u32 = 3;
pub const EVENT_ACTIVITY_CTRL_GET_SET_ID: u32 = 4;
pub const EVENT_ACTIVITY_CTRL_CREATE_SET_ID: u32 = 5;

/// In the flags of `EtwWriteEx`: leave the event out rather than page anything in.
pub const EVENT_WRITE_FLAG_NO_FAULTING: u32 = 0x0000_0001;

/// Tells a provider that sessions want other events now (`ETWENABLECALLBACK`). **`PASSIVE_LEVEL`**, any thread,
/// also inside [`PFN_ETW_REGISTER`].
///
/// `ControlCode` is an `EVENT_CONTROL_CODE_*`. On enabling, `Level` 0 means every level and `MatchAnyKeyword` 0
/// no filter by keyword.
pub type PETWENABLECALLBACK = unsafe extern "system" fn(
    SourceId: *const GUID,
    ControlCode: u32,
    Level: u8,
    MatchAnyKeyword: u64,
    MatchAllKeyword: u64,
    FilterData: *mut EVENT_FILTER_DESCRIPTOR,
    CallbackContext: *mut c_void,
);

/// `EtwRegister`. **`PASSIVE_LEVEL`**, in the system process.
pub type PFN_ETW_REGISTER = unsafe extern "system" fn(
    ProviderId: *const GUID,
    EnableCallback: Option<PETWENABLECALLBACK>,
    CallbackContext: *mut c_void,
    RegHandle: *mut REGHANDLE,
) -> NTSTATUS;

/// `EtwUnregister`. **`PASSIVE_LEVEL`**. After it no callback comes; must be over before the image unloads.
pub type PFN_ETW_UNREGISTER = unsafe extern "system" fn(RegHandle: REGHANDLE) -> NTSTATUS;

/// `EtwSetInformation` (Windows 10). **`PASSIVE_LEVEL`**; length in bytes.
pub type PFN_ETW_SET_INFORMATION = unsafe extern "system" fn(
    RegHandle: REGHANDLE,
    InformationClass: EVENT_INFO_CLASS,
    EventInformation: *mut c_void,
    InformationLength: u32,
) -> NTSTATUS;

/// `EtwWriteTransfer`. Any IRQL. The activities may be null. The result says nothing a writer could act on: an
/// event without listeners is a success.
pub type PFN_ETW_WRITE_TRANSFER = unsafe extern "system" fn(
    RegHandle: REGHANDLE,
    EventDescriptor: *const EVENT_DESCRIPTOR,
    ActivityId: *const GUID,
    RelatedActivityId: *const GUID,
    UserDataCount: u32,
    UserData: *mut EVENT_DATA_DESCRIPTOR,
) -> NTSTATUS;

/// `EtwWrite`. Any IRQL. As [`PFN_ETW_WRITE_TRANSFER`], without a related activity.
pub type PFN_ETW_WRITE = unsafe extern "system" fn(
    RegHandle: REGHANDLE,
    EventDescriptor: *const EVENT_DESCRIPTOR,
    ActivityId: *const GUID,
    UserDataCount: u32,
    UserData: *mut EVENT_DATA_DESCRIPTOR,
) -> NTSTATUS;

/// `EtwWriteEx`. Any IRQL. `Filter` is 0 or names sessions to leave out, `Flags` is
/// [`EVENT_WRITE_FLAG_NO_FAULTING`] or 0.
pub type PFN_ETW_WRITE_EX = unsafe extern "system" fn(
    RegHandle: REGHANDLE,
    EventDescriptor: *const EVENT_DESCRIPTOR,
    Filter: u64,
    Flags: u32,
    ActivityId: *const GUID,
    RelatedActivityId: *const GUID,
    UserDataCount: u32,
    UserData: *mut EVENT_DATA_DESCRIPTOR,
) -> NTSTATUS;

/// `EtwEventEnabled`. Any IRQL.
pub type PFN_ETW_EVENT_ENABLED =
    unsafe extern "system" fn(RegHandle: REGHANDLE, EventDescriptor: *const EVENT_DESCRIPTOR) -> BOOLEAN;

/// `EtwProviderEnabled`. Any IRQL.
pub type PFN_ETW_PROVIDER_ENABLED =
    unsafe extern "system" fn(RegHandle: REGHANDLE, Level: u8, Keyword: u64) -> BOOLEAN;

/// `EtwActivityIdControl`. `ControlCode` is an `EVENT_ACTIVITY_CTRL_*`.
pub type PFN_ETW_ACTIVITY_ID_CONTROL =
    unsafe extern "system" fn(ControlCode: u32, ActivityId: *mut GUID) -> NTSTATUS;
