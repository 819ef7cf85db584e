//! Request sizes that vary: the same sequence for the same seed.

/// Piece sizes between 1 and a maximum, small and large ones mixed.
pub(crate) struct Pieces {
    state: u64,
    max: usize,
}

impl Pieces {
    /// A sequence for `seed`; no piece is larger than `max` octets, which is at least 1.
    pub(crate) fn new(seed: u64, max: usize) -> Self {
        Self { state: seed ^ 0x9E37_79B9_7F4A_7C15, max: max.max(1) }
    }

    fn random(&mut self) -> u64 {
        // SplitMix64: every seed, zero too, gives a full sequence.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Iterator for Pieces {
    type Item = usize;

    /// First a power of two as limit, then a size below it: as many small pieces as large ones.
    fn next(&mut self) -> Option<usize> {
        let limit = 1u64 << (self.random() % (u64::from(usize::BITS - self.max.leading_zeros()) + 1));
        let size = 1 + self.random() % limit;
        Some(usize::try_from(size).unwrap_or(self.max).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;

    #[test]
    fn sizes_vary_within_the_limits_and_repeat_for_a_seed() {
        let sizes: Vec<usize> = Pieces::new(7, 1 << 20).take(2000).collect();
        assert!(sizes.iter().all(|n| (1..=1 << 20).contains(n)));
        assert!(sizes.iter().any(|n| *n < 16), "small ones");
        assert!(sizes.iter().any(|n| *n > 1 << 19), "large ones");
        assert_eq!(sizes, Pieces::new(7, 1 << 20).take(2000).collect::<Vec<_>>());
        assert_ne!(sizes, Pieces::new(8, 1 << 20).take(2000).collect::<Vec<_>>());
        assert!(Pieces::new(0, 1).take(100).all(|n| n == 1));
    }
}
