//! `NDIS_STATUS_*`: results of NDIS calls, and codes of status indications.

use super::NDIS_STATUS;

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident $value:literal)*) => {
        $($(#[$doc])* pub const $name: NDIS_STATUS = ($value as u32).cast_signed();)*
    };
}

// Results. Those that NTSTATUS has too carry its numbers.
statuses! {
    NDIS_STATUS_SUCCESS 0x0000_0000
    NDIS_STATUS_PENDING 0x0000_0103
    NDIS_STATUS_FAILURE 0xC000_0001
    NDIS_STATUS_INVALID_PARAMETER 0xC000_000D
    NDIS_STATUS_RESOURCES 0xC000_009A
    NDIS_STATUS_NOT_SUPPORTED 0xC000_00BB
    NDIS_STATUS_CLOSING 0xC001_0002
    /// The version asked for is not available.
    NDIS_STATUS_BAD_VERSION 0xC001_0004
    /// A table of handlers does not fit its version, or lacks a mandatory handler.
    NDIS_STATUS_BAD_CHARACTERISTICS 0xC001_0005
    /// Opening an NDK adapter while NDK is disabled.
    NDIS_STATUS_ADAPTER_NOT_READY 0xC001_0011
    NDIS_STATUS_INVALID_LENGTH 0xC001_0014
    NDIS_STATUS_BUFFER_TOO_SHORT 0xC001_0016
    NDIS_STATUS_UNSUPPORTED_MEDIA 0xC001_0019
}

// Codes in `NDIS_STATUS_INDICATION::StatusCode`.
statuses! {
    NDIS_STATUS_RESET_START 0x4001_0004
    NDIS_STATUS_RESET_END 0x4001_0005
    /// From miniports of NDIS 5; NDIS 6 uses [`NDIS_STATUS_LINK_STATE`].
    NDIS_STATUS_MEDIA_CONNECT 0x4001_000B
    /// From miniports of NDIS 5; NDIS 6 uses [`NDIS_STATUS_LINK_STATE`].
    NDIS_STATUS_MEDIA_DISCONNECT 0x4001_000C
    /// The buffer is an [`NDIS_LINK_STATE`](super::NDIS_LINK_STATE).
    NDIS_STATUS_LINK_STATE 0x4001_0017
    /// The layer-3 surroundings may have changed.
    NDIS_STATUS_NETWORK_CHANGE 0x4001_0018
    /// The buffer is an [`NDIS_OPER_STATE`](super::NDIS_OPER_STATE).
    NDIS_STATUS_OPER_STATUS 0x4001_0023
    /// NDIS 6.50.
    NDIS_STATUS_CURRENT_MAC_ADDRESS_CHANGE 0x4002_00B0
    /// NDIS 6.50.
    NDIS_STATUS_L2_MTU_SIZE_CHANGE 0x4002_00B1
    NDIS_STATUS_PM_CAPABILITIES_CHANGE 0x4003_0053
}
