//! Numbers of self-describing events: levels and opcodes (`winmeta.h`), field types and provider traits
//! (`TraceLoggingProvider.h`, `evntprov.h`).
//!
//! The metadata of a provider is a 16-bit size that counts itself, the name with its NUL, then traits. That of an
//! event is a 16-bit size, at least one tag byte, the name with its NUL, then fields: a name with its NUL, an
//! in-type, and an out-type if the in-type has [`_TlgInChain`]. Payload follows the fields without alignment.

/// The channel that marks an event as self-describing.
pub const WINEVENT_CHANNEL_TRACELOGGING: u8 = 11;

pub const WINEVENT_LEVEL_CRITICAL: u8 = 1;
pub const WINEVENT_LEVEL_ERROR: u8 = 2;
pub const WINEVENT_LEVEL_WARNING: u8 = 3;
pub const WINEVENT_LEVEL_INFO: u8 = 4;
pub const WINEVENT_LEVEL_VERBOSE: u8 = 5;

pub const WINEVENT_OPCODE_INFO: u8 = 0;
/// An activity begins.
pub const WINEVENT_OPCODE_START: u8 = 1;
/// An activity ends.
pub const WINEVENT_OPCODE_STOP: u8 = 2;

/// Kind of a provider trait (`ETW_PROVIDER_TRAIT_TYPE`), after the 16-bit size of the trait.
pub type ETW_PROVIDER_TRAIT_TYPE = u8;

/// The GUID of a group of providers.
pub const EtwProviderTraitTypeGroup: ETW_PROVIDER_TRAIT_TYPE = 1;
/// The GUID under which a decoder knows the events.
pub const EtwProviderTraitDecodeGuid: ETW_PROVIDER_TRAIT_TYPE = 2;

/// How many bytes a field has and how they are read (`TlgIn_t`).
pub type TlgIn_t = u8;

/// No bytes.
pub const TlgInNULL: TlgIn_t = 0;
/// UTF-16 up to a NUL.
pub const TlgInUNICODESTRING: TlgIn_t = 1;
/// Bytes up to a NUL.
pub const TlgInANSISTRING: TlgIn_t = 2;
pub const TlgInINT8: TlgIn_t = 3;
pub const TlgInUINT8: TlgIn_t = 4;
pub const TlgInINT16: TlgIn_t = 5;
pub const TlgInUINT16: TlgIn_t = 6;
pub const TlgInINT32: TlgIn_t = 7;
pub const TlgInUINT32: TlgIn_t = 8;
pub const TlgInINT64: TlgIn_t = 9;
pub const TlgInUINT64: TlgIn_t = 10;
pub const TlgInFLOAT: TlgIn_t = 11;
pub const TlgInDOUBLE: TlgIn_t = 12;
pub const TlgInBOOL32: TlgIn_t = 13;
/// A 16-bit count of bytes, then the bytes.
pub const TlgInBINARY: TlgIn_t = 14;
pub const TlgInGUID: TlgIn_t = 15;
pub const TlgInFILETIME: TlgIn_t = 17;
pub const TlgInSYSTEMTIME: TlgIn_t = 18;
pub const TlgInSID: TlgIn_t = 19;
pub const TlgInHEXINT32: TlgIn_t = 20;
pub const TlgInHEXINT64: TlgIn_t = 21;
/// A 16-bit count of bytes, then UTF-16.
pub const TlgInCOUNTEDSTRING: TlgIn_t = 22;
/// A 16-bit count of bytes, then bytes of text.
pub const TlgInCOUNTEDANSISTRING: TlgIn_t = 23;
/// No bytes of its own: groups the fields behind it, as many as the out-type says.
pub const _TlgInSTRUCT: TlgIn_t = 24;
/// As [`TlgInBINARY`], for decoders that know arrays of it.
pub const TlgInCOUNTEDBINARY: TlgIn_t = 25;

/// An array whose 16-bit count is in the metadata.
pub const _TlgInCcount: TlgIn_t = 0x20;
/// An array whose 16-bit count is in front of its payload.
pub const TlgInVcount: TlgIn_t = 0x40;
/// Both array bits: a serialiser of the provider's own.
pub const _TlgInCustom: TlgIn_t = 0x60;
/// An out-type follows.
pub const _TlgInChain: TlgIn_t = 0x80;
pub const _TlgInTypeMask: TlgIn_t = 0x1F;
pub const _TlgInCountMask: TlgIn_t = 0x60;

/// How a field is shown (`TlgOut_t`).
pub type TlgOut_t = u8;

/// As the in-type suggests.
pub const TlgOutNULL: TlgOut_t = 0;
pub const TlgOutNOPRINT: TlgOut_t = 1;
pub const TlgOutSTRING: TlgOut_t = 2;
pub const TlgOutBOOLEAN: TlgOut_t = 3;
pub const TlgOutHEX: TlgOut_t = 4;
pub const TlgOutPID: TlgOut_t = 5;
pub const TlgOutTID: TlgOut_t = 6;
/// A port in network order.
pub const TlgOutPORT: TlgOut_t = 7;
pub const TlgOutIPV4: TlgOut_t = 8;
pub const TlgOutIPV6: TlgOut_t = 9;
/// Bytes that are a `SOCKADDR`.
pub const TlgOutSOCKETADDRESS: TlgOut_t = 10;
pub const TlgOutXML: TlgOut_t = 11;
pub const TlgOutJSON: TlgOut_t = 12;
pub const TlgOutWIN32ERROR: TlgOut_t = 13;
pub const TlgOutNTSTATUS: TlgOut_t = 14;
pub const TlgOutHRESULT: TlgOut_t = 15;
pub const TlgOutFILETIME: TlgOut_t = 16;
pub const TlgOutSIGNED: TlgOut_t = 17;
pub const TlgOutUNSIGNED: TlgOut_t = 18;
pub const TlgOutUTF8: TlgOut_t = 35;
pub const TlgOutCODE_POINTER: TlgOut_t = 37;
pub const TlgOutDATETIME_UTC: TlgOut_t = 38;
/// Tag bytes follow.
pub const _TlgOutChain: TlgOut_t = 0x80;
pub const _TlgOutTypeMask: TlgOut_t = 0x7F;
