//! CRC32c (Castagnoli), as MPA uses it (RFC 5044 section 4.4). A table of 1 KiB; no crate of this workspace has one.

/// The polynomial, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut left: &mut [u32] = &mut table;
    let mut octet = 0u32;
    while let Some((entry, rest)) = left.split_first_mut() {
        let mut remainder = octet;
        let mut bit = 0u8;
        while bit < 8 {
            remainder = (remainder >> 1) ^ if remainder & 1 == 1 { POLYNOMIAL } else { 0 };
            bit = bit.wrapping_add(1);
        }
        *entry = remainder;
        left = rest;
        octet = octet.wrapping_add(1);
    }
    table
};

/// The CRC32c of `octets`. On the wire its least significant octet goes first ([`u32::to_le_bytes`]).
#[must_use]
pub fn crc32c(octets: &[u8]) -> u32 {
    let fold = |crc: u32, octet: &u8| {
        let [low, ..] = crc.to_le_bytes();
        // The index is an octet, so the entry is always there.
        (crc >> 8) ^ TABLE.get(usize::from(low ^ octet)).copied().unwrap_or_default()
    };
    !octets.iter().fold(u32::MAX, fold)
}
