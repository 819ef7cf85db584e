use core::mem::offset_of;

use super::*;
use crate::ndk::tests::unproved;

#[test]
fn every_member_of_every_structure_is_proved() {
    for source in [include_str!("counter.rs"), include_str!("event.rs"), include_str!("log.rs")] {
        assert_eq!(unproved(source), [""; 0]);
    }
}

/// The three small members are the halves of a C `ULONG Reserved` that ends the structure.
#[test]
fn the_kind_of_a_descriptor_lies_in_the_reserved_word() {
    assert_eq!(offset_of!(EVENT_DATA_DESCRIPTOR, Type), 0xC);
    assert_eq!(
        size_of::<EVENT_DATA_DESCRIPTOR>() - offset_of!(EVENT_DATA_DESCRIPTOR, Type),
        size_of::<u32>()
    );
    assert_eq!(EVENT_DATA_DESCRIPTOR::default().Type, EVENT_DATA_DESCRIPTOR_TYPE_NONE);
}

/// Systems that know only version 1 read 0x30 bytes.
#[test]
fn version_1_of_a_registration_ends_before_the_flags() {
    let end = offset_of!(PCW_REGISTRATION_INFORMATION, CallbackContext) + size_of::<usize>();
    assert_eq!(end, 0x30);
    assert_eq!(offset_of!(PCW_REGISTRATION_INFORMATION, Flags), end);
}

/// A field type and its flags share a byte and no bit.
#[test]
fn field_types_leave_the_flag_bits_free() {
    assert_eq!(_TlgInTypeMask | _TlgInCountMask | _TlgInChain, 0xFF);
    assert_eq!(_TlgInTypeMask & (_TlgInCountMask | _TlgInChain), 0);
    assert_eq!(_TlgInCustom, _TlgInCcount | TlgInVcount);
    assert_eq!(TlgInCOUNTEDBINARY & !_TlgInTypeMask, 0, "the last type");
    assert_eq!(TlgOutDATETIME_UTC & !_TlgOutTypeMask, 0, "the last way to show one");
}

/// The dump data of an entry start inside the declared structure, not after its padding.
#[test]
fn an_entry_without_dump_data_is_smaller_than_the_structure() {
    assert_eq!(offset_of!(IO_ERROR_LOG_PACKET, DumpData), 0x28);
    assert!(size_of::<IO_ERROR_LOG_PACKET>() <= usize::from(ERROR_LOG_MAXIMUM_SIZE));
}

/// A provider without a callback passes a null pointer.
#[test]
fn an_absent_callback_is_null() {
    assert_eq!(size_of::<Option<PETWENABLECALLBACK>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<PPCW_CALLBACK>>(), size_of::<usize>());
}
