//! The octets of every stream: each is a function of its position, so a receiver can tell lost, doubled and swapped octets.

/// What a buffer holds where nobody has written.
pub const UNTOUCHED: u8 = 0xEE;

/// The octet at `position` of a stream.
#[must_use]
pub const fn octet(position: u64) -> u8 {
    // Mixes all eight octets of the position, so that no cut of a stream looks like another one.
    let mixed = (position ^ (position >> 16)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed.to_be_bytes()[0]
}

/// Fills `octets` with the stream from `position` on.
pub fn fill(octets: &mut [u8], position: u64) {
    let mut position = position;
    for octet in octets {
        *octet = self::octet(position);
        position = position.wrapping_add(1);
    }
}

/// The index of the first of `octets` that is not the stream's from `position` on.
#[must_use]
pub fn first_difference(octets: &[u8], position: u64) -> Option<usize> {
    let mut position = position;
    octets.iter().position(|&found| {
        let expected = octet(position);
        position = position.wrapping_add(1);
        found != expected
    })
}
