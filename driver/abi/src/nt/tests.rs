use super::*;

/// Values printed in Microsoft's pages and headers.
#[test]
fn control_codes_are_composed_as_in_c() {
    let code = CTL_CODE(FILE_DEVICE_NETWORK, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS);
    assert_eq!(code, 0x0012_2000);
    assert_eq!(
        CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_NEITHER, FILE_READ_ACCESS | FILE_WRITE_ACCESS),
        0x0022_E007
    );
    assert_eq!(DEVICE_TYPE_FROM_CTL_CODE(code), FILE_DEVICE_NETWORK);
    assert_eq!(METHOD_FROM_CTL_CODE(0x0022_E007), METHOD_NEITHER);
}

#[test]
fn mdl_flags_fill_the_word_without_overlap() {
    assert_eq!(MDL_FLAGS::all().bits(), -1);
    assert_eq!(MDL_FLAGS::all().iter().count(), 16);
    assert_eq!(MDL_INTERNAL, i16::MIN);
}

#[test]
fn an_irp_takes_208_bytes_and_72_per_location() {
    let size = |locations: usize| size_of::<IRP>() + locations * size_of::<IO_STACK_LOCATION>();
    assert_eq!(size(1), 280);
    assert_eq!(size(10), 928);
}

#[test]
fn one_routine_per_major_function() {
    assert_eq!(usize::from(IRP_MJ_MAXIMUM_FUNCTION) + 1, 28);
}

/// The three kinds of pool exclude each other, and only flags above bit 31 may be ignored.
#[test]
fn pool_flags_are_distinct_bits() {
    let flags = POOL_FLAGS::all();
    assert_eq!(flags.bits(), 0x1_0000_01EF);
    assert_eq!(flags.iter().count(), 9);
}
