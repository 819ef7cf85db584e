//! IP Helper in the kernel (`netioapi.h`, exports of `netio.sys`): the addresses of the machine's interfaces.
//!
//! The functions exist in user mode too; here they answer NTSTATUS.

use core::ffi::c_void;

use crate::layout;
use crate::ndis::{NET_IFINDEX, NET_LUID};
use crate::wsk::SOCKADDR_INET;

/// What has happened to an entry (`netioapi.h`).
pub type MIB_NOTIFICATION_TYPE = i32;

pub const MibParameterNotification: MIB_NOTIFICATION_TYPE = 0;
pub const MibAddInstance: MIB_NOTIFICATION_TYPE = 1;
pub const MibDeleteInstance: MIB_NOTIFICATION_TYPE = 2;
pub const MibInitialNotification: MIB_NOTIFICATION_TYPE = 3;

/// State of duplicate address detection (`nldef.h`).
pub type NL_DAD_STATE = i32;

pub const NldsInvalid: NL_DAD_STATE = 0;
pub const NldsTentative: NL_DAD_STATE = 1;
pub const NldsDuplicate: NL_DAD_STATE = 2;
pub const NldsDeprecated: NL_DAD_STATE = 3;
pub const NldsPreferred: NL_DAD_STATE = 4;

/// An address of an interface (`netioapi.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_UNICASTIPADDRESS_ROW {
    pub Address: SOCKADDR_INET,
    pub InterfaceLuid: NET_LUID,
    pub InterfaceIndex: NET_IFINDEX,
    pub PrefixOrigin: i32,
    pub SuffixOrigin: i32,
    /// Seconds.
    pub ValidLifetime: u32,
    /// Seconds.
    pub PreferredLifetime: u32,
    /// Bits.
    pub OnLinkPrefixLength: u8,
    pub SkipAsSource: u8,
    pub DadState: NL_DAD_STATE,
    pub ScopeId: u32,
    /// In units of 100 ns since 1601.
    pub CreationTimeStamp: i64,
}
layout!(MIB_UNICASTIPADDRESS_ROW: 80, 8;
    Address 0x0, InterfaceLuid 0x20, InterfaceIndex 0x28, PrefixOrigin 0x2C, SuffixOrigin 0x30, ValidLifetime 0x34,
    PreferredLifetime 0x38, OnLinkPrefixLength 0x3C, SkipAsSource 0x3D, DadState 0x40, ScopeId 0x44,
    CreationTimeStamp 0x48);

/// As many rows as `NumEntries` says (`netioapi.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_UNICASTIPADDRESS_TABLE {
    pub NumEntries: u32,
    pub Table: [MIB_UNICASTIPADDRESS_ROW; 1],
}
layout!(MIB_UNICASTIPADDRESS_TABLE: 88, 8; NumEntries 0x0, Table 0x8);

/// `PUNICAST_IPADDRESS_CHANGE_CALLBACK`. `Row` is NULL with [`MibInitialNotification`] and has only its address and
/// interface otherwise. IRQL: PASSIVE_LEVEL.
pub type PUNICAST_IPADDRESS_CHANGE_CALLBACK = unsafe extern "system" fn(
    CallerContext: *mut c_void,
    Row: *mut MIB_UNICASTIPADDRESS_ROW,
    NotificationType: MIB_NOTIFICATION_TYPE,
);

/// An address with the length of its prefix (`netioapi.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IP_ADDRESS_PREFIX {
    pub Prefix: SOCKADDR_INET,
    /// Bits.
    pub PrefixLength: u8,
}
layout!(IP_ADDRESS_PREFIX: 32, 4; Prefix 0x0, PrefixLength 0x1C);

/// A route (`netioapi.h`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MIB_IPFORWARD_ROW2 {
    pub InterfaceLuid: NET_LUID,
    pub InterfaceIndex: NET_IFINDEX,
    pub DestinationPrefix: IP_ADDRESS_PREFIX,
    pub NextHop: SOCKADDR_INET,
    pub SitePrefixLength: u8,
    /// Seconds.
    pub ValidLifetime: u32,
    /// Seconds.
    pub PreferredLifetime: u32,
    pub Metric: u32,
    pub Protocol: i32,
    pub Loopback: u8,
    pub AutoconfigureAddress: u8,
    pub Publish: u8,
    pub Immortal: u8,
    /// Seconds.
    pub Age: u32,
    pub Origin: i32,
}
layout!(MIB_IPFORWARD_ROW2: 104, 8;
    InterfaceLuid 0x0, InterfaceIndex 0x8, DestinationPrefix 0xC, NextHop 0x2C, SitePrefixLength 0x48,
    ValidLifetime 0x4C, PreferredLifetime 0x50, Metric 0x54, Protocol 0x58, Loopback 0x5C,
    AutoconfigureAddress 0x5D, Publish 0x5E, Immortal 0x5F, Age 0x60, Origin 0x64);
