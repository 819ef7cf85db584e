//! Names for the kernel, made at compile time.

/// `text` in UTF-16. `N` is its length; a shorter array cuts it, a longer one ends in zeros.
///
/// For ASCII only: each byte becomes one code unit.
pub(crate) const fn encode<const N: usize>(text: &str) -> [u16; N] {
    let mut units = [0; N];
    let mut to: &mut [u16] = &mut units;
    let mut from = text.as_bytes();
    while let (Some((unit, units_left)), Some((byte, bytes_left))) =
        (to.split_first_mut(), from.split_first())
    {
        *unit = *byte as u16;
        to = units_left;
        from = bytes_left;
    }
    units
}

/// A `&'static [u16]` with the UTF-16 form of an ASCII constant.
macro_rules! utf16 {
    ($text:expr) => {{
        const TEXT: &str = $text;
        const UNITS: [u16; TEXT.len()] = $crate::unicode::encode(TEXT);
        &UNITS as &'static [u16]
    }};
}
pub(crate) use utf16;

#[cfg(test)]
mod tests {
    #[test]
    fn ascii_becomes_one_unit_per_byte() {
        assert_eq!(utf16!("\\Device\\x"), "\\Device\\x".encode_utf16().collect::<Vec<_>>());
    }

    #[test]
    fn the_array_decides_the_length() {
        assert_eq!(super::encode::<2>("abc"), [97, 98]);
        assert_eq!(super::encode::<4>("ab"), [97, 98, 0, 0]);
    }
}
